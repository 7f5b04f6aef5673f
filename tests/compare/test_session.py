"""A comparison within its time, with methods that fail, are slow, or are stopped."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs

from vsvfi.compare.deadline import Deadline
from vsvfi.compare.methods import Model, Plain, blend, block_matching
from vsvfi.compare.places import Place
from vsvfi.compare.result import Result
from vsvfi.compare.scores import HIGHEST, scores, tiles
from vsvfi.compare.session import Comparison, Maker, Scores
from vsvfi.compare.source import Conversion, Image, Source
from vsvfi.errors import MissingWeightsError, VsvfiError

pytest.importorskip("av", reason="images for the page are encoded by PyAV")


def moving_clip(length: int = 40, kind: int = vs.YUV420P8, level: int = 128) -> vs.VideoNode:
    """A ramp that slides by a pixel per frame."""
    core = vs.core.core
    blank = core.std.BlankClip(width=64, height=48, format=kind, length=length, fpsnum=24, fpsden=1, keep=True)

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for plane in range(f.format.num_planes):
            pixels = np.asarray(out[plane])
            y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
            values = level + 60 * np.sin((x + n) / (level / 25)) * np.cos(y / 7)
            pixels[:] = values.astype(pixels.dtype) << (f.format.bits_per_sample - 8)
        return out

    return blank.std.ModifyFrame(blank, draw)


class Method:
    """Answers with the frame before, after so many seconds, or `claimed` ones that it did not take."""

    def __init__(self, name: str, seconds: float, conversion: Conversion, claimed: float | None = None) -> None:
        self.name, self._seconds, self._conversion = name, seconds, conversion
        self._claimed = seconds if claimed is None else claimed

    def predict(self, kept: Sequence[vs.VideoFrame], until: float) -> tuple[list[Image], float]:
        time.sleep(self._seconds)
        return [self._conversion.image(frame) for frame in kept[:-1]], self._claimed


def compared(
    makers: Callable[[Conversion], dict[str, Maker]],
    models: Sequence[str],
    *,
    limit: Deadline | None = None,
    places: int = 6,
    result: Result | None = None,
    measures: Scores | None = None,
) -> Result:
    source = Source(moving_clip())
    conversion = Conversion(source.clip)
    found = result or Result("clip", (64, 48), 40, Fraction(24), Fraction(2), "cpu")
    runs = [Place(tuple(range(5 * index, 5 * index + 5)), 1.0, 0.1, (0.0,)) for index in range(places)]
    limit = limit or Deadline(60.0)
    measures = {"psnr": scores(64, 48)["psnr"]} if measures is None else measures
    Comparison(
        source, conversion, makers(conversion), frozenset(models), measures, found, limit, lambda text, done: None
    ).run(runs)
    return found


def test_every_method_is_scored_at_every_place() -> None:
    found = compared(
        lambda conversion: {
            "blend": lambda kept: Plain("blend", conversion, blend),
            "hold": lambda kept: Method("hold", 0.0, conversion),
        },
        ["hold"],
        places=2,
    )
    assert [tally.name for tally in found.ranked] == ["blend", "hold"]
    assert set(found.ranked[0].scores["psnr"]) == {1, 3, 6, 8}
    assert found.ranked[0].mean("psnr") - found.ranked[1].mean("psnr") > 0
    assert found.shots[0].shown.keys() == {"truth", "before", "after", "blend", "hold"}
    assert found.shots[0].shown["truth"][:4] == b"RIFF"


def test_a_method_that_fails_is_left_out_with_its_reason() -> None:
    def broken(kept: Sequence[vs.VideoFrame]) -> Method:
        raise MissingWeightsError("x", "are not here")

    class Failing(Method):
        def predict(self, kept: Sequence[vs.VideoFrame], until: float) -> tuple[list[Image], float]:
            raise vs.Error("interpolate: out of memory")

    found = compared(
        lambda conversion: {
            "x": broken,
            "y": lambda kept: Failing("y", 0.0, conversion),
            "hold": lambda kept: Method("hold", 0.0, conversion),
        },
        ["x", "y", "hold"],
        places=2,
    )
    reason = "its weights are not on this machine and are not here; run 'vsvfi models fetch x' with network access"
    assert found.left_out == {"x": f"model='x', {reason}", "y": "out of memory"}
    assert [tally.name for tally in found.ranked] == ["hold"]


def test_a_slow_model_makes_room_for_places() -> None:
    found = compared(
        lambda conversion: {
            "quick": lambda kept: Method("quick", 0.0, conversion),
            "slow": lambda kept: Method("slow", 0.0, conversion, claimed=1000.0),
        },
        ["quick", "slow"],
    )
    assert found.left_out.keys() == {"slow"}
    assert "too slow for the time given" in found.left_out["slow"]
    assert len(found.places) > 1
    assert all("slow" not in shot.shown for shot in found.shots)


def test_models_are_not_left_out_where_that_gains_little() -> None:
    names = ["a", "b", "c", "d"]
    found = compared(
        lambda conversion: {
            name: (lambda kept, name=name: Method(name, 0.0, conversion, claimed=200.0)) for name in names
        },
        names,
    )
    assert len(found.places) == 1
    assert found.left_out == {}


@pytest.mark.parametrize("slow", ["making", "predicting", "scoring"])
def test_nothing_is_waited_for_when_the_time_is_over(slow: str) -> None:
    for_ever, waited, limit = threading.Event(), [], Deadline(60.0)

    def begin_to_end(last: str) -> None:
        """The time is soon over, from the last step that is not slow."""
        if last == {"making": "hold", "predicting": "hold", "scoring": "predicted"}[slow]:
            limit.until = time.monotonic() + 1.0

    def wait(step: str) -> None:
        if step == slow:
            waited.append(for_ever.wait(60))

    class Slow(Method):
        def predict(self, kept: Sequence[vs.VideoFrame], until: float) -> tuple[list[Image], float]:
            wait("predicting")
            begin_to_end("predicted")
            return super().predict(kept, until)

    def make(conversion: Conversion) -> dict[str, Maker]:
        def slow_one(kept: Sequence[vs.VideoFrame]) -> Method:
            wait("making")
            return Slow("slow", 0.0, conversion)

        return {
            "hold": lambda kept: Method("hold", 0.0, conversion),
            "slow": slow_one,
            "after": lambda kept: Method("after", 0.0, conversion),
        }

    calls = itertools.count()

    def score(prediction: Image, truth: Image) -> float:
        call = next(calls)
        if call == 1:  # the first method has two frames
            begin_to_end("hold")
        elif call > 1:
            wait("scoring")
        return 30.0

    found = compared(make, ["hold", "slow", "after"], limit=limit, measures={"psnr": score})
    ended = bool(waited)
    for_ever.set()
    assert not ended, "it was waited for"
    assert [tally.name for tally in found.tallies] == ["hold"]
    assert len(found.places) == len(found.shots) == 1
    assert found.left_out.keys() == {"slow", "after"}
    assert found.left_out["slow"].startswith("too slow for the time given, not done after ")
    assert found.left_out["after"] == "no time was left for it; use more --minutes"


def test_a_deadline_passes_results_and_errors_on_and_abandons_the_rest() -> None:
    limit = Deadline(60.0)
    assert limit.call(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        limit.call(lambda: 1 // 0)
    assert not limit.busy
    end = threading.Event()
    limit.until = time.monotonic() + 0.1
    with pytest.raises(TimeoutError):
        limit.call(lambda: end.wait(60))
    assert limit.busy
    assert limit.left == 0
    with pytest.raises(TimeoutError):
        limit.call(lambda: 7)
    end.set()


@pytest.mark.parametrize(("calls", "places", "left_out"), [(0, 6, {"endless"}), (2, 2, set())])
def test_a_method_that_does_not_finish_ends_its_place(calls: int, places: int, left_out: set[str]) -> None:
    class Endless(Method):
        done = 0

        def predict(self, kept: Sequence[vs.VideoFrame], until: float) -> tuple[list[Image], float]:
            if self.done == calls:
                raise TimeoutError
            self.done += 1
            return super().predict(kept, until)

    found = compared(
        lambda conversion: {
            "hold": lambda kept: Method("hold", 0.0, conversion),
            "endless": lambda kept: Endless("endless", 0.0, conversion),
        },
        ["hold", "endless"],
    )
    assert (len(found.places), found.left_out.keys()) == (places, left_out)
    assert all("too slow for the time given" in reason for reason in found.left_out.values())
    assert all(len(tally.scores["psnr"]) == 2 * places for tally in found.tallies)


@pytest.mark.parametrize(("calls", "places", "names"), [(3, 2, ["hold", "stopped"]), (1, 1, ["hold"])])
def test_an_interrupt_leaves_whole_places_and_what_the_first_has(calls: int, places: int, names: list[str]) -> None:
    class Stopped(Method):
        called = 0

        def predict(self, kept: Sequence[vs.VideoFrame], until: float) -> tuple[list[Image], float]:
            self.called += 1
            if self.called == calls:
                raise KeyboardInterrupt
            return super().predict(kept, until)

    found = Result("clip", (64, 48), 40, Fraction(24), Fraction(2), "cpu")
    with pytest.raises(KeyboardInterrupt):
        compared(
            lambda conversion: {
                "hold": lambda kept: Method("hold", 0.0, conversion),
                "stopped": lambda kept: Stopped("stopped", 0.0, conversion),
            },
            [],
            result=found,
        )
    assert len(found.places) == places
    assert [tally.name for tally in found.ranked] == names
    assert all(len(tally.scores["psnr"]) == 2 * places for tally in found.tallies)
    assert set(found.left_out.values()) <= {"stopped before it was done"}


@pytest.mark.parametrize("kind", [vs.YUV420P8, vs.YUV422P10, vs.RGB24, vs.GRAY16, vs.RGBS])
def test_a_format_and_back(kind: int) -> None:
    clip = moving_clip(kind=kind) if kind != vs.RGBS else moving_clip(kind=vs.RGB24).resize.Point(format=vs.RGBS)
    conversion = Conversion(clip)
    with clip.get_frame(3) as first, clip.get_frame(4) as second:
        one, two = conversion.image(first), conversion.image(second)
        back = conversion.through(one, first)
    assert one.shape == (3, 48, 64)
    assert np.abs(one - two).max() > 0.01
    assert np.abs(back - one).mean() < 0.02


def test_places_are_found_in_a_clip() -> None:
    clip = moving_clip(12) + moving_clip(12, level=70)
    source = Source(clip)
    found = source.candidates(24, 30.0)
    assert found
    assert not any(place.frames[0] < 12 <= place.frames[-1] for place in found)  # the cut
    assert all(place.motion > 0 and place.sharpness > 0 for place in found)


def test_a_model_predicts_through_interpolate() -> None:
    source = Source(moving_clip())
    conversion = Conversion(source.clip)
    frames = source.frames(range(3, 8))
    kept = [frames[3], frames[5], frames[7]]
    model = Model("builtin", source.clip, kept, conversion, {"device": "cpu", "precision": "fp32"})
    images, seconds = model.predict(kept, time.monotonic() + 60)
    assert seconds > 0
    measure = scores(64, 48)["psnr"]
    for made, truth, mixed in zip(
        images, (frames[4], frames[6]), blend([conversion.image(f) for f in kept]), strict=True
    ):
        true = conversion.image(truth)
        assert measure(made, true) > max(30.0, measure(mixed, true) - 3)


def test_an_ffmpeg_that_fails_is_named() -> None:
    images = [np.zeros((3, 16, 16), np.float32)] * 3
    with pytest.raises(VsvfiError, match="minterpolate failed"):
        block_matching("no-such-program", time.monotonic() + 60)(images)


def test_dense_flow_is_there_with_opencv() -> None:
    pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    from vsvfi.compare.dis_flow import between

    ramp = np.sin(np.mgrid[:64, :64][1] / 4).astype(np.float32) / 2 + 0.5
    before, middle, after = (np.roll(np.stack([ramp] * 3), shift, 2) for shift in (0, 1, 2))
    (made,) = between([before, after])
    assert np.abs(made - middle)[:, 8:-8, 8:-8].mean() < np.abs((before + after) / 2 - middle)[:, 8:-8, 8:-8].mean()


def test_equal_images_have_a_finite_score() -> None:
    image = np.full((3, 16, 16), 0.5, np.float32)
    assert scores(64, 48)["psnr"](image, image) == HIGHEST
    assert scores(64, 48)["psnr"](image, image + np.float32(0.1)) == pytest.approx(20.0, abs=1e-4)
    assert scores(64, 48)["ssim"](image, image) == pytest.approx(1.0)
    assert scores(64, 10).keys() == {"psnr"}  # too small for SSIM's window


def test_tiles_stand_for_large_images() -> None:
    y, x = np.mgrid[:900, :1200]
    image = np.stack([np.sin(x / 9 + k) * np.cos(y / 7) / 3 + 0.5 for k in range(3)]).astype(np.float32)
    assert tiles(image).shape == (9, 3, 256, 256)
    assert np.array_equal(tiles(image)[8].numpy(), image[:, -256:, -256:])
    assert tiles(image[:, :700, :800]).shape == (1, 3, 700, 800)
    assert tiles(image[:, :100]).shape == (1, 3, 100, 1200)
    assert tiles(np.repeat(image[:, :100], 8, 2)).shape[2] == 100


def test_lpips_is_computed_where_its_weights_are_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from vsvfi.compare import scores as module
    from vsvfi.metrics.lpips import Lpips, LpipsNetwork
    from vsvfi.metrics.weights import OF_METRICS, Published

    drawn = LpipsNetwork().state_dict()
    features = {key: value for key, value in drawn.items() if key.startswith("features.")}
    heads = {f"lin{index}.model.1.weight": drawn[f"heads.{index}.weight"].abs() for index in range(5)}
    monkeypatch.setattr(module, "installed", lambda sources: tmp_path)
    monkeypatch.setattr(module, "Lpips", lambda device: Lpips(features, heads, device))
    found = scores(64, 48, "cpu")
    assert found.keys() == {"psnr", "ssim", "lpips"}
    image = np.random.default_rng(0).random((3, 48, 64), np.float32)
    assert found["lpips"](image, image) == 0
    assert found["lpips"](image, image[:, :, ::-1].copy()) > 0
    assert "lpips" not in scores(64, 30, "cpu")
    for missing in OF_METRICS["lpips"]:  # one of both is not enough

        def installed(sources: object, missing: Published = missing) -> Path | None:
            return None if sources is missing.sources else tmp_path

        monkeypatch.setattr(module, "installed", installed)
        assert "lpips" not in scores(64, 48, "cpu")
