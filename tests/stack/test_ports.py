import socket

import pytest

from healer.stack.ports import LOOPBACK, Ports


def listen(port: int) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((LOOPBACK, port))
    server.listen()
    return server


def test_a_server_can_listen_on_a_reserved_port_again_and_again() -> None:
    with Ports() as ports:
        port = ports.take()
        for _ in range(3):
            with listen(port), socket.create_connection((LOOPBACK, port)):
                pass


def test_two_runs_never_get_the_same_port() -> None:
    with Ports() as one, Ports() as other:
        taken = [ports.take() for _ in range(200) for ports in (one, other)]
        assert len(set(taken)) == len(taken)


def test_a_reserved_port_is_given_to_nobody_who_asks_for_any_port() -> None:
    with Ports() as ports:
        reserved = {ports.take() for _ in range(500)}
        for _ in range(2000):
            with socket.socket() as other:
                other.bind((LOOPBACK, 0))
                assert other.getsockname()[1] not in reserved


def test_a_closed_reservation_gives_the_port_back() -> None:
    with Ports() as ports:
        port = ports.take()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((LOOPBACK, port))
    with socket.socket() as other:
        other.bind((LOOPBACK, port))
