"""Colour conversion on the device: the same frames as through zimg, within rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import vapoursynth as vs
from hypothesis import given
from hypothesis import strategies as st

import vsvfi
from scripts.colour_against_zimg import MATRICES, compare, formats
from tests.fakes import Recorder, arrays, painted
from vsvfi.clip.colour import Colour, frame_format
from vsvfi.clip.graph import interpolate_with_config
from vsvfi.engine.device_colour import DeviceColour
from vsvfi.engine.frame_format import Coding

CPU = torch.device("cpu")


@given(
    video_format=st.sampled_from(formats()),
    across=st.integers(1, 5),
    down=st.integers(1, 5),
    coding=st.builds(Coding, st.sampled_from(MATRICES), st.booleans(), st.integers(0, 5)),
    seed=st.integers(0, 2**32 - 1),
    extreme=st.booleans(),
)
def test_conversions_equal_those_of_zimg(
    video_format: vs.VideoFormat, across: int, down: int, coding: Coding, seed: int, extreme: bool
) -> None:
    if video_format.color_family != vs.YUV:
        coding = replace(coding, matrix=1)
    width, height = across << video_format.subsampling_w, down << video_format.subsampling_h
    found = compare(video_format, width, height, coding, seed=seed, extreme=extreme, device=CPU)
    half = video_format.sample_type == vs.FLOAT and video_format.bits_per_sample == 16
    assert found.rgb <= 2e-6
    assert found.codes <= (1 if video_format.sample_type == vs.INTEGER else 1e-3 if half else 2e-6)


def test_ties_are_rounded_as_zimg_does() -> None:
    """Some of the values are exactly between two codes, as frames blended half and half are."""
    values = np.arange(64, dtype=np.float32).reshape(1, 64) / 64
    blank = vs.core.std.BlankClip(format=vs.GRAY10, width=64, height=1, length=1)
    described, coding = frame_format(blank), Coding(1, False, 0)
    assert described is not None
    packed = DeviceColour(described, CPU).from_rgb(torch.from_numpy(values).expand(1, 3, 1, 64), coding)

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        array[:] = values

    rgb = painted(paint, format=vs.RGBS, width=64, height=1, length=1)
    with Colour(blank, vs.RGBS, None).restored(rgb, coding).get_frame(0) as frame:
        assert np.array_equal(packed.numpy().view(np.uint16), arrays(frame)[0][0])


def moving(name: str, length: int = 3, props: dict[str, int] | None = None) -> vs.VideoNode:
    """Noise that differs from frame to frame, floating point beyond [0, 1]."""
    video_format = getattr(vs, name)

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        generator = np.random.default_rng([plane, n])
        if array.dtype.kind == "f":
            array[:] = generator.uniform(-0.2, 1.4, array.shape)
        else:
            array[:] = generator.integers(0, 1 << clip_format.bits_per_sample, array.shape)

    clip_format = vs.core.get_video_format(video_format)
    clip = painted(paint, format=video_format, width=32, height=16, length=length, fpsnum=24)
    return clip.std.SetFrameProps(**(props or {}))


def through(
    path: str, clip: vs.VideoNode, fake: Recorder, monkeypatch: pytest.MonkeyPatch, **arguments: object
) -> list[list[np.ndarray]]:
    """All frames of the result, converted by this path, which must be the one that runs."""
    monkeypatch.setenv("VSVFI_COLOUR", path)
    given = {"model": "fake", "weights": fake.weights, "device": "cpu", "scene": "off", "duplicates": "off"}
    made = interpolate_with_config(clip, **{**given, **arguments})  # type: ignore[arg-type]
    assert (made.config.frame_format is not None) == (path == "device")
    found = []
    for frame in made.clip.frames(close=True):
        transparency = frame.props.get("_Alpha")
        found.append(arrays(frame) + (arrays(transparency) if isinstance(transparency, vs.VideoFrame) else []))
    return found


@pytest.mark.parametrize(
    ("name", "props"),
    [
        ("YUV420P8", {"_Matrix": 1, "_Range": 0, "_ChromaLocation": 2}),
        ("YUV422P10", {"_Matrix": 9, "_Range": 1}),
        ("YUV444PS", {"_Matrix": 6, "_Transfer": 8}),
        ("YUV420P16", {}),
        ("RGBH", {"_Transfer": 8}),
        ("RGB24", {"_Range": 0}),
        ("GRAY16", {}),
    ],
)
def test_interpolated_frames_equal_those_through_zimg(
    fake_family: Recorder, monkeypatch: pytest.MonkeyPatch, name: str, props: dict[str, int]
) -> None:
    clip = moving(name, props=props)
    device, zimg = (through(path, clip, fake_family, monkeypatch, multi=3) for path in ("device", "zimg"))
    assert not np.array_equal(device[1][0], device[0][0])
    for n, (ours, theirs) in enumerate(zip(device, zimg, strict=True)):
        for plane, expected in zip(ours, theirs, strict=True):
            if n % 3 == 0 or n > 6:
                assert np.array_equal(plane, expected)
            else:
                tolerance = 1 if plane.dtype.kind == "u" else 2e-3 if plane.dtype == np.float16 else 1e-4
                assert np.abs(plane.astype(np.float64) - expected.astype(np.float64)).max() <= tolerance


def test_frames_keep_their_own_coding_and_alpha(fake_family: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = moving("YUV420P8", 2, {"_Matrix": 1, "_Range": 0}) + moving("YUV420P8", 2, {"_Matrix": 6, "_Range": 1})
    alpha = moving("GRAY8", 4)

    def attach(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        out = f[0].copy()
        out.props["_Alpha"] = f[1]
        return out

    clip = clip.std.ModifyFrame([clip, alpha], attach)
    device, zimg = (through(path, clip, fake_family, monkeypatch) for path in ("device", "zimg"))
    for ours, theirs in zip(device, zimg, strict=True):
        assert len(ours) == len(theirs) == 4
        assert all(np.abs(a.astype(int) - b.astype(int)).max() <= 1 for a, b in zip(ours, theirs, strict=True))
        assert np.array_equal(ours[3], theirs[3])


def test_formats_that_zimg_refuses_are_left_to_it() -> None:
    video_format = vs.core.query_video_format(vs.YUV, vs.INTEGER, 8, 3, 0)
    assert frame_format(vs.core.std.BlankClip(format=video_format.id, width=64, height=16)) is None


def test_an_unknown_path_is_refused(fake_family: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSVFI_COLOUR", "gpu")
    with pytest.raises(vs.Error, match="VSVFI_COLOUR='gpu', must be 'auto', 'device' or 'zimg'; unset it"):
        vsvfi.interpolate(moving("RGBS"), model="fake", weights=fake_family.weights, device="cpu")
