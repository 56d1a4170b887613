"""Writes the dashboards as templates of the bundle: `python -m dashboards`."""

from __future__ import annotations

from pathlib import Path

from dashboards.templates import templates

FOLDER = Path(__file__).parents[1] / "exporter/healer/bundle/templates/grafana/dashboards"


def main() -> None:
    """Write every template."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in templates().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
