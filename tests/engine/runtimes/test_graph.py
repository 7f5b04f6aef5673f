"""Graphs: every family replayed with other inputs, no result that a later replay changes, no branch that is frozen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.building import EXACT, build_config, loaded, model_config, run_config
from tests.engine.sessions import ask
from tests.fake_graph import FakeGraphs, NotRecordableError
from tests.fakes import Recorder
from tests.models.small import CASES, Case
from vsvfi.engine.build import AnyInterpolator
from vsvfi.engine.device import inference
from vsvfi.engine.placement import AUTO, RuntimeChoice
from vsvfi.engine.run_config import RunConfig
from vsvfi.engine.runtimes import registry
from vsvfi.engine.runtimes.binding import bind
from vsvfi.engine.runtimes.graph.recorded import Recorded
from vsvfi.engine.runtimes.graph.runtime import GraphRuntime
from vsvfi.engine.session import Session
from vsvfi.errors import ArgumentError
from vsvfi.models.blocks.constants import _ENTRIES, Constants
from vsvfi.models.interpolator import tensor_bytes
from vsvfi.models.registry import families, find
from vsvfi.models.rife import network as rife

GRAPH = dataclasses.replace(EXACT, runtime=RuntimeChoice("graph"))
_NOTES = {"", "half hr tta", "ensemble", "raft", "4.0 and 4.1", "4.25 and 4.26", "4.6 ensemble"}


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> FakeGraphs:
    fake = FakeGraphs()
    monkeypatch.setattr("vsvfi.engine.runtimes.binding.find", lambda name: GraphRuntime(fake))
    return fake


@pytest.fixture
def exact() -> Iterator[None]:
    with inference(torch.device("cpu")):
        yield


def recorded(call: Callable[..., object], *args: Any) -> Callable[..., Any]:
    return Recorded(FakeGraphs(), call, args, {})


@pytest.mark.parametrize("case", [case for case in CASES if case.note in _NOTES], ids=str)
@pytest.mark.usefixtures("exact")
def test_every_family_is_replayed_as_it_runs_eagerly(
    case: Case, graphs: FakeGraphs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rife, "_is_on_host", lambda tensor: False)  # on the CPU it may look at values
    network = case.network()
    (family,) = (family for family in families() if family.name == case.family)
    build = family.build_config(*case.size, Fraction(1), family.option_defaults, family.variants[0])
    bound = bind(network, family, family.variants[0], build, GRAPH)
    images = [torch.rand(1, 3, *case.size, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    images = [image.contiguous(memory_format=torch.channels_last) for image in images]
    times = [torch.full((1,), float(t)) for t in case.times]

    def run(network: AnyInterpolator) -> list[Tensor]:
        frames = [network.encode_frame(image) for image in images]
        pairs = [network.prepare_pair(*frames[at : at + 2]) for at in range(2)]
        results = []
        for pair, t in zip((*pairs, pairs[0]), times):
            inputs = network.random_inputs(pair, Fraction(1, 2))
            results.append(network.synthesise_batch([pair], t, [inputs])[0])
        return results

    expected = run(network)
    for found, wanted in zip(run(bound), expected, strict=True):
        assert torch.equal(found, wanted)
    assert not caplog.records
    assert graphs.replayed >= 8
    assert graphs.recorded == len(network.pieces)


@pytest.mark.usefixtures("exact")
def test_results_outlive_later_replays_and_share_memory_as_eagerly() -> None:
    @dataclasses.dataclass(frozen=True)
    class Result:
        doubled: Tensor
        part: Tensor
        given: Tensor
        cut: Tensor

    def work(image: Tensor) -> Result:
        doubled = image * 2
        return Result(doubled, doubled[:, 1:], image, image[..., 1:])

    call = recorded(work, torch.zeros(1, 2, 2, 3))
    first = torch.rand(1, 2, 2, 3)
    kept = call(first)
    expected = work(first)
    call(torch.rand(1, 2, 2, 3))
    for member in dataclasses.fields(Result):
        found, wanted = getattr(kept, member.name), getattr(expected, member.name)
        assert torch.equal(found, wanted)
        assert (found.stride(), found.storage_offset()) == (wanted.stride(), wanted.storage_offset())
    assert tensor_bytes(kept) == tensor_bytes(expected)
    assert kept.given.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()


@pytest.mark.usefixtures("exact")
def test_inputs_may_be_expanded_repeated_or_part_of_another_tensor() -> None:
    def work(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return a + b + c, a[:, 1:]

    large = torch.rand(4, 6)
    call = recorded(work, torch.zeros(1, 3).expand(2, 3), torch.zeros(2, 3), torch.zeros(6, 6)[1:3, 2:5])
    a, b = torch.rand(1, 3).expand(2, 3), torch.rand(2, 3)
    total, part = call(a, b, large[1:3, 2:5])
    assert torch.equal(total, a + b + large[1:3, 2:5])
    assert torch.equal(part, a[:, 1:])


@pytest.mark.usefixtures("exact")
def test_a_branch_on_a_value_that_is_no_tensor_is_part_of_the_key(graphs: FakeGraphs, fake_family: Recorder) -> None:
    network = loaded("fake", fake_family.weights)
    made = network.network(build_config(network, 16, 16), EXACT)
    made.encode_frame = lambda image, twice: image * 2 if twice else image  # type: ignore[method-assign,misc,assignment]
    bound = bind(made, network.family, network.variant, build_config(network, 16, 16), GRAPH)
    image = torch.rand(1, 3, 4, 4)
    for twice in (True, False, True, False):
        assert torch.equal(bound.encode_frame(image, twice), image * (2 if twice else 1))  # type: ignore[call-arg]
    assert graphs.recorded == 2


@pytest.mark.usefixtures("exact")
def test_a_frozen_branch_is_found_and_waiting_for_the_device_cannot_be_recorded() -> None:
    state = {"calls": 0}

    def frozen(image: Tensor) -> Tensor:
        state["calls"] += 1
        return image * state["calls"]

    call = recorded(frozen, torch.ones(2))
    assert float(call(torch.ones(2))[0]) == float(call(torch.ones(2))[0]) == state["calls"] == 2
    with pytest.raises(NotRecordableError):
        recorded(lambda image: image if bool(image.any()) else -image, torch.ones(2))


@pytest.mark.usefixtures("exact")
def test_constants_outlive_their_module_forgetting_them() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.constants = Constants(self)

        def forward(self, image: Tensor, size: int = 0) -> Tensor:
            return image * self.constants.get(size, lambda: torch.full((1,), 3.0))

    module = Scaled()
    call = recorded(module, torch.ones(2))
    (constant,) = call._constants[:1]  # type: ignore[attr-defined]
    for size in range(_ENTRIES + 1):
        module(torch.ones(2), size + 1)
    assert module.constants.get(0, lambda: torch.zeros(1)) is not constant
    assert torch.equal(call(torch.ones(2)), torch.full((2,), 3.0))


def test_a_session_gives_the_same_frames_and_each_stream_its_own_graphs(
    graphs: FakeGraphs, fake_family: Recorder
) -> None:
    model = loaded("builtin")
    config = run_config(model_config(model), (30, 18), cache=1)

    def frames(config: RunConfig) -> list[Tensor]:
        session = Session(config, model)
        try:
            return [ask(session, first, Fraction(1, 2)) for first in (0, 1, 2, 0)]
        finally:
            session.close()

    found = frames(dataclasses.replace(config, placements=(GRAPH,)))
    assert graphs.recorded == 3
    for one, other in zip(found, frames(config), strict=True):
        assert torch.equal(one, other)


def test_graphs_need_cuda_and_are_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    family, variant = find("builtin")
    with pytest.raises(ArgumentError, match="runtime='graph', is not available on cpu: it needs a CUDA device"):
        registry.choose(RuntimeChoice("graph"), "cpu", family, variant)
    monkeypatch.setattr(torch.version, "hip", None)
    assert registry.choose(AUTO, "cuda", family, variant) == RuntimeChoice("graph")
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert registry.choose(AUTO, "cuda", family, variant) == RuntimeChoice("eager")
