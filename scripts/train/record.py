"""The record of trained weights: where they come from and under which licence."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from vsvfi.models.registry import find
from vsvfi.weights.record import read_record

_TERMS = {
    "uprnet": "UPR-Net's weights are CC BY-NC-ND 4.0: what is trained from them must not be passed on, nor used "
    "commercially",
    "gimmvfi": "GIMM-VFI's weights are under the S-Lab License 1.0: non-commercial use only, which the result inherits",
    "ifrnet": "IFRNet's weights are MIT: keep its notice with the result",
    "vfimamba": "VFIMamba's weights are Apache-2.0: keep its notice, and state that they were changed",
    "ldmvfi": "LDMVFI's weights are MIT: keep its notice with the result",
}


def licence_terms(model: str, origin: Mapping[str, object] | None) -> str:
    """State what may be done with the result of a run that began with these weights; None for none."""
    if origin is None:
        return "yours: nothing but your data limits what you may do with the result"
    own = origin.get("licence")
    if isinstance(own, str) and origin.get("record") is not None:
        return f"the weights it begins with state: {own}"
    family, variant = find(model)
    if model.startswith("builtin"):
        return "builtin's weights are MIT: keep its notice with the result"
    return _TERMS.get(family.name, f"the weights it begins with are {variant.licence}")


def all_terms(model: str, origins: Sequence[Mapping[str, object]]) -> list[str]:
    """State the terms of everything that a run began with, each once."""
    return list(dict.fromkeys(licence_terms(model, origin) for origin in origins)) or [licence_terms(model, None)]


def origin_of(path: Path, model: str) -> dict[str, object]:
    """Describe the weights that a run begins with: their digest, and their record or published licence."""
    found: dict[str, object] = {"file": path.name, "sha256": _digest(path)}
    record = read_record(path)
    if record is not None:
        found["licence"] = record.get("licence", "not stated")
        found["record"] = {
            key: record[key] for key in ("recipe", "command", "commit", "seed", "steps") if key in record
        }
    else:
        found["licence"] = find(model)[1].licence
    return found


def commit() -> str:
    """Return the commit of this repository, with a mark if files were changed; empty outside git."""
    run = [
        subprocess.run(
            ["git", *words], capture_output=True, encoding="utf-8", check=False, cwd=Path(__file__).parent
        ).stdout
        for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    ]
    return run[0].strip() + ("+changes" if run[0] and run[1].strip() else "")


def versions() -> dict[str, str]:
    """Return the versions that decide on bits."""
    return {"torch": str(torch.__version__), "threads": str(torch.get_num_threads())}


def encoded(record: Mapping[str, object]) -> str:
    """Return the record as JSON."""
    return json.dumps(record, indent=2)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
