"""Draw the README's badges from pyproject.toml: python -m scripts.badges

They are files, since the documentation site makes no request to other hosts.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "examples" / "badges"

_SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="20" role="img" aria-label="{name}: {value}">
<rect width="{whole}" height="20" rx="3" fill="#424242"/>
<path d="M{left} 0h{inner}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{inner}z" fill="{colour}"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{middle}" y="14">{name}</text><text x="{other}" y="14">{value}</text></g></svg>
"""
_CHARACTER, _MARGIN = 6.6, 12


def badges() -> dict[str, str]:
    """Return the content of each badge by file name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    vapoursynth = next(entry for entry in project["dependencies"] if entry.startswith("vapoursynth"))
    values: Mapping[str, tuple[str, str]] = {
        "python": (f"{project['requires-python'].removeprefix('>=')} and newer", "#00695c"),
        "VapourSynth": (f"R{vapoursynth.partition('>=')[2]} and newer", "#303f9f"),
        "licence": (project["license"], "#2e7d32"),
        "tested on": ("Linux, CPU", "#5d4037"),
    }
    return {f"{name.replace(' ', '-').lower()}.svg": badge(name, *entry) for name, entry in values.items()}


def badge(name: str, value: str, colour: str) -> str:
    """Return one badge."""
    left, right = (round(len(text) * _CHARACTER + _MARGIN) for text in (name, value))
    places = {"whole": left + right, "left": left, "inner": right - 3, "middle": left / 2, "other": left + right / 2}
    return _SVG.format(name=name, value=value, colour=colour, **places)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, content in badges().items():
        (FOLDER / file).write_text(content, encoding="utf-8")
