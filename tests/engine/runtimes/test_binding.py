"""Runtimes: how they are named, found, compared with eager execution and replaced by it."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from tests.building import EXACT, build_config, loaded
from tests.fakes import Recorder
from vsvfi.engine.build import AnyInterpolator
from vsvfi.engine.model_config import ModelConfig
from vsvfi.engine.placement import EAGER, Placement, RuntimeChoice
from vsvfi.engine.runtimes import registry
from vsvfi.engine.runtimes.binding import COMPARED_CALLS, release_specialised
from vsvfi.engine.runtimes.comparison import difference
from vsvfi.engine.runtimes.interface import Call, Piece, Runtime
from vsvfi.engine.runtimes.signature import signature_of, split
from vsvfi.errors import ArgumentError
from vsvfi.options import Options, parse

HALF = torch.full((1,), 0.5)
IMAGES = [torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]


class Altered(Runtime):
    """Runs the pieces eagerly and passes their results through a function."""

    summary = "for tests"
    providers = ("one", "two")

    def __init__(self, alter: Callable[[str, Any], Any] = lambda name, result: result) -> None:
        self.alter = alter
        self.specialised: list[str] = []
        self.calls = 0

    def obstacle(self, device: str, provider: str | None = None) -> str | None:
        return "it is missing" if provider == "two" else None

    def specialise(self, piece: Piece, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        self.specialised.append(piece.name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return self.alter(piece.name, piece.eager(*args, **kwargs))

        return call


@pytest.fixture
def bound(fake_family: Recorder, monkeypatch: pytest.MonkeyPatch) -> Callable[[Runtime], AnyInterpolator]:
    """Builds the fake family's network for a runtime that is registered as "altered"."""
    model = loaded("fake", fake_family.weights)

    def build(runtime: Runtime) -> AnyInterpolator:
        monkeypatch.setattr("vsvfi.engine.runtimes.binding.find", lambda name: runtime)
        placement = dataclasses.replace(EXACT, runtime=RuntimeChoice("altered"))
        return model.network(build_config(model, 16, 16), placement)

    return build


def run(network: AnyInterpolator, first: Tensor = IMAGES[0], second: Tensor = IMAGES[1]) -> Tensor:
    result: Tensor = network(first, second, HALF)
    return result


def blend(first: Tensor = IMAGES[0], second: Tensor = IMAGES[1]) -> Tensor:
    return (first + second) / 2


def test_a_runtime_runs_every_piece_and_is_compared_at_first_only(
    bound: Callable[[Runtime], AnyInterpolator], fake_family: Recorder
) -> None:
    runtime = Altered()
    network = bound(runtime)
    for _ in range(COMPARED_CALLS + 1):
        assert torch.equal(run(network), blend())
    assert runtime.specialised == ["encode_frame", "prepare_pair", "synthesise"]
    assert runtime.calls == 4 * (COMPARED_CALLS + 1)
    assert fake_family.counts()["synthesise"] == 2 * COMPARED_CALLS + 1
    release_specialised(network)
    run(network)
    assert len(runtime.specialised) == 6


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda image: image * 1.01, "relative error"),
        (lambda image: torch.full_like(image, torch.nan), "relative error against eager execution is inf"),
        (lambda image: image[..., :8], r"float32 \[1, 3, 16, 8\] on cpu"),
        (lambda image: image.half(), "float16"),
        (lambda image: (image,), "another structure"),
    ],
    ids=["values", "nan", "shape", "type", "structure"],
)
def test_a_wrong_result_is_replaced_and_logged_once(
    bound: Callable[[Runtime], AnyInterpolator],
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[Tensor], Any],
    reason: str,
) -> None:
    runtime = Altered(lambda name, result: fault(result) if name == "synthesise" else result)
    network = bound(runtime)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(run(network), blend())
        calls = runtime.calls
        assert torch.equal(run(network), blend())
    assert runtime.calls == calls, "no piece uses a runtime that failed"
    (record,) = caplog.records
    assert record.getMessage().startswith("fake on cpu: runtime='altered' failed in synthesise, runtime='eager'")
    assert record.getMessage().count("\n") == 0
    assert re.search(reason, record.getMessage())


def test_a_result_that_never_changes_is_found(
    bound: Callable[[Runtime], AnyInterpolator], caplog: pytest.LogCaptureFixture
) -> None:
    held: dict[str, Any] = {}
    network = bound(Altered(lambda name, result: held.setdefault(name, result)))
    run(network)
    assert torch.equal(run(network, IMAGES[2], IMAGES[3]), blend(IMAGES[2], IMAGES[3]))
    assert len(caplog.records) == 1


def test_an_error_is_replaced_but_lack_of_memory_is_not(
    bound: Callable[[Runtime], AnyInterpolator], caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception] = [torch.OutOfMemoryError("CUDA out of memory"), ValueError("an odd\nfault")]

    def fail(name: str, result: Any) -> Any:
        if errors:
            raise errors.pop(0)
        return result

    network = bound(Altered(fail))
    with pytest.raises(torch.OutOfMemoryError):
        run(network)
    assert not caplog.records
    assert torch.equal(run(network), blend())
    assert "(ValueError: an odd)" in caplog.text


def test_other_shapes_and_values_are_specialised_anew(bound: Callable[[Runtime], AnyInterpolator]) -> None:
    runtime = Altered()
    network = bound(runtime)
    network.encode_frame(IMAGES[0])
    network.encode_frame(IMAGES[1])
    assert len(runtime.specialised) == 1
    network.encode_frame(IMAGES[0].to(memory_format=torch.channels_last))
    network.encode_frame(IMAGES[0][..., :8])
    network.encode_frame(torch.cat(IMAGES))
    assert len(runtime.specialised) == 4
    for width in range(1, 40):
        network.encode_frame(torch.zeros(1, 3, 1, width))
    network.encode_frame(IMAGES[0])
    assert len(runtime.specialised) == 44, "an old one made room"


class _Named(NamedTuple):
    x: Tensor
    y: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Held:
    image: Tensor
    parts: tuple[Tensor | None, ...]
    shown: tuple[int, int]


def test_values_are_taken_apart_and_put_together() -> None:
    a, b = IMAGES[:2]
    value = ({"held": _Held(a, (b, None, a), (3, 4))}, [_Named(b, 2)], 0.5)
    tree, tensors = split(value)
    assert [id(tensor) for tensor in tensors] == [id(a), id(b)]
    joined = tree.join([b, a])
    held, named = joined[0]["held"], joined[1][0]
    assert held.image is b
    assert held.parts[0] is a
    assert held.parts[1:] == (None, b)
    assert held.shown == (3, 4)
    assert type(named) is _Named
    assert named.x is a
    assert (named.y, joined[2]) == (2, 0.5)

    def key(value: object) -> object:
        return signature_of(*split(value))

    assert key((a, b)) == key((b, a)) != key((a, a))
    different = [(a, 1), (a, 1.0), (a, True), (a, 0.5), [a, 1], (a.half(), 1), (a[:, :2], 1), (a.mT, 1)]
    assert len({key(value) for value in different}) == len(different)
    assert hash(key(value)) == hash(key(value))


def test_the_bound_depends_on_the_type() -> None:
    a = IMAGES[0]
    assert difference(a * 1.005, a, torch.float16) is None
    assert difference(a * 1.005, a, torch.float32) is not None
    spot = a.clone()
    spot[0, 0, 0, 0] += 0.2
    assert "largest" in str(difference(spot, a, torch.float16))
    assert difference((a[:0], torch.zeros(2)), (a[:0], torch.zeros(2)), torch.float32) is None


@pytest.mark.parametrize("text", ["", "Graph!", "onnx:", ":cuda", "onnx:a:b", 3, None, "x" * 1000])
def test_what_cannot_name_a_runtime_is_refused(text: object) -> None:
    with pytest.raises(ArgumentError, match="runtime="):
        parse(runtime=text)


def test_runtimes_are_found_by_their_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse(runtime="ONNX:cuda").runtime == "onnx:cuda"
    assert "eager" in registry.names()
    with pytest.raises(ArgumentError, match="runtime='warp', is not available; use 'auto', "):
        ModelConfig.of(Options(runtime="warp"))
    with pytest.raises(ArgumentError, match="provider without a runtime"):
        ModelConfig.of(Options(runtime="auto:cuda"))
    model = ModelConfig.of(Options())
    monkeypatch.setattr(registry, "names", lambda: ("altered", "eager"))
    runtimes: dict[str, Runtime] = {"altered": Altered(), "eager": registry.find("eager")}
    monkeypatch.setattr(registry, "find", runtimes.__getitem__)

    def choose(text: str, device: str = "cpu") -> RuntimeChoice:
        return registry.choose(registry.named(text), device, model.family, model.variant)

    assert choose("auto") == choose("eager") == EAGER
    assert choose("altered:one") == RuntimeChoice("altered", "one")
    monkeypatch.setattr(Altered, "default_on", frozenset({"cuda"}))
    assert choose("auto") == EAGER
    assert choose("auto", "cuda") == RuntimeChoice("altered")
    with pytest.raises(ArgumentError, match="not available on cpu: it is missing"):
        choose("altered:two")
    with pytest.raises(ArgumentError, match="unknown provider; use 'altered:one', 'altered:two'"):
        choose("altered:three")
    assert [(one.name, one.available) for one in registry.availability("cpu")] == [
        ("altered:one", True),
        ("altered:two", False),
        ("eager", True),
    ]
    monkeypatch.setattr(Altered, "declines", lambda self, family, variant: "it splats")
    with pytest.raises(ArgumentError, match="cannot run builtin: it splats"):
        choose("altered")
    assert choose("auto", "cuda") == EAGER
    assert str(Placement(torch.device("cpu"), torch.float32, RuntimeChoice("a", "b")).runtime) == "a:b"
