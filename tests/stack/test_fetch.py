from pathlib import Path

from healer.stack.fetch import relocate


def test_a_debian_program_gets_its_shared_files_below_its_working_directory(tmp_path: Path) -> None:
    binary = tmp_path / "alertmanager"
    binary.write_bytes(b"\x7fELF...branches/usr/share/prometheus/alertmanager/default.tmpl")
    size = binary.stat().st_size
    relocate(binary)
    assert binary.read_bytes() == b"\x7fELF...branches.////share/prometheus/alertmanager/default.tmpl"
    assert binary.stat().st_size == size


def test_a_program_that_holds_its_files_itself_stays_as_it_is(tmp_path: Path) -> None:
    binary = tmp_path / "alertmanager"
    binary.write_bytes(b"\x7fELF... default.tmpl")
    relocate(binary)
    assert binary.read_bytes() == b"\x7fELF... default.tmpl"
