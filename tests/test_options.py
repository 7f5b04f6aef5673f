"""Arguments: every spelling that is taken, and every one that is refused with its reason."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsvfi.errors import ArgumentError
from vsvfi.options import Options, parse, parse_devices, parse_rate


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (60, Fraction(60)),
        ("60", Fraction(60)),
        (60.0, Fraction(60)),
        ("60000/1001", Fraction(60000, 1001)),
        (Fraction(60000, 1001), Fraction(60000, 1001)),
        ((60000, 1001), Fraction(60000, 1001)),
        ([24000, 1001], Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("119.88", Fraction(120000, 1001)),
        (Fraction(2997, 50), Fraction(2997, 50)),
        (12.5, Fraction(25, 2)),
        ("48.0", Fraction(48)),
    ],
)
def test_frame_rates(given: object, meant: Fraction) -> None:
    assert parse_rate(given) == meant
    assert parse(fps=given).fps == meant


@given(st.integers(1, 240), st.sampled_from([1000, 1001, 1]))
def test_ratios_are_taken_exactly(numerator: int, denominator: int) -> None:
    rate = Fraction(numerator * 1000, denominator)
    if rate <= 100_000:
        assert parse_rate(rate) == parse_rate(f"{rate.numerator}/{rate.denominator}") == parse_rate((rate.numerator, rate.denominator)) == rate


@pytest.mark.parametrize(
    ("given", "meant"), [(2, 2), (1, 1), (Fraction(5, 2), Fraction(5, 2)), ("5/2", Fraction(5, 2)), (2.5, Fraction(5, 2)), (1.5, Fraction(3, 2))]
)
def test_multi(given: object, meant: Fraction) -> None:
    assert parse(multi=given).multi == meant


@pytest.mark.parametrize(
    ("given", "meant"), [(None, None), (1, 1), (0.5, Fraction(1, 2)), (0.8, Fraction(4, 5)), (Fraction(1, 4), Fraction(1, 4)), ("1/2", Fraction(1, 2))]
)
def test_scale(given: object, meant: object) -> None:
    assert parse(scale=given).scale == meant


@pytest.mark.parametrize(
    ("given", "meant"),
    [("auto", ("auto",)), ("cuda", ("cuda",)), ("CUDA:1", ("cuda:1",)), (1, ("cuda:1",)), (["cuda:0", "cuda:1"], ("cuda:0", "cuda:1")), (("cpu",), ("cpu",))],
)
def test_devices(given: object, meant: tuple[str, ...]) -> None:
    assert parse_devices(given) == meant


def test_the_rest(tmp_path: Path) -> None:
    weights = tmp_path / "a.pth"
    weights.touch()
    options = parse(weights=str(weights), cache=256, streams=3, matrix="2020ncl", scene="off", scene_threshold=0.2, options={"levels": 3}, precision="bf16")
    assert options.weights == weights
    assert options.cache == 256 << 20
    assert (options.streams, options.matrix, options.scene, options.scene_threshold) == (3, 9, "off", 0.2)
    assert options.options == {"levels": 3}
    assert parse(matrix=1).matrix == 1
    assert parse() == Options()


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("model", "", "model='', must be the name of a model; see vsvfi.list_models()"),
        ("model", 3, "model=3, must be the name of a model"),
        ("multi", 0, "multi=0, must be a number from 1 to 1000; use an int like 2 or Fraction(5, 2); for a frame rate use fps="),
        ("multi", True, "multi=True, must be a number"),
        ("multi", "two", "multi='two', must be a number"),
        ("multi", 2.503, "multi=2.503, is not an exact ratio; use fractions.Fraction, or fps="),
        ("multi", float("nan"), "multi=nan, must be a number"),
        ("multi", Fraction(1, 2), "multi=Fraction(1, 2), must be a number from 1"),
        ("fps", 0, "fps=0, must be a positive frame rate"),
        ("fps", -24, "fps=-24, must be a positive"),
        ("fps", "fast", "fps='fast', must be a positive frame rate"),
        ("fps", "60/0", "fps='60/0', must be a positive frame rate"),
        ("fps", (60, 0), "fps=(60, 0), must be (numerator, denominator), two whole numbers"),
        ("fps", (60,), "fps=(60,), must be (numerator, denominator)"),
        ("fps", (60.0, 1), "fps=(60.0, 1), must be (numerator, denominator)"),
        ("fps", float("inf"), "fps=inf, must be"),
        ("scale", 0, "scale=0, must be a number above 0 and up to 4; use 1, 0.5 (2K), 0.25 (4K)"),
        ("scale", 5, "scale=5, must be"),
        ("weights", 5, "weights=5, must be a path"),
        ("weights", "/nowhere.pth", "weights='/nowhere.pth', is not a file"),
        ("device", "gpu", "device='gpu', is not a device name; use 'auto', 'cpu', 'cuda'"),
        ("device", [], "device=[], must name a device"),
        ("device", ["cuda:0", "cuda:0"], "a list must name different devices"),
        ("device", ["auto", "cpu"], "without 'auto'"),
        ("precision", "half", "precision='half', is not one of its values; use 'auto', 'fp32', 'fp16', 'bf16'"),
        ("scene", None, "scene=None, is not one of its values; use 'auto', 'props', 'off'"),
        ("scene_threshold", 0, "scene_threshold=0, must be a number above 0 and up to 1"),
        ("scene_threshold", True, "scene_threshold=True"),
        ("duplicates", "drop", "duplicates='drop', is not one of its values"),
        ("tile", 512, "tile=512, is not available in this version; leave tile=None"),
        ("streams", 0, "streams=0, must be a whole number from 1 to 64"),
        ("streams", 1.5, "streams=1.5, must be a whole number"),
        ("cache", -1, "cache=-1, must be a whole number from 0"),
        ("matrix", "bt709", "matrix='bt709', is not a known matrix; use '709'"),
        ("matrix", 0, "matrix=0, is not a known matrix"),
        ("options", [1], "options=[1], must be a mapping from option names to values"),
        ("options", {1: 2}, "options={1: 2}, must be a mapping"),
    ],
)
def test_refusals(argument: str, value: object, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse(**{argument: value})  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_long_values_are_shortened() -> None:
    with pytest.raises(ArgumentError) as caught:
        parse(model="", fps=None, multi="9" * 500)
    with pytest.raises(ArgumentError) as caught:
        parse(multi="9" * 500)
    assert len(str(caught.value)) < 300
