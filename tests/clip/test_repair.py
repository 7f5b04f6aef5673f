"""Repeated and dropped frames in real encodes of procedural animation, with known truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from scripts.evaluate.drawings import blockiness, judged
from scripts.evaluate.encodes import Frames, drawn, encoded
from tests.cli.media_files import ffmpeg
from tests.clip.clips import interpolated
from tests.fakes import Recorder, arrays
from vsvfi.cli.programs import encoders
from vsvfi.clip import scenes
from vsvfi.synthetic.drawings import FAULTS, KINDS, Animation, animations

SEED = 7
X264, X265, LIVE = "x264 crf 23", "x265 crf 28", "x264 400 kbit/s, live"

type Encodes = Callable[[str, str], tuple[Animation, Frames]]


@pytest.fixture(scope="session")
def encodes() -> Encodes:
    """An animation and its frames as an encoder returns them; each made once."""
    drawings: dict[str, tuple[Animation, Frames]] = {}
    results: dict[tuple[str, str], Frames] = {}

    def encode(kind: str, encoder: str) -> tuple[Animation, Frames]:
        if f"lib{encoder.split()[0]}" not in encoders(ffmpeg()):
            pytest.skip(f"ffmpeg has no encoder for {encoder}")
        if kind not in drawings:
            (animation,) = animations(SEED, (kind,))
            drawings[kind] = animation, drawn(animation.frame, animation.length)
        animation, source = drawings[kind]
        if (kind, encoder) not in results:
            results[kind, encoder] = encoded(source, encoder)
        return animation, results[kind, encoder]

    return encode


@pytest.mark.parametrize(
    ("kind", "encoder"),
    [
        *((kind, X264) for kind in (
            "on ones", "on twos", "mixed ones, twos, threes", "pan on ones, character on twos",
            "pan and character on twos", "talking on twos", "one frame in twelve repeated",
        )),
        *((kind, X265) for kind in ("on threes", "slow pan, character on threes", "mixed, in real time")),
    ],
)  # fmt: skip
def test_held_drawings_are_found_in_encodes_and_nothing_is_repaired(kind: str, encoder: str, encodes: Encodes) -> None:
    animation, frames = encodes(kind, encoder)
    found = judged(frames)
    assert len(found.repeats & animation.repeats) >= 0.9 * len(animation.repeats)
    assert found.repeats <= animation.repeats
    assert found.repaired == set()


@pytest.mark.parametrize("kind", ["on twos", "talking on twos", "mixed, in real time"])
def test_in_an_encode_for_live_streams_repeats_are_missed_but_nothing_is_false(kind: str, encodes: Encodes) -> None:
    """Its noise changes held drawings as much as motion does; what is missed must not look like a dropped frame."""
    animation, frames = encodes(kind, LIVE)
    found = judged(frames)
    assert 0.6 * len(animation.repeats) < len(found.repeats) < len(animation.repeats)
    assert found.repeats <= animation.repeats
    assert found.repaired == set()


def test_a_hold_among_missed_repeats_is_no_dropped_frame() -> None:
    if "libx264" not in encoders(ffmpeg()):
        pytest.skip(f"ffmpeg has no encoder for {LIVE}")
    (animation,) = animations(1, ("mixed, in real time",))
    assert judged(encoded(drawn(animation.frame, animation.length), LIVE)).repaired == set()


@pytest.mark.parametrize(
    ("kind", "encoder"),
    [
        ("dropped, repeated before", X264),
        ("dropped, repeated after", X265),
        ("two dropped", X264),
        ("dropped, only the character moves", X265),
    ],
)
def test_dropped_frames_are_found_in_encodes(kind: str, encoder: str, encodes: Encodes) -> None:
    animation, frames = encodes(kind, encoder)
    assert judged(frames).repaired == set(animation.fixes)


def test_repairing_changes_only_frames_that_hide_dropped_ones(fake_family: Recorder, encodes: Encodes) -> None:
    animation, frames = encodes("dropped, repeated before", X264)
    source = frames.clip()
    result = interpolated(fake_family, source, multi=1, duplicates="repair")
    assert (result.num_frames, result.fps) == (source.num_frames, source.fps)
    for n in range(animation.length):
        with result.get_frame(n) as made, source.get_frame(n) as given:
            if n not in animation.fixes:
                assert all(map(np.array_equal, arrays(made), arrays(given)))
            else:  # the network of the fake family mixes the frames before and after
                luma = (frames.planes[n - 1][0].astype(float) + frames.planes[n + 1][0]) / 2
                assert np.abs(np.asarray(made[0]) - luma).mean() < 1
    assert fake_family.counts()["synthesise"] == len(animation.fixes)


def test_a_held_drawing_is_shown_by_its_copy_with_the_least_blocks(fake_family: Recorder, encodes: Encodes) -> None:
    _, frames = encodes("on threes", X265)
    source = frames.clip()
    result = interpolated(fake_family, source, multi=1, duplicates="retime")
    chosen = []
    for start in range(3, 30, 3):
        with result.get_frame(start) as made:
            luma = np.asarray(made[0]).copy()
        copies = [frames.planes[k][0] for k in range(start, start + 3)]
        least = min(range(3), key=lambda k: blockiness(copies[k].astype(float)))
        assert np.array_equal(luma, copies[least])
        chosen.append(least)
    assert len(set(chosen)) > 1


def test_blockiness_and_distances_are_measured_only_on_request(encodes: Encodes) -> None:
    _, frames = encodes("on threes", X265)
    clip = frames.clip()[:6]
    plain = [scenes.read(frame) for frame in scenes.facts(clip, scene="off", threshold=None).frames()]
    assert {(fact.blockiness, fact.apart) for fact in plain} == {(0.0, ())}
    for measure in ("blockiness", "apart"):
        measured = scenes.facts(clip, scene="off", threshold=None, measure=measure)  # type: ignore[arg-type]
        facts = [scenes.read(frame) for frame in measured.frames()]
        assert [len(fact.apart) for fact in facts] == ([4, 4, 3, 2, 1, 0] if measure == "apart" else [0] * 6)
        assert all((fact.blockiness != 0) == (measure == "blockiness") for fact in facts)


def test_every_kind_of_animation_states_what_it_shows() -> None:
    for kind, make in {**KINDS, **FAULTS}.items():
        animation = make(kind, SEED)
        assert len(animation.background) == animation.length
        for n, moment in animation.fixes.items():
            assert animation.character[n] != moment
            assert n in animation.repeats or n - 1 in animation.repeats
