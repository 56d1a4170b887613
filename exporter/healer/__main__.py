"""The first steps of the command `healer`, which is `python -m healer` too."""

import signal


def main() -> None:
    """Run the command line; a SIGHUP is no death while its many modules are being imported."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: None)

    from healer.cli import main as command  # noqa: PLC0415  # these are the imports

    command()


if __name__ == "__main__":
    main()
