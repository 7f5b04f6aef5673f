"""The page of measurements is what the committed results make, and the READMEs lead to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.benchmark.report import PAGE, RESULTS, ROOT, page, results


def test_the_page_is_what_the_results_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(results()), "run python -m scripts.benchmark.report"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_result_says_how_it_was_measured(path: Path) -> None:
    result = json.loads(path.read_text(encoding="utf-8"))
    assert all(result[name].strip() for name in ("command", "machine", "versions", "conditions", "title"))
    assert {len(row) for row in result["rows"]} == {len(result["columns"])}
    assert "benchmarks.md" in (ROOT / result["readme"]).read_text(encoding="utf-8")


def test_the_readme_leads_to_the_page() -> None:
    assert "docs/benchmarks.md" in (ROOT / "README.md").read_text(encoding="utf-8")
