"""Arguments: every spelling that is taken, and every one that is refused with its reason."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.test_errors import Hostile
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
        assert (
            parse_rate(rate)
            == parse_rate(f"{rate.numerator}/{rate.denominator}")
            == parse_rate((rate.numerator, rate.denominator))
            == rate
        )


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (2, 2),
        (1, 1),
        (Fraction(5, 2), Fraction(5, 2)),
        ("5/2", Fraction(5, 2)),
        (2.5, Fraction(5, 2)),
        (1.5, Fraction(3, 2)),
    ],
)
def test_multi(given: object, meant: Fraction) -> None:
    assert parse(multi=given).multi == meant


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, None),
        (1, 1),
        (0.5, Fraction(1, 2)),
        (0.8, Fraction(4, 5)),
        (Fraction(1, 4), Fraction(1, 4)),
        ("1/2", Fraction(1, 2)),
    ],
)
def test_scale(given: object, meant: object) -> None:
    assert parse(scale=given).scale == meant


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("auto", ("auto",)),
        ("cuda", ("cuda",)),
        ("CUDA:1", ("cuda:1",)),
        (1, ("cuda:1",)),
        (["cuda:0", "cuda:1"], ("cuda:0", "cuda:1")),
        (("cpu",), ("cpu",)),
    ],
)
def test_devices(given: object, meant: tuple[str, ...]) -> None:
    assert parse_devices(given) == meant


def test_the_rest(tmp_path: Path) -> None:
    weights = tmp_path / "a.pth"
    weights.touch()
    options = parse(
        weights=str(weights),
        cache=256,
        streams=3,
        matrix="2020ncl",
        scene="off",
        scene_threshold=0.2,
        options={"levels": 3},
        precision="bf16",
    )
    assert options.weights == weights
    assert options.cache == 256 << 20
    assert (options.streams, options.matrix, options.scene, options.scene_threshold) == (3, 9, "off", 0.2)
    assert options.options == {"levels": 3}
    assert parse(matrix=1).matrix == 1
    assert parse() == Options()


REFUSED: list[tuple[str, object, str]] = [
    ("model", "", "model='', must be the name of a model; see vsvfi.list_models()"),
    ("model", 3, "model=3, must be the name of a model"),
    (
        "multi",
        0,
        "multi=0, must be a number from 1 to 1000; use an int like 2 or Fraction(5, 2); for a frame rate use fps=",
    ),
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
    ("precision", "half", "precision='half', is not an allowed value; use 'auto', 'fp32', 'fp16', 'bf16'"),
    ("scene", None, "scene=None, is not an allowed value; use 'auto', 'props', 'off'"),
    ("scene_threshold", 0, "scene_threshold=0, must be a number above 0 and up to 1"),
    ("scene_threshold", True, "scene_threshold=True"),
    ("duplicates", "drop", "duplicates='drop', is not an allowed value"),
    ("scene_change", "fade", "scene_change='fade', is not an allowed value"),
    ("curve", "0 1 2", "curve='0 1 2', must be a list of positions or a function"),
    ("curve", [0, -1], "curve=-1, is no position in source frames"),
    ("max_hold", 1, "max_hold=1, must be a whole number from 2 to 24"),
    ("exclude", "[5 3]", "must be ranges of source frames, first and last, in order"),
    ("exclude", "[1 2", "must be ranges of source frames"),
    ("exclude", [(1, 2, 3)], "must be ranges of source frames"),
    ("exclude", [1.5], "must be ranges of source frames"),
    ("exclude", -1, "must be ranges of source frames"),
    ("tile", 127, 'tile=127, must be a whole number of pixels from 128 to 65536, or "auto"; use 512 to 1024'),
    ("tile", "small", "tile='small', must be a whole number of pixels"),
    ("tile", 512.5, "tile=512.5, must be a whole number of pixels"),
    ("tile", True, "tile=True, must be a whole number of pixels"),
    ("streams", 0, "streams=0, must be a whole number from 1 to 64"),
    ("streams", 1.5, "streams=1.5, must be a whole number"),
    ("cache", -1, "cache=-1, must be a whole number from 0"),
    ("matrix", "rgb", "matrix='rgb', is not a known matrix; use '709'"),
    ("matrix", "", "matrix='', is not a known matrix"),
    ("matrix", 1.0, "matrix=1.0, is not a known matrix"),
    ("multi", "1e99999999", "multi='1e99999999', must be a number from 1 to 1000"),
    ("multi", "1e-99999999", "multi='1e-99999999', must be a number"),
    ("multi", "9" * 5000, "must be a number from 1"),
    ("multi", "٦", "must be a number from 1"),
    ("multi", Decimal("1e99999999"), "multi=<Decimal>, must be a number"),
    ("multi", Decimal("nan"), "multi=<Decimal>, must be a number"),
    ("multi", Fraction(10**5000, 10**5000 - 1), "must be a number from 1"),
    ("multi", Fraction(10**12 + 1, 10**12), "has too many digits; use a simpler one, such as multi='1'"),
    ("multi", 1.5 + 0j, "multi=(1.5+0j), must be a number"),
    ("fps", "1e9999999", "must be a positive frame rate"),
    ("fps", (1, 10**5000), "has too many digits"),
    ("fps", 5e-324, "has too many digits"),
    ("scale", "1e99999999", "must be a number above 0"),
    ("scale", 1e-9, "must be a number above 0"),
    ("scale", True, "must be a number above 0"),
    ("weights", b"x", "weights=b'x', must be a path"),
    ("weights", "", "weights='', must be a path"),
    ("weights", "~nosuchuser/x", "weights='~nosuchuser/x', names a user without a home folder"),
    ("weights", "\0", "is not a file"),
    ("weights", "a" * 5000, "is not a file (File name too long)"),
    ("weights", "/dev/zero", "weights='/dev/zero', is not a file"),
    ("device", "cuda:01", "device='cuda:01', is not a device name"),
    ("device", "cuda:１", "is not a device name"),
    ("device", "cpu\n", "device='cpu\\n', is not a device name"),
    ("device", 1000, "device=1000, is not a device name"),
    ("device", ["cpu", None], "is not a device name"),
    ("device", ["cuda:0"] * 100, "is not a device name"),
    ("streams", True, "streams=True, must be a whole number"),
    ("scene_threshold", "0.5", "scene_threshold='0.5', must be a number"),
    ("scene_threshold", float("nan"), "scene_threshold=nan, must be"),
    ("matrix", 0, "matrix=0, is not a known matrix"),
    ("options", [1], "options=[1], must be a mapping from option names to values"),
    ("options", {1: 2}, "options={1: 2}, must be a mapping"),
]


@pytest.mark.parametrize("index", range(len(REFUSED)))  # pytest itself would print the values
def test_refusals(index: int) -> None:
    argument, value, message = REFUSED[index]
    with pytest.raises(ArgumentError) as caught:
        parse(**{argument: value})  # type: ignore[arg-type]
    assert message in str(caught.value)


@pytest.mark.parametrize("argument", [*inspect.signature(parse).parameters])
def test_what_a_value_raises_is_reported_as_an_error_of_the_argument(argument: str) -> None:
    for value in (
        Hostile(),
        [Hostile()],
        RaisingPath(),
        RaisingMapping(),
        type("Number", (), {"__index__": Hostile._raise})(),
    ):
        with pytest.raises(ArgumentError, match=rf"^{argument}=.*, .*; "):
            parse(**{argument: value})


class RaisingPath(os.PathLike[str]):
    def __fspath__(self) -> str:
        raise KeyError("p")


class RaisingMapping(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        raise KeyError(key)

    def __iter__(self):  # type: ignore[no-untyped-def]
        raise OSError("iter")

    def __len__(self) -> int:
        raise OSError("len")


def test_values_of_other_packages_and_subclasses_become_plain() -> None:
    class Text(str):
        __slots__ = ()

        def lower(self) -> str:
            raise RuntimeError

    parsed = parse(
        model=Text("builtin"),
        multi=np.float32(2.5),
        fps=Decimal("59.94"),
        streams=np.int64(3),
        scene_threshold=np.float32(0.5),
        device=torch.device("mps:0"),
        matrix=np.int32(9),
    )
    assert parsed == Options(
        multi=Fraction(5, 2), fps=Fraction(2997, 50), streams=3, scene_threshold=0.5, devices=("mps",), matrix=9
    )
    assert type(parsed.model) is str
    assert parse_devices(["cpu:0", torch.device("cuda", 3), 1]) == ("cpu", "cuda:3", "cuda:1")


@pytest.mark.parametrize(
    ("spelling", "code"),
    [
        ("bt709", 1), ("BT.709", 1), ("rec709", 1), ("Rec. 709", 1), ("709", 1), ("bt601", 6), ("smpte170m", 6),
        ("SMPTE-170M", 6), ("170m", 6), ("bt2020", 9),
        ("bt2020nc", 9), ("bt2020_ncl", 9), ("BT.2020", 9), ("2020ncl", 9), ("bt470bg", 5), ("smpte240m", 7), ("fcc",
        4), ("FCC", 4), ("YCgCo", 8),
    ],
)  # fmt: skip
def test_matrices_in_every_usual_spelling(spelling: str, code: int) -> None:
    assert parse(matrix=spelling).matrix == code


def test_long_values_are_shortened() -> None:
    with pytest.raises(ArgumentError) as caught:
        parse(model="", fps=None, multi="9" * 500)
    with pytest.raises(ArgumentError) as caught:
        parse(multi="9" * 500)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, ()),
        ("", ()),
        ([], ()),
        (7, ((7, 7),)),
        ("[100 250] [900 1200]", ((100, 250), (900, 1200))),
        ("7 [20,30]; 33", ((7, 7), (20, 30), (33, 33))),
        ([(900, 1200), (100, 250)], ((100, 250), (900, 1200))),
        ([3, (4, 6), [5, 9], 12], ((3, 9), (12, 12))),
    ],
)
def test_ranges_of_frames(given: object, meant: tuple[tuple[int, int], ...]) -> None:
    assert parse(exclude=given).exclude == meant
