"""What interpolate() refuses, and how failures name their frame."""

from __future__ import annotations

import pytest
import vapoursynth as vs

from tests.clip.clips import interpolated
from tests.fakes import Recorder, numbered, value


def test_out_of_memory_names_the_frame_and_the_knobs(fake_family: Recorder) -> None:
    import torch

    result = interpolated(fake_family, numbered(length=3))

    def fail() -> None:
        raise torch.OutOfMemoryError("out of memory")

    fake_family.hook = fail
    with pytest.raises(
        vs.Error, match=r"interpolate: frame 3: cpu ran out of memory \(held: .*\); use a smaller scale="
    ):
        result.get_frame(3)
    fake_family.hook = None
    assert value(result.get_frame(3)) == pytest.approx(0.025)


def test_other_failures_name_the_frame_too(fake_family: Recorder) -> None:
    def fail() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nsecond line")

    result = interpolated(fake_family, numbered(length=3))
    fake_family.hook = fail
    with pytest.raises(vs.Error, match="interpolate: frame 1: CUDA error: an illegal memory access was encountered"):
        result.get_frame(1)
    fake_family.hook = None
    assert value(result.get_frame(1)) == pytest.approx(0.015)


def test_interlaced_frames_are_refused(fake_family: Recorder) -> None:
    for field in (1, 2):
        with pytest.raises(vs.Error, match=r"interpolate: the clip is interlaced .*deinterlace it first"):
            interpolated(fake_family, numbered().std.SetFieldBased(field))
    late = numbered(length=6)
    late = late[:4] + late[4:].std.SetFieldBased(2)
    result = interpolated(fake_family, late)
    result.get_frame(3)
    with pytest.raises(vs.Error, match="interpolate: frame 9: the clip is interlaced"):
        result.get_frame(9)
    interpolated(fake_family, late.std.SetFieldBased(0)).get_frame(9)


def test_variable_clips_and_other_things_are_refused(fake_family: Recorder) -> None:
    small, large = numbered(width=32), numbered(width=64)
    with pytest.raises(vs.Error, match="interpolate: the clip's format or size varies; bring it to one"):
        interpolated(fake_family, vs.core.std.Splice([small, large], mismatch=True))
    with pytest.raises(
        vs.Error, match="interpolate: the clip is Gray32, samples of 32 bits; convert it to 16 bits or float first"
    ):
        interpolated(fake_family, vs.core.std.BlankClip(format=vs.core.query_video_format(vs.GRAY, vs.INTEGER, 32).id))
    with pytest.raises(vs.Error, match="interpolate: clip='str', must be a VapourSynth video clip"):
        interpolated(fake_family, "clip")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "ifrnet_x"}, r"interpolate: model='ifrnet_x', is not a known model; did you mean "),
        ({"multi": 0}, r"interpolate: multi=0, must be a number from 1"),
        ({"tile": 2}, r"interpolate: tile=2, must be a whole number of pixels from 128"),
        ({"scale": 0.3}, r"interpolate: scale=0\.\d+, is not a scale that Fake supports; use one of 1\.0, 0\.5"),
        (
            {"options": {"steps": 3}},
            r"interpolate: options=\{'steps': 3\}, Fake has no option 'steps'; it takes levels",
        ),
        ({"options": {"levels": 0}}, r"interpolate: options\['levels'\]=0, must be a whole number from 1"),
        ({"device": "cuda:99"}, r"interpolate: device='cuda:99', (torch .* sees no cuda device here|there are)"),
        ({"precision": "fp16"}, r"interpolate: precision='fp16', is slow and incomplete on the CPU"),
        ({"weights": "/nowhere/at/all.pth"}, r"interpolate: weights='.*all.pth', is not a file; check the path"),
        ({"fps": 1}, r"interpolate: fps='1', must be 1/8 to 1000 times the clip's rate of 24"),
    ],
)
def test_bad_arguments_are_refused_at_construction(
    fake_family: Recorder, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(vs.Error, match=message):
        interpolated(fake_family, numbered(), **arguments)


def test_weights_of_another_network_are_refused(fake_family: Recorder) -> None:
    with pytest.raises(vs.Error, match=r"interpolate: weights='.*', this is not a checkpoint of 'ifrnet_s'"):
        interpolated(fake_family, numbered(), model="ifrnet_s")
