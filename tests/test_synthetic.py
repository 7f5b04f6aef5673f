"""The procedural scenes: reproducible by seed, exact flow, and correct labels of cuts and held drawings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vsvfi.errors import ArgumentError
from vsvfi.synthetic import KINDS, demo_clip, evaluation_clips, scene
from vsvfi.synthetic.layer import Motion
from vsvfi.synthetic.texture import Array


def sampled(image: Array, flow: Array) -> tuple[Array, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """image [3, H, W] read at pixel + flow, bilinearly, and where that lies inside the image."""
    height, width = image.shape[1:]
    rows, columns = np.mgrid[:height, :width]
    x, y = columns + flow[0], rows + flow[1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    left, top = (np.clip(np.floor(place).astype(int), 0, size - 2) for place, size in ((x, width), (y, height)))
    a, b = np.clip(x - left, 0, 1), np.clip(y - top, 0, 1)
    upper = image[:, top, left] * (1 - a) + image[:, top, left + 1] * a
    lower = image[:, top + 1, left] * (1 - a) + image[:, top + 1, left + 1] * a
    return (upper * (1 - b) + lower * b).astype(np.float32), inside


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_scene_is_the_same_for_the_same_seed_and_another_for_another(kind: str) -> None:
    first, again, other = (scene(seed, 96, 64, kind=kind) for seed in (3, 3, 4))
    for t in (0.0, 2.5):
        frame = first.frame(t)
        assert frame.shape == (3, 64, 96)
        assert frame.dtype == np.float32
        assert frame.flags.c_contiguous
        assert frame.min() >= 0
        assert frame.max() <= 1
        assert np.array_equal(frame, again.frame(t))
        assert not np.array_equal(frame, other.frame(t))


@pytest.mark.parametrize("kind", ["mixed", "textured", "flat", "pan"])
@pytest.mark.parametrize("seed", [1, 2])
def test_flow_leads_to_the_same_surface_wherever_it_is_visible(kind: str, seed: int) -> None:
    shown = scene(seed, 160, 96, kind=kind)
    shown = type(shown)(layers=shown.layers, width=160, height=96)  # without a change of light
    for t0, t1 in ((2.0, 3.0), (2.6, 2.0)):
        read, inside = sampled(shown.frame(t1), shown.flow(t0, t1))
        layers, _ = sampled(np.repeat(shown.visible(t1)[None].astype(np.float32), 3, 0), shown.flow(t0, t1))
        unoccluded = inside & (np.abs(layers[0] - shown.visible(t0)) < 1e-3)
        error = np.abs(read - shown.frame(t0)).max(0)
        still = np.abs(shown.frame(t1) - shown.frame(t0)).max(0)
        assert unoccluded.mean() > 0.5
        # bilinear reading of sharp detail and antialiased edges is never exact, hence quantiles
        assert np.median(error[unoccluded]) < 0.02
        assert error[unoccluded].mean() < 0.6 * still[unoccluded].mean()


def test_no_time_no_motion() -> None:
    assert np.abs(scene(5, 64, 48).flow(1.5, 1.5)).max() < 1e-3


def test_a_motion_and_its_inverse_cancel() -> None:
    motion = Motion(
        place=(10, 4),
        velocity=(3, -2),
        acceleration=(0.5, 0.1),
        swing=(2, 3, 0.4, 1),
        angle=0.4,
        spin=0.2,
        size=1.3,
        growth=-0.05,
        wave=(3, 40, 0.3),
    )
    y, x = np.mgrid[:20, :30].astype(np.float32)
    for t in (-1.0, 0.0, 3.7):
        back = motion.to_image(*motion.to_layer(x, y, t), t)
        assert np.abs(np.stack(back) - np.stack((x, y))).max() < 1e-3


def test_grain_is_new_at_every_time() -> None:
    dark = scene(1, 64, 48, kind="dark")
    clean = type(dark)(layers=dark.layers, width=64, height=48, gain=dark.gain)
    noises = [dark.frame(t) - clean.frame(t) for t in (0.0, 1.0)]
    assert all(0.3 * dark.grain < noise.std() < 1.2 * dark.grain for noise in noises)
    assert abs(np.corrcoef(noises[0].ravel(), noises[1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("arguments", "words"), [({"kind": "sepia"}, "kind='sepia'"), ({"width": 8}, "at least 16x16")]
)
def test_an_impossible_scene_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        scene(0, **{"width": 64, "height": 48, **arguments})  # type: ignore[arg-type]


def test_the_demo_cuts_holds_and_moves_where_it_says() -> None:
    clip = demo_clip(160, 90, 48)
    frames = [clip.frame(i) for i in range(clip.length)]
    assert len(clip.cuts) == 2
    assert all(frame.shape == (3, 90, 160) and frame.min() >= 0 and frame.max() <= 1 for frame in frames)
    held = {i for part in clip.held for i in part}
    assert held
    changes = [float(np.abs(a - b).mean()) for a, b in itertools.pairwise(frames)]
    for i, change in enumerate(changes, 1):
        assert (change == 0) == (i in held and i % 2 == 1)
    within = max(change for i, change in enumerate(changes, 1) if i not in clip.cuts)
    assert all(changes[cut - 1] > 1.5 * within for cut in clip.cuts)


def test_the_truth_between_frames() -> None:
    clip = demo_clip(160, 90, 48)
    between = clip.truth(4.5)
    assert not np.array_equal(between, clip.frame(4))
    blend = (clip.frame(4) + clip.frame(5)) / 2
    assert np.abs(between - blend).mean() < np.abs(between - clip.frame(7)).mean()
    cut = clip.cuts[0]
    assert np.array_equal(clip.truth(cut - 0.5), clip.frame(cut - 1))
    held = clip.held[0]
    assert np.array_equal(clip.truth(held.start + 0.5), clip.frame(held.start))
    assert np.array_equal(clip.truth(held.start + 1.5), clip.frame(held.start))


@pytest.mark.parametrize(
    ("arguments", "words"), [({"length": 4}, "at least 12 frames"), ({"height": 4}, "at least 16x16")]
)
def test_an_impossible_demo_is_refused(arguments: dict[str, int], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        demo_clip(**arguments)


def test_the_demo_ends() -> None:
    clip = demo_clip(32, 18, 12)
    for position in (-0.1, 11.5):
        with pytest.raises(ArgumentError, match="position"):
            clip.frame(position)


def test_evaluation_clips_cut_where_they_say() -> None:
    clips = list(evaluation_clips(0))
    assert len({clip.name for clip in clips}) == len(clips) > 30
    for clip in clips:
        assert all(0 < cut < clip.length for cut in clip.cuts)
        for cut in clip.cuts:
            before, after = clip.frame(cut - 1), clip.frame(cut)
            assert after.shape[0] == 3
            assert after.dtype == np.float32
            assert 0 <= after.min() <= after.max() <= 1
            assert np.abs(after - before).mean() > 0.004
    again = {clip.name: clip.frame(3) for clip in evaluation_clips(0)}
    assert all(np.array_equal(again[clip.name], clip.frame(3)) for clip in clips[::5])
    other = next(iter(evaluation_clips(1)))
    assert not np.array_equal(other.frame(0), clips[0].frame(0))
