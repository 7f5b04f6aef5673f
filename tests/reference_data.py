"""The reference data of published programs, which are not in the repository: where they are, if anywhere.

VSVFI_GOLDENS names the folder that holds `goldens` and `clips`, or `goldens` itself; without it that is `shared` beside
the clone. VSVFI_GOLDENS_METRICS and VSVFI_GOLDENS_TRAINING name another folder for one kind alone.
"""

from __future__ import annotations

import os
from pathlib import Path


def _root() -> Path:
    named = os.environ.get("VSVFI_GOLDENS")
    folder = Path(named).resolve() if named else Path(__file__).resolve().parents[2] / "shared"
    return folder.parent if folder.name == "goldens" and not (folder / "goldens").is_dir() else folder


FOLDER = _root()
GOLDENS = FOLDER / "goldens"
REASON = "the reference data are not beside this clone (VSVFI_GOLDENS names another folder; see CONTRIBUTING.md)"


def of(kind: str) -> Path:
    """The folder of one kind of reference data, such as `metrics`."""
    return Path(os.environ.get(f"VSVFI_GOLDENS_{kind.upper()}") or GOLDENS / kind)


def check() -> None:
    """Check that folders that were named hold what they should.

    Raises:
        ValueError: one holds no reference data, so that tests would be skipped that someone wanted to run.
    """
    named = os.environ.get("VSVFI_GOLDENS")
    if named and not GOLDENS.is_dir():
        raise ValueError(
            f"VSVFI_GOLDENS={named!r}, must be a folder that holds 'goldens'; unset it to skip their tests"
        )
    for kind in ("metrics", "training"):
        folder = os.environ.get(variable := f"VSVFI_GOLDENS_{kind.upper()}")
        if folder and not (Path(folder) / "cases.json").is_file():
            raise ValueError(
                f"{variable}={folder!r}, must be a folder that holds 'cases.json'; unset it for the usual one"
            )
