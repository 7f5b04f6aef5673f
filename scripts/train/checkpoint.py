"""Write checkpoints and weights atomically: a kill at any time leaves the last complete file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from scripts.train.record import encoded
from vsvfi.models.registry import find
from vsvfi.weights.record import RECORD

_PREFIXED = ("uprnet", "vfimamba")
"""Families whose published files have `module.` before every key."""

_NESTED = ("gimmvfi", "ldmvfi")
"""Families whose published files hold the weights as `state_dict`."""


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` write a file beside `path`, force it to the disk, and rename it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(draft)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def remove_drafts(folder: Path) -> None:
    """Remove what processes that were killed left unfinished."""
    for draft in folder.glob(".*.part"):
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, for `replace_file`."""
    path.write_text(text, encoding="utf-8")


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Save a checkpoint."""
    replace_file(path, lambda draft: torch.save(dict(state), draft))


def restore(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        ValueError: there is none.
    """
    if not path.is_file():
        raise ValueError(f"train: --resume, there is no {path}; start without --resume")
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    if "network" in state:  # of the packaged model, from before it was a recipe
        weights = {f"network.{name}": tensor for name, tensor in state.pop("network").items()}
        state = {"form": weights, "filled": [""], "stale": 0, "skipped": 0, "started": None, **state}
    return state


def export(folder: Path, model: str, state: Mapping[str, Tensor], record: Mapping[str, object]) -> Path:
    """Write weights under the published keys, in two forms.

    `weights.safetensors` holds the record; `weights.pth` is laid out like the published file, for the authors' program.
    """
    family, _ = find(model)
    plain = {
        key: tensor.detach().cpu().float().contiguous() if tensor.is_floating_point() else tensor.cpu().clone()
        for key, tensor in state.items()
    }
    kept = {key: tensor for key, tensor in plain.items() if not key.endswith("num_batches_tracked")}
    target = folder / "weights.safetensors"

    def tensors(draft: Path) -> None:
        safetensors.torch.save_file(kept, draft, metadata={RECORD: encoded(record)})
        draft.chmod(0o644)

    replace_file(target, tensors)
    published: dict[str, Any] = plain
    if family.name in _PREFIXED:
        published = {f"module.{key}": tensor for key, tensor in plain.items()}
    elif family.name in _NESTED:
        published = {"state_dict": plain}
    replace_file(folder / "weights.pth", lambda draft: torch.save(published, draft))
    return target
