from pathlib import Path

from healer.stack.fetch import relocate_templates


def test_alertmanager_gets_a_template_folder_below_its_working_directory(tmp_path: Path) -> None:
    binary = tmp_path / "alertmanager"
    binary.write_bytes(b"\x7fELF...branches/usr/share/prometheus/alertmanagerdefault.tmpl")
    size = binary.stat().st_size
    relocate_templates(binary)
    assert binary.read_bytes() == b"\x7fELF...branches.////share/prometheus/alertmanagerdefault.tmpl"
    assert binary.stat().st_size == size


def test_an_alertmanager_that_holds_its_templates_itself_stays_as_it_is(tmp_path: Path) -> None:
    binary = tmp_path / "alertmanager"
    binary.write_bytes(b"\x7fELF... default.tmpl")
    relocate_templates(binary)
    assert binary.read_bytes() == b"\x7fELF... default.tmpl"
