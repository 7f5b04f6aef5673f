"""Write docs/benchmarks.md from the measurements in scripts/benchmark/results.

    python -m scripts.benchmark.report

A measurement is one JSON file: `section`, `order`, `title`, `readme` (what it is about), `command`, `machine`,
`versions`, `conditions`, `columns`, `rows` of text, and `notes`. To replace one, run its command, edit the file and run
this again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results")
PAGE = ROOT / "docs" / "benchmarks.md"
_HEAD = """# Benchmarks

<!-- written by `python -m scripts.benchmark.report` from scripts/benchmark/results; edit those files, not this page -->

The measurements of this project, with the machine and the command. Where other work ran on the machine, ratios
within a table count and times do not. How to measure: [scripts/benchmark](../scripts/benchmark/README.md) and
[evaluate.md](evaluate.md).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One measurement, with the fields of its file."""

    section: str
    order: int
    title: str
    readme: str
    command: str
    machine: str
    versions: str
    conditions: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]

    def markdown(self) -> str:
        """Format title, conditions, table and notes as Markdown."""
        table = [self.columns, ["---"] * len(self.columns), *self.rows]
        lines = [
            f"### {self.title}",
            "",
            f"[{self.readme.removesuffix('/README.md')}](../{self.readme}) · {self.machine} · {self.versions}",
            "",
            f"Command: `{self.command}`. Conditions: {self.conditions}.",
            "",
            *(f"| {' | '.join(row)} |" for row in table),
        ]
        if self.notes:
            lines += ["", *(f"* {note}" for note in self.notes)]
        return "\n".join(lines)


def results(folder: Path = RESULTS) -> list[Result]:
    """Return all measurements in the page's order."""
    found = [Result(**json.loads(path.read_text(encoding="utf-8"))) for path in folder.glob("*.json")]
    return sorted(found, key=lambda result: (result.order, result.title))


def page(found: list[Result]) -> str:
    """Return the page's content."""
    parts = [_HEAD]
    for section, members in groupby(found, key=lambda result: result.section):
        parts.append(f"## {section}\n")
        parts += [f"{result.markdown()}\n" for result in members]
    return "\n".join(parts)


def main() -> int:
    PAGE.write_text(page(results()), encoding="utf-8", newline="\n")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
