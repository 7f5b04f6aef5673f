"""Convert a checkpoint to the packaged weights: a half-precision safetensors file and a JSON record.

    python -m scripts.train.export out/builtin/best.pt --command "python -m scripts.train builtin ..." \\
        [--scores scores.json]

The record says where the weights come from. Prints what `vsvfi/models/uprnet/spec.py` must say about the file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch

from scripts.train.architectures import ARCHITECTURES
from scripts.train.heldout import SIZE, score

TARGET = Path("vsvfi/weights/builtin/uprnet_builtin.safetensors")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description="Export a checkpoint as the packaged weights.")
    parser.add_argument(
        "checkpoint", type=Path, help="best.pt or last.pt of a training run; its averaged weights are taken"
    )
    parser.add_argument("--target", type=Path, default=TARGET)
    parser.add_argument("--command", default="", help="how it was trained, for the record")
    parser.add_argument(
        "--commit", default="", help="of this repository, that it was trained with; default the current one"
    )
    parser.add_argument("--scores", type=Path, help="JSON file of scores to copy into the record")
    given = parser.parse_args(arguments)
    checkpoint = torch.load(given.checkpoint, map_location="cpu", weights_only=True)
    origin = _origin(checkpoint.get("weights", ""))  # before that file may be overwritten
    state = {key: value.half().contiguous() for key, value in checkpoint["average"].items()}
    given.target.parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(state, given.target)
    given.target.chmod(0o644)  # safetensors makes new files readable by their owner only
    content = given.target.read_bytes()
    architecture = ARCHITECTURES[checkpoint["architecture"]]
    network = architecture.fresh(**checkpoint["config"]).eval()
    network.load_state_dict({key: value.float() for key, value in state.items()})
    result = score(architecture.used(network, SIZE))
    commit = (
        given.commit
        or subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, encoding="utf-8", check=False
        ).stdout.strip()
    )
    record = {
        "file": given.target.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "licence": "MIT",
        "trained_by": "scripts.train",
        "command": given.command,
        "commit": commit,
        "seed": checkpoint["seed"],
        "steps": checkpoint["step"],
        **({"began_with": origin} if origin else {}),
        "data": "procedural samples of scripts/train/data.py alone; no photograph or video",
        "architecture": checkpoint["architecture"],
        "config": checkpoint["config"],
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "scores": {
            "held_out_while_training": {
                "psnr": round(result.psnr, 3),
                "blend": round(result.blend, 3),
                "gain_by_kind": {kind: round(gain, 3) for kind, gain in result.by_kind.items()},
                "still_largest_error_of_255": round(result.still_error, 3),
            },
            **(json.loads(given.scores.read_text(encoding="utf-8")) if given.scores else {}),
        },
    }
    given.target.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(
        f'Builtin(file="{record["file"]}", sha256="{record["sha256"]}", size={record["size"]})  '
        f"parameters={record['parameters']}"
    )
    print(json.dumps(record["scores"]))
    return 0


def _origin(weights: str) -> dict[str, object] | None:
    """Describe the initial weights of a run: their record without scores, and their digest."""
    if not weights:
        return None
    path = Path(weights)
    found: dict[str, object] = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    record = path.with_suffix(".json")
    if record.exists():
        told = json.loads(record.read_text(encoding="utf-8"))
        assert told["sha256"] == found["sha256"], f"{record} is not about {path}"
        found |= {key: told[key] for key in ("command", "commit", "seed", "steps", "began_with") if key in told}
    return found


if __name__ == "__main__":
    raise SystemExit(main())
