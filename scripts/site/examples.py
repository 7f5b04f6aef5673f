"""The example scripts, shown on the page of examples."""

from __future__ import annotations

from scripts.site.pages import ROOT

_MARK = "<!-- examples -->"
_LANGUAGES = {".vpy": "python", ".sh": "bash"}


def inserted(markdown: str) -> str:
    """Replace the mark `<!-- examples -->` of a page by the text of every example."""
    if _MARK not in markdown:
        return markdown
    lines = []
    for path in sorted((ROOT / "examples").iterdir()):
        if path.suffix in _LANGUAGES:
            text = path.read_text(encoding="utf-8").rstrip()
            lines += [f"## {path.name}", "", f"```{_LANGUAGES[path.suffix]}", text, "```", ""]
    return markdown.replace(_MARK, "\n".join(lines))
