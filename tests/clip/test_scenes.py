"""Scene changes and duplicates in real VapourSynth graphs.

Every kind of look-alike, props of the source, formats, seeking, clips of any length.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs
from vapoursynth import core

from scripts.evaluate.scenes import CLASSES, Tally, class_of, clip_of
from tests.clip import clips
from vsvfi.clip import cut_score, scenes
from vsvfi.errors import ArgumentError
from vsvfi.synthetic.cuts import KINDS, CutClip, cases, evaluation_clips
from vsvfi.synthetic.cuts.shots import HEIGHT, WIDTH, natural, palette_of
from vsvfi.synthetic.texture import Array

FORMATS = [
    "GRAY8",
    "GRAY10",
    "GRAY16",
    "GRAYH",
    "GRAYS",
    "YUV420P8",
    "YUV420P10",
    "YUV420P16",
    "YUV422P12",
    "YUV444P14",
    "YUV444PH",
    "YUV420PS",
    "YUV410P8",
    "RGB24",
    "RGB30",
    "RGB48",
    "RGBH",
    "RGBS",
]


def clip_from(image: Callable[[int], Array], length: int, format: int = vs.YUV420P8) -> vs.VideoNode:
    return clip_of(CutClip("test", "test", length, frozenset(), image), format)


def cuts_of(clip: vs.VideoNode, scene: str = "auto", threshold: float | None = None) -> set[int]:
    """Indices of the first frames of scenes."""
    return {
        n + 1
        for n, frame in enumerate(scenes.facts(clip, scene=scene, threshold=threshold).frames())
        if scenes.read(frame).cut
    }


def duplicates_of(clip: vs.VideoNode) -> list[bool]:
    return [scenes.read(frame).duplicate for frame in scenes.facts(clip, scene="off", threshold=None).frames()]


@pytest.fixture(scope="module")
def places() -> tuple[Array, Array]:
    """Two unrelated images."""
    generator = np.random.default_rng(5)
    first, second = (natural(generator, palette_of(generator))[:, :HEIGHT, :WIDTH] for _ in range(2))
    return first, second


def with_props(clip: vs.VideoNode, props: dict[int, dict[str, int]]) -> vs.VideoNode:
    def add(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        out.props.update(props.get(n, {}))
        return out

    return clip.std.ModifyFrame(clip, add)


# --- detection
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind(kind: str) -> None:
    (case,) = cases(3, (kind,))
    assert bool(case.cuts) == kind.startswith("cut")
    assert cuts_of(clip_of(case)) == case.cuts


def test_recall_and_precision_on_clips_not_used_for_tuning() -> None:
    """Both catalogues, thinned so that it stays quick; python -m scripts.evaluate.scenes measures all."""
    tally = Tally()
    for case in chain(list(cases(21))[::3], list(evaluation_clips(21))[::4]):
        tally.add(case.length, case.cuts, {"vsvfi": cuts_of(clip_of(case))})
    assert tally.cuts >= 25
    assert tally.recall("vsvfi") >= 0.98
    assert tally.precision("vsvfi") >= 0.95


def test_each_clip_of_the_evaluation_has_its_class() -> None:
    names = [*KINDS, *(case.name for case in evaluation_clips(0))]
    assert {class_of(name) for name in names} == set(CLASSES)
    for case in evaluation_clips(0):
        assert class_of(case.name).startswith("cut") == bool(case.cuts), case.name


def test_a_smaller_threshold_finds_more(places: tuple[Array, Array]) -> None:
    first, second = places
    mixed = 0.5 * first + 0.5 * second
    clip = clip_from(lambda n: first if n < 6 else mixed, 12)
    found = [cuts_of(clip, threshold=threshold) for threshold in (0.01, 0.9)]
    assert found == [{6}, set()]


@pytest.mark.parametrize(
    ("before", "after", "cut"), [(0.18, 0.24, False), (0.5, 0.44, False), (0.1, 0.8, True), (0.9, 0.05, True)]
)
def test_steps_of_blank_images(before: float, after: float, cut: bool) -> None:
    first, second = (
        core.std.BlankClip(width=64, height=48, format=vs.GRAYS, length=6, color=level) for level in (before, after)
    )
    assert cuts_of(first + second) == ({6} if cut else set())


@pytest.mark.parametrize(
    ("before", "after", "cut"),
    [((20, 60), (160, 230), True), ((20, 60), (30, 80), False), ((0, 120), (60, 255), False)],
)
def test_steps_of_brightness_that_keep_the_structure(
    before: tuple[int, int], after: tuple[int, int], cut: bool
) -> None:
    """Those that dwarf the contrast are cuts, as between blank images."""
    first, second = (
        clips.noise("YUV420P8", length=6).std.Levels(0, 255, 1, *codes, planes=0) for codes in (before, after)
    )
    assert cuts_of(first + second) == ({6} if cut else set())


def test_real_footage_without_cuts(shared: Path, tmp_path: Path) -> None:
    if not hasattr(core, "lsmas"):
        pytest.skip("the source filter lsmas is not installed")
    clip = core.lsmas.LWLibavSource(f"{shared}/clips/talking.mp4", cachefile=f"{tmp_path}/index")
    assert cuts_of(clip[::4]) == set()
    assert cuts_of(clip[:20] + clip.std.Transpose().resize.Bicubic(clip.width, clip.height)[:20]) == {20}


# --- props of the source
# -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("props", "auto", "stated"),
    [
        ({}, {6}, set()),
        ({5: {"_SceneChangeNext": 0}}, set(), set()),
        ({2: {"_SceneChangeNext": 1}}, {3, 6}, {3}),
        ({3: {"_SceneChangePrev": 1}}, {3, 6}, {3}),
        ({2: {"_SceneChangeNext": 0}, 3: {"_SceneChangePrev": 1}}, {6}, set()),
        ({6: {"_SceneChangePrev": 0}}, {6}, set()),
        ({11: {"_SceneChangeNext": 1}}, {6}, set()),
    ],
)
def test_props_of_the_source_win(
    places: tuple[Array, Array], props: dict[int, dict[str, int]], auto: set[int], stated: set[int]
) -> None:
    clip = with_props(clip_from(lambda n: places[n // 6], 12), props)
    assert cuts_of(clip, "auto") == auto
    assert cuts_of(clip, "props") == stated
    assert cuts_of(clip, "off") == set()


def test_another_word_for_scene_is_refused() -> None:
    with pytest.raises(ArgumentError, match="scene='always', must be"):
        scenes.facts(core.std.BlankClip(), scene="always", threshold=None)


# --- formats, sizes, lengths, order
# -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [(16, 16), (64, 36), (33, 17)])
def test_every_format_and_size(places: tuple[Array, Array], name: str, size: tuple[int, int]) -> None:
    format = core.get_video_format(getattr(vs, name))
    width, height = size
    if format.subsampling_w or format.subsampling_h:
        width, height = (side // 4 * 4 for side in size)
    clip = clip_from(lambda n: places[n // 6], 12, vs.YUV444PS).resize.Bicubic(width, height, format=format.id)
    facts = [scenes.read(frame) for frame in scenes.facts(clip, scene="auto", threshold=None).frames()]
    assert [fact.cut for fact in facts] == [n == 5 for n in range(12)]
    assert [fact.duplicate for fact in facts] == [n not in (5, 11) for n in range(12)]


def test_props_that_would_confuse_a_resizer_do_not_matter(places: tuple[Array, Array]) -> None:
    clip = clip_from(lambda n: places[n // 6], 12).std.SetFrameProps(
        _FieldBased=2, _Matrix=0, _Primaries=1, _Transfer=16, _ChromaLocation=5, _Range=1
    )
    assert cuts_of(clip) == {6}


def test_images_that_are_not_numbers_are_no_cuts() -> None:
    clip = core.std.BlankClip(width=32, height=32, format=vs.GRAYS, length=8).std.Expr("x 0 / x 0 / -")
    assert cuts_of(clip) == set()


def test_any_order_gives_the_same_facts() -> None:
    (case,) = cases(1, ("cut, short scenes",))
    clip = clip_of(case)
    forward = [dict(frame.props) for frame in scenes.facts(clip, scene="auto", threshold=None).frames()]
    shuffled = scenes.facts(clip, scene="auto", threshold=None)
    for n in np.random.default_rng(0).permutation(clip.num_frames):
        with shuffled.get_frame(int(n)) as frame:
            assert dict(frame.props) == forward[n]


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_short_clips(places: tuple[Array, Array], length: int) -> None:
    clip = clip_from(lambda n: places[0 if n == 0 else 1], length)
    facts = scenes.facts(clip, scene="auto", threshold=None)
    assert facts.num_frames == length
    assert cuts_of(clip) == ({1} if length > 1 else set())
    assert duplicates_of(clip) == [0 < n < length - 1 for n in range(length)]


def test_the_longest_clip_costs_nothing_to_build() -> None:
    length = 2**31 - 1
    clip = core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=length, keep=True)
    facts = scenes.facts(clip, scene="auto", threshold=None)
    assert facts.num_frames == length
    for n, duplicate in ((0, True), (length // 2, True), (length - 2, True), (length - 1, False)):
        with facts.get_frame(n) as frame:
            assert scenes.read(frame) == scenes.Facts(cut=False, duplicate=duplicate)


def test_each_source_frame_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: dict[str, int] = {}

    def counted(clip: vs.VideoNode, name: str) -> vs.VideoNode:
        def count(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
            counts[name] = counts.get(name, 0) + 1
            return f

        return clip.std.ModifyFrame(clip, count)

    pooled, statistics = scenes._pooled, cut_score.measured
    monkeypatch.setattr(scenes, "_pooled", lambda clip, factor: counted(pooled(clip, factor), "pooled"))
    monkeypatch.setattr(cut_score, "measured", lambda small: counted(statistics(small), "statistics"))
    clip = core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=100)
    for _ in scenes.facts(clip, scene="auto", threshold=None).frames(close=True):
        pass
    assert max(counts.values()) <= 150  # VapourSynth may drop a few early; three neighbours would make 300
    assert set(counts) == {"pooled", "statistics"}


def test_what_is_not_asked_for_is_not_measured(places: tuple[Array, Array]) -> None:
    """Without own detection and without duplicates the source's planes are never read: only its props are."""
    clip = clip_from(lambda n: places[n // 6], 12)
    assert [
        scenes.read(frame).duplicate
        for frame in scenes.facts(clip, scene="auto", threshold=None, duplicates=False).frames()
    ] == [False] * 12
    broken = clip.std.BlankClip(width=64, height=48, format=vs.GRAY8).std.FrameEval(
        lambda n: core.std.BlankClip(width=64, height=48, format=vs.GRAY8)
    )
    facts = scenes.facts(broken, scene="props", threshold=None, duplicates=False)
    assert [scenes.read(frame) for frame in facts.frames()] == [scenes.Facts()] * 12


# --- duplicates
# ----------------------------------------------------------------------------------------------------------------------


def held(
    change: Callable[[int, list[np.ndarray]], None], length: int = 3, width: int = 1920, height: int = 1080
) -> vs.VideoNode:
    """One textured image, YUV420P8, whose planes `change(n, planes)` alters in place as int16."""
    generator = np.random.default_rng(2)
    coarse = natural(generator, palette_of(generator)).mean(0)[:64, :64]
    base = [np.kron(coarse, np.ones((17, 30), np.float32))[:height, :width] * 160 + 40]
    base += [base[0][::2, ::2] * 0.4 + 80, 180 - base[0][::2, ::2] * 0.4]
    blank = core.std.BlankClip(width=width, height=height, format=vs.YUV420P8, length=length, keep=True)

    def paint(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out, planes = f.copy(), [plane.astype(np.int16) for plane in base]
        change(n, planes)
        for index, plane in enumerate(planes):
            np.asarray(out[index])[:] = plane
        return out

    return blank.std.ModifyFrame(blank, paint)


def patch(plane: int, contrast: int, size: int, step: int) -> Callable[[int, list[np.ndarray]], None]:
    """A square that moves `step` pixels per frame."""

    def change(n: int, planes: list[np.ndarray]) -> None:
        planes[plane][100 : 100 + size, 200 + step * n : 200 + size + step * n] += contrast

    return change


def noise(amplitude: float, seed: int = 0) -> Callable[[int, list[np.ndarray]], None]:
    """Gaussian noise that is new in every frame."""

    def change(n: int, planes: list[np.ndarray]) -> None:
        generator = np.random.default_rng((seed, n))
        for plane in planes:
            plane += np.rint(generator.standard_normal(plane.shape) * amplitude).astype(np.int16)

    return change


def both(*changes: Callable[[int, list[np.ndarray]], None]) -> Callable[[int, list[np.ndarray]], None]:
    def change(n: int, planes: list[np.ndarray]) -> None:
        for one in changes:
            one(n, planes)

    return change


def brighter(codes: int) -> Callable[[int, list[np.ndarray]], None]:
    def change(n: int, planes: list[np.ndarray]) -> None:
        planes[0] += codes * (n % 2)

    return change


def shifted(pixels: int) -> Callable[[int, list[np.ndarray]], None]:
    """The whole image moves."""

    def change(n: int, planes: list[np.ndarray]) -> None:
        planes[0][:] = np.roll(planes[0], pixels * n, axis=1)

    return change


def grain_of_one_code(n: int, planes: list[np.ndarray]) -> None:
    """What an encoder leaves in a held drawing: a code up or down here and there."""
    generator = np.random.default_rng(n)
    for plane in planes:
        plane += generator.integers(-1, 2, plane.shape, dtype=np.int16)


@pytest.mark.parametrize(
    ("change", "duplicate"),
    [
        pytest.param(noise(0), True, id="exact"),
        pytest.param(grain_of_one_code, True, id="noise of an encoder"),
        pytest.param(noise(3), True, id="noisy source"),
        pytest.param(patch(0, 12, 6, 6), False, id="small patch"),
        pytest.param(patch(0, 20, 6, 1), False, id="small patch, one pixel"),
        pytest.param(both(patch(0, 30, 6, 6), grain_of_one_code), False, id="small patch in encoder noise"),
        pytest.param(both(patch(0, 40, 8, 8), noise(3)), False, id="small patch in noise"),
        pytest.param(patch(1, 20, 6, 6), False, id="blue alone"),
        pytest.param(patch(2, -20, 6, 6), False, id="red alone"),
        pytest.param(brighter(1), False, id="flicker of one code"),
        pytest.param(brighter(6), False, id="flicker"),
        pytest.param(both(brighter(1), noise(3)), False, id="flicker in noise"),
        pytest.param(shifted(1), False, id="pan"),
        pytest.param(both(shifted(1), noise(3)), False, id="pan in noise"),
    ],
)
def test_duplicates(change: Callable[[int, list[np.ndarray]], None], duplicate: bool) -> None:
    assert duplicates_of(held(change)) == [duplicate, duplicate, False]


@pytest.mark.parametrize("size", [(176, 144), (640, 360)])
def test_duplicates_of_small_images(size: tuple[int, int]) -> None:
    width, height = size
    small = {"width": width, "height": height}
    assert duplicates_of(held(noise(0.7), **small)) == [True, True, False]
    assert duplicates_of(held(lambda n, planes: patch(0, 12, 4, 2)(n - 80, planes), **small)) == [False, False, False]


def test_a_slow_fade_is_no_duplicate(places: tuple[Array, Array]) -> None:
    assert not any(duplicates_of(clip_from(lambda n: places[0] * (1 - n / 60), 12)))
