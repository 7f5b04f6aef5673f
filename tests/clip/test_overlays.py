"""Masks of what must not move, given and found."""

from __future__ import annotations

import numpy as np
import pytest
import vapoursynth as vs

import vsvfi
from tests.clip.clips import interpolated
from tests.fakes import Recorder, arrays, numbered, painted
from vsvfi.clip.overlay_detection import overlay_masks, step_masks
from vsvfi.synthetic.captions import caption

WIDTH, HEIGHT, LENGTH = 320, 180, 26
SHOWN = range(8, 20)


def texture(seed: int) -> np.ndarray:
    """Soft texture of 16 codes and more, [HEIGHT, 1200]."""
    generator = np.random.default_rng(seed)
    coarse = generator.normal(0, 1, (HEIGHT // 6 + 2, 202)).repeat(6, 0).repeat(6, 1)
    for axis in (0, 1):
        coarse = sum(np.roll(coarse, shift, axis) for shift in range(-3, 4)) / 7
    return np.clip(110 + 45 * coarse, 16, 235)[:HEIGHT, :1200].astype(np.float32)


def glyphs() -> np.ndarray:
    """Coverage of the caption's pixels, [HEIGHT, WIDTH]."""
    cover = np.zeros((HEIGHT, WIDTH), np.float32)
    text = caption("LAST TRAIN TO ROME", 2)
    cover[140 : 140 + text.shape[0], 40 : 40 + text.shape[1]] = text
    return cover


def footage(
    speed: float, caption_in: range = range(0), moving: slice = slice(None), grain: float = 0, cover: float = 1
):
    """Texture that moves by `speed` pixels per frame inside `moving` columns, with a caption in some frames."""
    ground, text = texture(1), glyphs() * cover

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        image = ground[:, :WIDTH].copy()
        start = n * speed
        whole, part = int(start), start - int(start)
        shifted = ground[:, whole : whole + WIDTH] * (1 - part) + ground[:, whole + 1 : whole + 1 + WIDTH] * part
        image[:, moving] = shifted[:, moving]
        if n in caption_in:
            image = image * (1 - text) + 225 * text
        if grain:
            image = image + np.random.default_rng(n).normal(0, grain, image.shape)
        array[:] = np.rint(np.clip(image, 0, 255))

    return painted(paint, format=vs.GRAY8, width=WIDTH, height=HEIGHT, length=LENGTH, fpsnum=24, fpsden=1)


def mask_at(clip: vs.VideoNode, n: int) -> np.ndarray:
    return np.asarray(clip.get_frame(n)[0]) > 0


@pytest.mark.parametrize(("cover", "grain"), [(1.0, 0.0), (0.6, 4.0)])
def test_captions_over_moving_footage_are_found_while_they_are_shown(cover: float, grain: float) -> None:
    found = overlay_masks(footage(6, SHOWN, grain=grain, cover=cover))
    text = glyphs() > 0
    for n in (SHOWN[0], SHOWN[5], SHOWN[-1]):
        mask = mask_at(found, n)
        assert (mask & text).sum() > 0.7 * text.sum()
        near = np.zeros_like(text)
        near[130:166, 30:270] = True
        assert (mask & ~near).mean() < 0.002
    for n in (SHOWN[0] - 1, SHOWN[-1] + 1):
        assert mask_at(found, n).mean() < 0.002
    steps = step_masks(found)
    assert (mask_at(steps, SHOWN[0] - 1) & text).sum() > 0.6 * text.sum()  # it appears as a whole
    assert mask_at(steps, SHOWN[0] - 2).mean() < 0.002


def barred(clip: vs.VideoNode, rows: int, columns: int = 0, lit: int = 0) -> vs.VideoNode:
    """Black bars above and below, or at both sides, with the caption of `glyphs` over all; `lit` is added to black."""
    text = glyphs()

    def paint(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        out = f[0].copy()
        image = np.asarray(out[0])
        image[:rows] = image[HEIGHT - rows :] = 16 + lit
        image[:, :columns] = image[:, WIDTH - columns :] = 16 + lit
        image[:] = np.rint(image * (1 - text) + 225 * text)
        return out

    return clip.std.ModifyFrame([clip], lambda n, f: paint(n, f if isinstance(f, list) else [f]))


@pytest.mark.parametrize(("rows", "columns"), [(30, 0), (36, 0), (0, 60)])
def test_captions_on_the_border_of_a_black_bar_are_found_and_the_border_is_not(rows: int, columns: int) -> None:
    found = mask_at(overlay_masks(barred(footage(6), rows, columns)), 12)
    text = glyphs() > 0
    picture = np.zeros_like(text)
    picture[rows : HEIGHT - rows, columns : WIDTH - columns] = True
    inside = text & picture
    assert 0.3 * text.sum() < inside.sum() < text.sum()  # the caption is on both
    assert (found & inside).sum() > 0.7 * inside.sum()
    near = np.zeros_like(text)
    near[130:166, 30:270] = True
    assert (found & ~near).mean() < 0.002


def test_a_grey_bar_is_a_still_picture_beside_motion() -> None:
    assert mask_at(overlay_masks(barred(footage(6), 45, lit=60)), 12).mean() < 0.003


@pytest.mark.parametrize(
    "arguments",
    [
        {"speed": 6},
        {"speed": 0.1},
        {"speed": 0},
        {"speed": 0, "grain": 5},
        {"speed": 6, "moving": slice(0, 150)},
        {"speed": 6, "moving": slice(170, 320), "grain": 5},
        {"speed": 0, "caption_in": SHOWN},
    ],
    ids=str,
)
def test_backgrounds_are_not_frozen(arguments: dict[str, object]) -> None:
    found = overlay_masks(footage(**arguments))  # type: ignore[arg-type]
    assert max(mask_at(found, n).mean() for n in (0, 7, 13, 25)) < 0.003


def halves(n: int, plane: int, array: np.ndarray) -> None:
    """White in the left half."""
    array[:, : array.shape[1] // 2] = 255


@pytest.mark.parametrize("name", ["YUV420P8", "YUV422P16", "RGB24", "RGBH", "GRAYS", "YUV444PH"])
def test_inside_a_mask_the_nearest_source_frame_is_kept(fake_family: Recorder, name: str) -> None:
    source = numbered(length=4, width=48).resize.Bicubic(
        format=getattr(vs, name), **({} if name.startswith("RGB") else {"matrix_s": "709"})
    )
    mask = painted(halves, format=vs.GRAY8, width=48, height=16, length=1)
    plain, kept = (interpolated(fake_family, source, multi=3, **extra) for extra in ({}, {"mask": mask}))
    for n, nearest in enumerate([0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]):
        for before, after, original in zip(
            arrays(plain.get_frame(n)), arrays(kept.get_frame(n)), arrays(source.get_frame(nearest)), strict=True
        ):
            width = before.shape[1]
            assert np.array_equal(after[:, : width // 2], original[:, : width // 2])
            assert np.array_equal(after[:, width * 3 // 4 :], before[:, width * 3 // 4 :])
    assert dict(kept.get_frame(1).props) == dict(plain.get_frame(1).props)


@pytest.mark.parametrize("name", ["GRAY16", "GRAYH", "GRAYS"])
def test_masks_may_have_any_depth(fake_family: Recorder, name: str) -> None:
    source = numbered(length=2, width=48)
    mask = painted(halves, format=vs.GRAY8, width=48, height=16, length=1)
    deep = mask.resize.Point(format=getattr(vs, name), range_in=vs.RANGE_FULL, range=vs.RANGE_FULL)
    results = [arrays(interpolated(fake_family, source, mask=given).get_frame(1))[0] for given in (mask, deep)]
    assert np.abs(results[0] - results[1]).max() < 1e-5


def test_the_filter_alone_does_the_same(fake_family: Recorder) -> None:
    source = numbered(length=5, width=48)
    mask = painted(
        lambda n, p, array: halves(n, p, array) if n == 2 else None, format=vs.GRAY8, width=48, height=16, length=5
    )
    plain, kept = interpolated(fake_family, source), interpolated(fake_family, source, mask=mask)
    restored = vsvfi.keep_overlays(plain, source, mask)
    for n in range(10):
        assert all(map(np.array_equal, arrays(kept.get_frame(n)), arrays(restored.get_frame(n))))
    assert not np.array_equal(arrays(plain.get_frame(3))[0], arrays(kept.get_frame(3))[0])
    assert vsvfi.keep_overlays(plain, source, None) is plain
    automatic = vsvfi.keep_overlays(plain, source)
    assert np.array_equal(arrays(automatic.get_frame(3))[0], arrays(plain.get_frame(3))[0])  # there is no overlay


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        ("logo", "mask='logo', must be \"auto\" or a clip"),
        ({"width": 32}, "must have the clip's size of 48x16"),
        ({"length": 3}, "must have one frame, or one for each of the clip's 5"),
        ({"format": vs.RGB24}, "must be Gray, 8 to 16 bit or float"),
    ],
    ids=str,
)
def test_masks_that_do_not_fit_are_refused(fake_family: Recorder, mask: object, told: str) -> None:
    if isinstance(mask, dict):
        mask = vs.core.std.BlankClip(**{"format": vs.GRAY8, "width": 48, "height": 16, "length": 5, **mask})
    source = numbered(length=5, width=48)
    with pytest.raises(vs.Error) as caught:
        interpolated(fake_family, source, mask=mask)
    assert told in str(caught.value)
    with pytest.raises(vs.Error) as caught:
        vsvfi.keep_overlays(source, source, mask)  # type: ignore[arg-type]
    assert told in str(caught.value)


def test_clips_that_do_not_belong_together_are_refused() -> None:
    source = numbered(length=5)
    for other, told in ((numbered(length=5, width=48), "the clips differ"), (numbered(length=9), "has 9 frames")):
        with pytest.raises(vs.Error, match=f"keep_overlays: .*{told}"):
            vsvfi.keep_overlays(other, source)
