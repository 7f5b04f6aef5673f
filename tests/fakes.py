"""A fake family in a folder of its own, and clips with known content.

The family proves that adding one changes nothing elsewhere.

Its network blends the two frames linearly and records every call of its phases.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import vapoursynth as vs

import vsvfi.models
from vsvfi.weights.source import Builtin

SPEC = """
from fractions import Fraction
from vsvfi.models.family import Family, BuildConfig, SizeRule, Timesteps, Variant
from vsvfi.options.validators import Choice, Whole
from tests.fakes import FAKE_SOURCE

class FakeFamily(Family):
    def build_config(self, width, height, scale, options, variant=None):
        rule, bisection = SizeRule(multiple=8), options["times"] == "halving"
        return BuildConfig(scale, rule, {"levels": options["levels"]}, bisection=bisection)

FAMILY = FakeFamily(
    name="fake",
    title="Fake",
    paper="none",
    network="vsvfi.models.fake.network:Blend",
    no_tiles="it blends pixels",
    size_rule=SizeRule(multiple=8),
    scales=(Fraction(1), Fraction(1, 2)),
    options={
        "levels": Whole(1, 1000, default=2, description="of nothing"),
        "times": Choice("direct", "halving", default="direct", description="how timesteps are reached"),
    },
    variants=(
        Variant(name="fake", config={}, sources=(FAKE_SOURCE,), licence="none"),
        Variant(name="fake_half", config={}, sources=(FAKE_SOURCE,), licence="none", timesteps=Timesteps.HALF),
    ),
)
"""

NETWORK = """
import ctypes
import sys
from dataclasses import dataclass
import torch
from torch import Tensor, nn
from vsvfi.models.interpolator import Interpolator
from tests import fakes

print("a noisy library writes to stdout while it is imported")
if sys.platform != "win32":
    ctypes.CDLL(None).printf(b"and so does a C library\\n")

@dataclass(frozen=True, slots=True)
class Frame:
    image: Tensor

@dataclass(frozen=True, slots=True)
class Pair:
    first: Tensor
    second: Tensor

class Blend(Interpolator[Frame, Pair]):
    def __init__(self, *, scale, levels):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def encode_frame(self, image):
        fakes.recorder.note("encode", float(image[0, 0, 0, 0]))
        return Frame(image * self.gain)

    def prepare_pair(self, first, second):
        fakes.recorder.note("prepare", (float(first.image[0, 0, 0, 0]), float(second.image[0, 0, 0, 0])))
        return Pair(first.image, second.image)

    def random_inputs(self, pair, position):
        fakes.recorder.positions.append(position)
        return super().random_inputs(pair, position)

    def synthesise(self, pair, t, **inputs):
        fakes.recorder.note("synthesise", float(t[0]))
        if fakes.recorder.hook is not None:
            fakes.recorder.hook()
        weight = t.reshape(-1, 1, 1, 1)
        return (1 - weight) * pair.first + weight * pair.second
"""

FAKE_SOURCE = Builtin(file="fake.safetensors", sha256="0" * 64)


class Recorder:
    """Calls of the fake network's phases.

    `positions` are those for which noise was requested; `hook` runs inside every synthesis.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls: list[tuple[str, object]] = []
        self.positions: list[Fraction] = []
        self.hook: Callable[[], None] | None = None
        self.weights = Path()

    def note(self, phase: str, detail: object) -> None:
        with self._lock:
            self.calls.append((phase, detail))

    def counts(self) -> Counter[str]:
        with self._lock:
            return Counter(phase for phase, _ in self.calls)


recorder = Recorder()


def write_family(folder: Path) -> Path:
    """Put the family and a weight file for it into `folder`; returns the weight file."""
    import torch
    from safetensors.torch import save_file

    package = folder / "fake"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "spec.py").write_text(SPEC)
    (package / "network.py").write_text(NETWORK)
    weights = folder / "fake.safetensors"
    save_file({"gain": torch.ones(1)}, weights)
    return weights


@contextlib.contextmanager
def installed(folder: Path) -> Iterator[Recorder]:
    """The family findable while inside."""
    global recorder
    weights = write_family(folder)
    recorder = Recorder()
    recorder.weights = weights
    vsvfi.models.__path__.append(str(folder))
    importlib.invalidate_caches()
    try:
        yield recorder
    finally:
        vsvfi.models.__path__.remove(str(folder))
        for name in [name for name in sys.modules if name.startswith("vsvfi.models.fake")]:
            del sys.modules[name]
        if hasattr(vsvfi.models, "fake"):
            del vsvfi.models.fake


def painted(paint: Callable[[int, int, np.ndarray], None], **blank: object) -> vs.VideoNode:
    """A clip whose planes are filled by `paint(n, plane, array)`; the arguments are those of std.BlankClip."""
    clip = vs.core.std.BlankClip(**blank)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for plane in range(clip.format.num_planes):
            paint(n, plane, np.asarray(out[plane]))
        return out

    return clip.std.ModifyFrame(clip, fill)


def numbered(
    length: int = 12, width: int = 32, height: int = 16, fpsnum: int = 24, fpsden: int = 1, step: float = 0.01
) -> vs.VideoNode:
    """A flat RGBS clip whose frame n has the value (n + 1) * step everywhere.

    Linear blending is exact on it, and nothing in it is a scene change.
    """

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        array[:] = (n + 1) * step

    return painted(paint, format=vs.RGBS, width=width, height=height, length=length, fpsnum=fpsnum, fpsden=fpsden)


def value(frame: vs.VideoFrame) -> float:
    """The first sample of a frame."""
    return float(np.asarray(frame[0])[0, 0])


def arrays(frame: vs.VideoFrame) -> list[np.ndarray]:
    """Copies of all planes."""
    return [np.array(frame[plane]) for plane in range(frame.format.num_planes)]
