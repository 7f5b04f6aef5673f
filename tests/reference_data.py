"""The reference data of published programs, which are not in the repository: where they are, if anywhere.

VSVFI_GOLDENS names the folder that holds `goldens` and `clips`; without it that is `shared` beside the clone.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(os.environ.get("VSVFI_GOLDENS") or Path(__file__).resolve().parents[2] / "shared")
GOLDENS = FOLDER / "goldens"
REASON = "the reference data are not beside this clone (VSVFI_GOLDENS names another folder; see CONTRIBUTING.md)"


def check() -> None:
    """Check that a folder that was named is one.

    Raises:
        ValueError: it holds no reference data, so that tests would be skipped that someone wanted to run.
    """
    named = os.environ.get("VSVFI_GOLDENS")
    if named and not GOLDENS.is_dir():
        raise ValueError(
            f"VSVFI_GOLDENS={named!r}, must be a folder that holds 'goldens'; unset it to skip their tests"
        )
