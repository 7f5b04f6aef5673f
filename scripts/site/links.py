"""Rewrite links between files of the repository to links between pages of the site.

A file that is no page is linked in the repository's web view, or named without a link if `repo_url` is not set.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from scripts.site.pages import ROOT

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")
_CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def rewritten(
    markdown: str, source: PurePosixPath, address: str, addresses: Mapping[str, str], repository: str | None
) -> str:
    """Return a page with the links that work on the site.

    Args:
        markdown: as it is in the repository.
        source: its path there.
        address: its place on the site.
        addresses: of all pages outside of docs/, by their paths.
        repository: address of the repository's web view.

    Raises:
        ValueError: a link leads nowhere.
    """

    def link(match: re.Match[str]) -> str:
        target, text = match["target"], match["text"]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, _, anchor = target.partition("#")
        found = posixpath.normpath(source.parent / path)
        if not (ROOT / found).exists():
            raise ValueError(f"{source}: link to {target}, which does not exist")
        place = addresses.get(found) or (found.removeprefix("docs/") if found.startswith("docs/") else None)
        if match["image"] and place is None:
            place = found  # copied to the same path
        if place is not None:
            relative = posixpath.relpath(place, posixpath.dirname(address) or ".")
            return f"{match['image']}[{text}]({relative}{'#' * bool(anchor)}{anchor})"
        return f"[{text}]({repository}/blob/main/{found})" if repository else text

    return _outside_code(markdown, lambda text: _LINK.sub(link, text))


def images(markdown: str, source: PurePosixPath) -> list[str]:
    """Return the paths in the repository of a page's images that lie outside of docs/."""
    found = [
        posixpath.normpath(source.parent / match["target"]) for match in _LINK.finditer(markdown) if match["image"]
    ]
    return [path for path in found if not path.startswith("docs/") and (ROOT / path).is_file()]


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    parts = _CODE.split(markdown)  # every second part is code
    # A link's text may hold code, so that only fenced blocks are kept apart from it.
    merged = [""]
    for index, part in enumerate(parts):
        if index % 2 and part.startswith("```"):
            merged += [part, ""]
        else:
            merged[-1] += part
    return "".join(part if index % 2 else change(part) for index, part in enumerate(merged))
