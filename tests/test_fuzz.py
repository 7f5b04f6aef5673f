"""Any argument gives a result or one of vsvfi's errors, quickly and in little memory.

Derandomised, so that every run tests the same.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import vapoursynth as vs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vsvfi
from tests import fakes
from tests.test_errors import Endless, Hostile, HostileText
from tests.test_options import RaisingMapping, RaisingPath
from tests.weights.test_hostile_states import Raising
from vsvfi.cli import main
from vsvfi.errors import VsvfiError

FUZZ = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SOON = 30.0
"""Seconds; a call that hangs takes minutes, and the machine may be busy."""

words = st.sampled_from(
    [
        "", " ", "auto", "builtin", "fake", "cuda", "cuda:01", "cpu\n", "cpu:9", "709", "BT.2020", "props", "retime",
        "fp16", "1e99999999", "1e-99999999",
        "nan", "-inf", "1/0", "5/2", "0x10", "1_0", "٦٠", "~nosuchuser/x", "~", "/", "\0", "../..",
        "/dev/zero", "/dev/stdin",
        "/proc/self/mem", "\udcff", "60000/1001", "-1", "1e3/7", "{}",
    ]
)  # fmt: skip
integers = st.one_of(st.integers(-3, 70), st.integers(), st.sampled_from([2**31, 2**63, 2**64]))
numbers = st.one_of(
    integers,
    st.floats(),
    st.fractions(),
    st.booleans(),
    st.complex_numbers(),
    st.decimals(),
    st.sampled_from([np.float32(0.5), np.int64(2), np.bool_(True), Fraction(3999999, 4000), 5e-324]),
)
MAKERS: list[Callable[[], object]] = [
    lambda: 10**5000, lambda: -(10**5000), lambda: Fraction(10**5000, 7), lambda: Fraction(1, 10**5000),
    lambda: Decimal("1e99999999"), lambda: "9" * 5000,
    lambda: "a" * 5000, lambda: "[" * 5000,

        Hostile, HostileText, Endless, RaisingPath, RaisingMapping, lambda: Raising("getitem"),
        lambda: Raising("iter"), object, lambda: object, lambda: len,
        lambda: torch.ones(2), lambda: torch.ones(1, device="meta"), lambda: torch.device("meta"),
        lambda: torch.device("cpu"), lambda: np.ones(3),
        lambda: vs.core.std.BlankClip(length=2), lambda: vs.YUV420P8, lambda: iter([1]), lambda: range(10**12),
        lambda: memoryview(b"x"),
        lambda: Path("x" * 999),
    ]  # fmt: skip
"""Values that hypothesis itself cannot print or compare; made when a test has drawn one."""


@dataclass(frozen=True)
class Recipe:
    """One of `MAKERS`."""

    index: int


def made(drawn: object) -> object:
    """What was drawn, with every recipe followed."""
    if isinstance(drawn, Recipe):
        return MAKERS[drawn.index]()
    if isinstance(drawn, list | tuple):
        return type(drawn)(made(item) for item in drawn)
    return {key: made(item) for key, item in drawn.items()} if isinstance(drawn, dict) else drawn


objects = st.integers(0, len(MAKERS) - 1).map(Recipe)
scalars = st.one_of(st.none(), words, st.text(max_size=20), st.binary(max_size=8), numbers, objects)
keys = st.one_of(words, st.text(max_size=5), st.sampled_from(["levels", "times", "gain", "model", "state_dict"]))
values = st.one_of(
    scalars, st.lists(scalars, max_size=3), st.tuples(scalars, scalars), st.dictionaries(keys, scalars, max_size=3)
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Weights of the fake family, which is found while inside."""
    with fakes.installed(tmp_path_factory.mktemp("families")) as recorder:
        yield recorder.weights


def outcome(call: Callable[[], object], kind: type[Exception], prefix: str = "") -> object:
    """What a call returned, or None after an error of the right kind with a message fit for a terminal."""
    started = time.monotonic()
    try:
        return call()
    except kind as error:
        text = str(error)
    finally:
        assert time.monotonic() - started < SOON
    assert text.startswith(prefix)
    assert len(text) < 1000
    text.encode()
    return None


@FUZZ
@given(argument=st.sampled_from([name for name in inspect.signature(vsvfi.interpolate).parameters]), value=values)
def test_interpolate(weights: Path, argument: str, value: object) -> None:
    clip = vs.core.std.BlankClip(format=vs.RGBS, width=16, height=16, length=3, fpsnum=24, keep=True)
    arguments = {"clip": clip, "model": "fake", "weights": weights, "device": "cpu", argument: made(value)}
    if argument == "model" and value == "builtin":
        arguments["weights"] = None
    node = outcome(lambda: vsvfi.interpolate(**arguments), vs.Error, "interpolate: ")  # type: ignore[arg-type]
    if isinstance(node, vs.VideoNode):
        node.get_frame(node.num_frames - 1).close()


@FUZZ
@given(argument=st.sampled_from([name for name in inspect.signature(vsvfi.load_model).parameters]), value=values)
def test_load_model(weights: Path, argument: str, value: object) -> None:
    arguments = {"name": "fake", "weights": weights, "device": "cpu", argument: made(value)}
    outcome(lambda: vsvfi.load_model(**arguments), VsvfiError)  # type: ignore[arg-type]


@FUZZ
@given(entries=st.dictionaries(keys, values, max_size=3))
def test_state_dicts(entries: dict[str, object]) -> None:
    outcome(lambda: vsvfi.load_model("fake", weights=made(entries), device="cpu"), VsvfiError)  # type: ignore[arg-type]


@FUZZ
@given(first=values, t=values)
def test_calls_of_a_model(weights: Path, first: object, t: object) -> None:
    model, image = vsvfi.load_model("fake", weights=weights, device="cpu"), torch.rand(3, 8, 8)
    outcome(lambda: model(made(first), image), VsvfiError)  # type: ignore[arg-type]
    outcome(lambda: model(image, image, made(t)), VsvfiError)  # type: ignore[arg-type]


@FUZZ
@given(
    command=st.sampled_from(["render", "bench", "models"]),
    option=st.sampled_from(
        [
            "--multi",
            "--fps",
            "--scale",
            "--model",
            "--device",
            "--precision",
            "--scene",
            "--weights",
            "--duplicates",
            "--streams",
            "-a",
        ]
    ),
    value=st.one_of(words, st.text(max_size=10), numbers.map(str)),
)
def test_command_line(tmp_path: Path, command: str, option: str, value: str) -> None:
    positional = {"render": [str(tmp_path / "none.mkv")], "models": ["fetch"], "bench": ["none"]}[command]
    report = io.StringIO()
    started = time.monotonic()
    with contextlib.redirect_stderr(report), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main(
                [
                    command,
                    *positional,
                    f"{option}={value}" if option.startswith("--") else option,
                    *([] if option.startswith("--") else [value]),
                ]
            )
        except SystemExit as left:  # argparse
            code = int(left.code or 0)
    assert time.monotonic() - started < SOON
    assert code in ((0, 1, 2) if value in ("-h", "--help") else (1, 2)), report.getvalue()
    assert "Traceback" not in report.getvalue()
    assert report.getvalue().strip()
