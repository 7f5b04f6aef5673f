"""One short test per use of a required package, also run on the lowest allowed versions (scripts/minimum)."""

from __future__ import annotations

import hashlib
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import vapoursynth as vs
from safetensors.numpy import save

import vsvfi
from tests.fake_hub import COMMIT, FakeHub, Fault, running
from tests.fakes import Recorder, arrays, numbered, painted, value
from vsvfi.cli import main
from vsvfi.cli.bench import write_random_weights
from vsvfi.clip import version
from vsvfi.ops import dispatch
from vsvfi.weights.source import Url

pytestmark = pytest.mark.minimum

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONTENT = save({"weight": np.arange(30_000, dtype=np.float32)})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setenv("VSVFI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in ("VSVFI_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    with running() as server:
        yield server


def interpolated(fake: Recorder, clip: vs.VideoNode, **arguments: object) -> vs.VideoNode:
    return vsvfi.interpolate(clip, **{"model": "fake", "weights": fake.weights, "device": "cpu", **arguments})


@pytest.mark.parametrize("arguments", [{"multi": 2}, {"multi": Fraction(5, 2)}, {"fps": 60}])
def test_frames_and_durations(fake_family: Recorder, arguments: dict[str, object]) -> None:
    source = numbered(length=6, fpsnum=24, fpsden=1)
    result = interpolated(fake_family, source, **arguments)
    factor = Fraction(result.fps) / 24
    total = Fraction(0)
    for n, frame in enumerate(result.frames(close=True)):
        assert value(frame) == pytest.approx(float(min(n / factor, Fraction(5)) + 1) * 0.01, abs=1e-6)
        total += Fraction(int(frame.props["_DurationNum"]), int(frame.props["_DurationDen"]))
    assert total == Fraction(6, 24)


@pytest.mark.parametrize("video_format", ["YUV420P8", "YUV422P10", "YUV444PS", "RGB24", "RGBH", "GRAY16"])
def test_formats(fake_family: Recorder, video_format: str) -> None:
    clip = painted(
        lambda n, plane, array: array.fill(array.dtype.type(1 + n)),
        format=getattr(vs, video_format),
        width=64,
        height=64,
        length=3,
    )
    result = interpolated(fake_family, clip, scene="off", duplicates="off")
    assert (result.format, result.num_frames) == (clip.format, 6)
    for n in range(3):
        with result.get_frame(2 * n) as frame, clip.get_frame(n) as source:
            assert all(np.array_equal(ours, theirs) for ours, theirs in zip(arrays(frame), arrays(source), strict=True))
    with result.get_frame(1) as frame:
        assert frame.format == clip.format


def test_cuts_and_duplicates(fake_family: Recorder) -> None:
    levels = [0.1, 0.1, 0.9, 0.8]
    clip = painted(lambda n, plane, array: array.fill(levels[n]), format=vs.RGBS, width=64, height=64, length=4)
    shown = [value(frame) for frame in interpolated(fake_family, clip).frames(close=True)]
    assert shown[:4] == pytest.approx([0.1] * 4, abs=1e-6)
    assert shown[4] == pytest.approx(0.9)


def test_an_error_while_frames_are_made_is_told(fake_family: Recorder) -> None:
    def broken(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        raise RuntimeError("no frame here")

    clip = numbered(length=4)
    spoilt = clip.std.ModifyFrame(clip, lambda n, f: broken(n, f) if n == 2 else f)
    result = interpolated(fake_family, spoilt, scene="off", duplicates="off")
    with pytest.raises(vs.Error, match="no frame here"):
        result.get_frame(4)


def test_the_packaged_model() -> None:
    images = torch.linspace(0, 1, 2 * 3 * 64 * 64).reshape(2, 1, 3, 64, 64)
    frame = vsvfi.load_model("builtin", device="cpu")(*images, 0.5)
    assert frame.shape == images[0].shape
    assert bool(torch.isfinite(frame).all())


def test_checkpoints(tmp_path: Path) -> None:
    write_random_weights("ifrnet_s", tmp_path / "a.safetensors")
    from safetensors.torch import load_file

    state = load_file(tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pth")
    first, second = (
        vsvfi.load_model("ifrnet_s", weights=tmp_path / name, device="cpu") for name in ("a.safetensors", "b.pth")
    )
    image = torch.full((1, 3, 32, 32), 0.5)
    assert torch.equal(first(image, image), second(image, image))


def test_native_code() -> None:
    state = {backend.name: backend for backend in dispatch.backends()}
    assert state["llvmlite"].available, state["llvmlite"].reason


def test_downloads(hub: FakeHub) -> None:
    from vsvfi.weights.fetch import fetch

    url = hub.add("/toy.safetensors", CONTENT, Fault(drop=40_000))
    source = Url(url=url, sha256=hashlib.sha256(CONTENT).hexdigest())
    assert fetch("toy", [source], licence="MIT").read_bytes() == CONTENT


def test_downloads_from_the_hub(hub: FakeHub, tmp_path: Path) -> None:
    """In a process of its own, since huggingface_hub reads the environment when it is imported."""
    hub.add("/owner/name/resolve/main/toy.safetensors", CONTENT)
    script = "from vsvfi.weights.fetch import fetch; from vsvfi.weights.source import Hub; "
    script += "print(fetch('toy', [Hub(repo='owner/name', file='toy.safetensors')], licence='MIT'))"
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hub")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    path = Path(done.stdout.strip())
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == CONTENT
    assert path.parts[-2:] == (COMMIT, "toy.safetensors")


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert "builtin" in capsys.readouterr().out


# --- what is declared


def test_every_requirement_has_a_lower_bound() -> None:
    """Without one the lowest supported version is unknown."""
    extras = PROJECT["optional-dependencies"]
    unbound = [name for name in (*PROJECT["dependencies"], *extras["video"]) if ">=" not in name]
    assert unbound == []


def test_the_declared_vapoursynth_is_the_one_that_is_checked() -> None:
    (declared,) = [name for name in PROJECT["dependencies"] if re.match(r"vapoursynth\b", name)]
    assert declared == f"vapoursynth>={version.MINIMUM}"


def test_the_declared_python_is_the_one_that_is_checked() -> None:
    """By pip, by the package where a copied folder is imported, and by the scripts."""
    checks = [(ROOT / name).read_text(encoding="utf-8") for name in ("vsvfi/__init__.py", "scripts/environment.sh")]
    least = {match for text in checks for match in re.findall(r"version_info < \((\d+), (\d+)\)", text)}
    assert [f">={major}.{minor}" for major, minor in least] == [PROJECT.get("requires-python")]


@pytest.mark.parametrize("release", [74, 77])
def test_an_older_vapoursynth_is_refused_in_one_sentence(
    fake_family: Recorder, monkeypatch: pytest.MonkeyPatch, release: int
) -> None:
    monkeypatch.setattr(version, "_release", lambda: release)
    expected = (
        f"interpolate: VapourSynth R{release} is too old, vsvfi needs R78 or newer; pip install -U 'vapoursynth>=78' "
        "(help: vsvfi explain installation)"
    )
    with pytest.raises(vs.Error) as caught:
        interpolated(fake_family, numbered(length=4))
    assert str(caught.value) == expected


@pytest.mark.parametrize("release", [78, None])
def test_a_new_enough_or_unknown_vapoursynth_is_taken(
    fake_family: Recorder, monkeypatch: pytest.MonkeyPatch, release: int | None
) -> None:
    monkeypatch.setattr(version, "_release", lambda: release)
    assert interpolated(fake_family, numbered(length=4)).num_frames == 8


def test_the_release_of_this_core_is_read() -> None:
    assert version._release() == vs.core.core_version.release_major >= version.MINIMUM


@pytest.mark.parametrize("package", [module.name for module in pkgutil.iter_modules(vsvfi.__path__) if module.ispkg])
def test_every_module_can_be_imported(package: str) -> None:
    found = [module.name for module in pkgutil.walk_packages([f"{vsvfi.__path__[0]}/{package}"], f"vsvfi.{package}.")]
    assert found
    for name in found:
        optional = ""
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            optional = error.name or ""
        assert not optional.startswith("vsvfi"), name
