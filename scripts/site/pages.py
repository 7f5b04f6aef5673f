"""Which files of the repository are pages of the site, and under which address.

READMEs stay beside the code that they describe; here they are given a place on the site. A new family or operator needs
no entry.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]

_SINGLE = {
    "README.md": "index.md",
    "examples/README.md": "examples.md",
    "scripts/benchmark/README.md": "measuring.md",
    "scripts/gpu/README.md": "measuring-a-gpu.md",
    "scripts/train/README.md": "training-builtin.md",
    "vsvfi/clip/README.md": "scene-changes.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
_FOLDERS = {"vsvfi/models": "models", "vsvfi/ops": "operators"}


def pages() -> dict[str, str]:
    """Return the address of every page that lies outside of docs/, by its path in the repository."""
    found = {source: address for source, address in _SINGLE.items() if (ROOT / source).is_file()}
    for folder, section in _FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("README.md")):
            name = path.parent.relative_to(ROOT / folder).as_posix().replace("/", "-")
            found[path.relative_to(ROOT).as_posix()] = f"{section}/{name}.md"
    return found


def source_of(address: str) -> PurePosixPath:
    """Return the path in the repository of the page at an address."""
    return PurePosixPath(next((source for source, known in pages().items() if known == address), f"docs/{address}"))
