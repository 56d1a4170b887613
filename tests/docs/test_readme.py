"""What the documents show works: links lead somewhere, commands exist, documents load, bundles are proven."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from healer.cli import main
from healer.truth.load import parse

if TYPE_CHECKING:
    from healer.stack.servers import Servers

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
GROUPS = {"truth", "stack", "shadow"}
WHOLE_LINES = {"troubleshooting.md", "tuning.md"}
README = (ROOT / "README.md").read_text()


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page if not path else (page.parent / path).resolve()
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def shown_commands() -> list[tuple[str, str]]:
    """Return every `healer` command that a page shows, without environment and comment: page, line."""
    found = []
    for page in PAGES:
        text = page.read_text()
        lines = re.findall(
            r"^ {4,}(?:\S*/)?(?:[A-Z_]+=\S+ )*(healer .+?)(?: +#.*| +>.*| +\|.*)?$", text, re.MULTILINE
        )
        lines += re.findall(r"`(healer [a-z][^`]*)`", text) if page.name in WHOLE_LINES else []
        found += [(page.name, line) for line in lines]
    assert len(found) >= 20
    return found


@pytest.mark.parametrize(("page", "line"), shown_commands())
def test_every_command_and_option_of_a_page_exists(page: str, line: str) -> None:
    words = shlex.split(line.rstrip("\\"))[1:]
    path = [word for word in words[:2] if re.fullmatch(r"[a-z]+", word)]
    path = path[: 2 if path and path[0] in GROUPS else 1]
    shown = CliRunner().invoke(main, [*path, "--help"])
    assert shown.exit_code == 0, shown.output
    own = words[: words.index("--")] if "--" in words else words
    for option in (word.partition("=")[0] for word in own if word.startswith("--")):
        assert option in shown.output, (page, option)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_make_target_of_a_page_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^ {4})make ([a-z-]+)", page.read_text(), re.MULTILINE):
        assert f"\n{target}:" in makefile, target


def test_the_index_names_every_page() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name}" in README, page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_row_of_a_table_has_its_columns(page: Path) -> None:
    width = 0
    for number, line in enumerate(re.sub(r"`[^`\n]*`", "", page.read_text()).splitlines(), 1):
        columns = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not (width and columns) or columns == width, f"{page.name}:{number}"
        width = columns


@pytest.mark.parametrize("case", ["miss", "miss-over"])
def test_the_messages_of_the_readme_are_those_that_people_get(case: str) -> None:
    message = (ROOT / f"tests/bundle/messages/{case}.slack.txt").read_text()
    assert f"```\n{message[: message.index('<')]}```\n" in README


def test_the_readme_s_document_becomes_a_bundle_that_is_proven(servers: Servers, tmp_path: Path) -> None:
    (document,) = re.findall(r"```json\n(.+?)```", README, re.DOTALL)
    assert [service.name for service in parse(document, env={}).truth.services] == ["rss_agg"]
    (tmp_path / "truth.json").write_text(document)
    arguments = ["bundle", "--truth", str(tmp_path / "truth.json"), "--output", str(tmp_path / "monitoring")]
    made = CliRunner().invoke(main, arguments)
    assert made.exit_code == 0, made.output
    tests = sorted((tmp_path / "monitoring" / "promtool-tests").glob("*.yml"))
    proof = subprocess.run(
        [servers.promtool.path, "test", "rules", *tests], capture_output=True, text=True, check=False
    )
    assert proof.returncode == 0, proof.stdout + proof.stderr
