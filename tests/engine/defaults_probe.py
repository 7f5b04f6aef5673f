"""Program of test_defaults: the output of networks and the plugin after other code has changed torch.

Prints one JSON object: change -> name of the case -> hash of the bits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import torch
import vapoursynth as vs

import vsvfi
from tests.building import model_of
from tests.models.regression import GAINS, OPTIONS, SMALLER, frames, seeded
from vsvfi.engine.build import LoadedModel, construct, own
from vsvfi.engine.model import Model
from vsvfi.models.registry import find

MODELS = ("ifrnet_s", "vfimamba_s")
"""Small networks: one that warps, one that scans."""

TIMESTEPS = {"vfimamba_s": 0.5}
"""Of models that bisect; the others get one that half precision cannot hold."""


def flags() -> None:
    """Settings that performance guides recommend at the top of scripts."""
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = True
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)


CHANGES: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "float16": lambda: torch.set_default_dtype(torch.float16),
    "bfloat16": lambda: torch.set_default_dtype(torch.bfloat16),
    "float64": lambda: torch.set_default_dtype(torch.float64),
    "meta": lambda: torch.set_default_device("meta"),
    "flags": flags,
}


def model(name: str) -> Model:
    """With weights that depend on their names alone."""
    family, variant = find(name)
    built = dataclasses.replace(variant, config=SMALLER.get(family.name, variant.config))
    network = construct(
        family, built, family.build_config(70, 50, family.default_scale(70, 50), dict(family.option_defaults))
    )
    state = seeded({key: tensor.shape for key, tensor in network.state_dict().items()}, GAINS.get(family.name, 1.0))
    weighted = LoadedModel(family, built, {key: own(tensor) for key, tensor in state.items()})
    return model_of(weighted, Fraction(1), OPTIONS.get(family.name))


def models(change: str) -> dict[str, Model]:
    """Every case's model; `builtin` as a user loads it, and alone where others would add nothing but time."""
    others = () if change in ("float16", "bfloat16", "flags") else MODELS
    builtin = vsvfi.load_model("builtin", device="cpu", precision="fp32")
    return {"builtin": builtin, **{name: model(name) for name in others}}


def clip() -> vs.VideoNode:
    """A drifting pattern through the plugin."""

    def paint(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for plane in range(3):
            rows, columns = np.mgrid[: f[plane].shape[0], : f[plane].shape[1]]
            np.asarray(out[plane])[:] = (128 + 60 * np.sin((columns - 2 * n) / 5) + 40 * np.cos(rows / 4)).astype(
                np.uint8
            )
        return out

    blank = vs.core.std.BlankClip(format=vs.YUV420P8, width=96, height=64, length=3, fpsnum=24)
    moving = blank.std.ModifyFrame(blank, paint)
    return vsvfi.interpolate(moving, multi=Fraction(3, 2), device="cpu", precision="fp32", scene="off")  # thirds


def played(node: vs.VideoNode) -> str:
    """The frames of a clip."""
    digest = hashlib.sha256()
    for frame in node.frames():
        for plane in range(3):
            digest.update(np.ascontiguousarray(np.asarray(frame[plane])).tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def no_change() -> Iterator[None]:
    yield


def reset() -> None:
    """What torch has at the start of a process."""
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(False)
    torch.set_grad_enabled(True)


def made(change: str, first: torch.Tensor, second: torch.Tensor) -> dict[str, str]:
    """The bits of every case under one change."""
    context: contextlib.AbstractContextManager[object] = no_change()
    if change == "late":
        built, node = models(change), clip()
        CHANGES["float64"]()
        CHANGES["meta"]()
    elif change == "autocast":
        context = torch.autocast("cpu", torch.bfloat16)
        with context:
            built, node = models(change), clip()
    else:
        CHANGES[change]()
        built, node = models(change), clip()
    with context:
        found = {}
        for name, model_made in built.items():
            result = model_made(first, second, TIMESTEPS.get(name, 1 / 3))
            found[name] = f"{result.dtype} {hashlib.sha256(result.numpy().tobytes()).hexdigest()}"
        found["plugin"] = played(node)
    return found


def main(changes: list[str]) -> None:
    first, second = frames()  # images of the caller's, made before
    found = {}
    for change in changes:
        found[change] = made(change, first, second)
        reset()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
