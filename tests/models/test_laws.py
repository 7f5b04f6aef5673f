"""Laws that hold for every network with any weights: phases, batches, sizes, precision, memory, keys."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.models.live_bytes import LiveBytes
from tests.models.small import CASES, FIRST, SCALES, Case
from vsvfi.engine.build import construct
from vsvfi.models.family import Family, Variant
from vsvfi.models.interpolator import tensor_bytes
from vsvfi.models.registry import check_options, families

every = pytest.mark.parametrize("case", CASES, ids=str, scope="module")


@pytest.fixture(scope="module")
def _forgotten(case: Case) -> Iterator[None]:
    yield
    case.forget()


def test_every_family_has_a_case() -> None:
    assert {case.family for case in CASES} == {family.name for family in families()}


@every
@pytest.mark.usefixtures("_forgotten")
class TestPhases:
    """Tests on one network of each kind, whose reference results are computed once."""

    def test_phases_are_the_forward_pass_bit_for_bit(self, case: Case) -> None:
        network, run, t = case.shared_network, case.run, torch.tensor(case.times).split(1)
        with torch.inference_mode():
            assert torch.equal(network(case.images[1], case.images[2], t[1]), run.other)
        assert run.other.shape == (1, 3, *case.size)
        assert float(run.other.std()) > 0.01
        assert float((run.other - run.alone[1]).abs().max()) > 1e-3

    def test_a_call_leaves_no_trace(self, case: Case) -> None:
        """Results are bit-identical after calls with other pairs and timesteps."""
        network, run = case.shared_network, case.run
        with torch.inference_mode():
            for t, expected in zip(torch.tensor(case.times).split(1), run.alone, strict=True):
                assert torch.equal(network.synthesise(run.pairs[0], t), expected)
        if case.times[0] != case.times[2]:
            assert float((run.alone[0] - run.alone[2]).abs().max()) > 1e-4

    def test_several_timesteps_of_one_pair_equal_single_calls(self, case: Case) -> None:
        run = case.run
        with torch.inference_mode():
            together = case.shared_network.synthesise(run.pairs[0], torch.tensor(case.times))
        assert case.is_near(together, torch.cat(run.alone))

    def test_a_batch_of_pairs_equals_single_calls(self, case: Case) -> None:
        run, first, second = case.run, torch.cat(case.images[:2]), torch.cat(case.images[1:])
        with torch.inference_mode():
            together = case.shared_network(first, second, torch.tensor(case.times[:2]))
        assert case.is_near(together[:1], run.alone[0])
        assert case.is_near(together[1:], run.other)

    def test_all_that_a_phase_keeps_is_counted(self, case: Case) -> None:
        """Caches keep their budget only if `tensor_bytes` counts everything that frames and pairs hold."""
        network, run, images = case.shared_network, case.run, case.images
        gc.collect()
        live, kept = LiveBytes(), list[object]([network.state_dict(), *images[:2]])
        with torch.inference_mode(), live:
            for tensor in (*network.state_dict(keep_vars=True).values(), *images[:2]):
                live.count(tensor)
            before = live.now
            kept += [network.encode_frame(image) for image in images[:2]]
            assert live.now == tensor_bytes(kept)
            kept.append(network.prepare_pair(*kept[3:]))
            assert live.now == tensor_bytes(kept)
            network.synthesise(kept[-1], torch.tensor(case.times[:1]))
            assert live.now == tensor_bytes(kept)
        assert live.peak > live.now > before
        assert tensor_bytes(run.pairs[0]) == tensor_bytes(kept[-1])

    def test_half_precision_is_near(self, case: Case) -> None:
        if case.half is None:
            pytest.skip("the family compares parts")
        with torch.inference_mode():
            half = case.half_network()(*case.images[:2], torch.tensor(case.times[:1]))
        assert half.dtype == torch.float32
        assert 0 < float((half - case.run.alone[0]).abs().mean()) < case.half


@pytest.mark.parametrize("case", SCALES, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (70, 129)])
def test_any_size(case: Case, size: tuple[int, int]) -> None:
    """Frames of any size are padded and cropped back, and the output is finite and in [0, 1]."""
    first, second = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    result = case.model()(first, second, case.times[0])
    assert result.shape == (3, *size)
    assert torch.isfinite(result).all()
    assert 0 <= float(result.min()) <= float(result.max()) <= 1


@pytest.mark.parametrize("case", [case for case in FIRST if case.trained], ids=str)
def test_training_computes_the_same_and_reaches_every_weight(case: Case) -> None:
    """Shortcuts such as in-place operations are taken only without gradients."""
    network, images, t = case.network(), case.images[:2], torch.tensor(case.times[:1])
    with torch.no_grad():
        expected = network(*images, t)
    result = network(*images, t)
    assert case.is_near(result.detach(), expected)
    result.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters() if parameter.grad is not None)


VARIANTS = [(family, variant) for family in families() for variant in family.variants]


@pytest.mark.parametrize(("family", "variant"), VARIANTS, ids=[variant.name for _, variant in VARIANTS])
def test_weights_are_the_published_ones_by_name_and_shape(shared: Path, family: Family, variant: Variant) -> None:
    """Every published tensor is used or ignored on purpose, and every weight of the network is among them."""
    path = shared / "goldens" / family.name / f"{variant.name}.weights.json"
    if not path.is_file():
        pytest.skip("its weights have the layout of another variant")
    manifest = json.loads(path.read_text())
    published: dict[str, Tensor] = {
        key.removeprefix("module."): torch.empty(entry["shape"], device="meta") for key, entry in manifest.items()
    }
    build = family.build_config(256, 256, family.default_scale(256, 256), check_options(family, {}), variant)
    network = construct(family, variant, build)
    own = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    adapted = family.adapt_state(published, own)
    used = {
        key: tuple(tensor.shape)
        for key, tensor in adapted.items()
        if not any(re.match(pattern, key) for pattern in family.ignored_keys)
    }
    assert used == own
    if family.name != "ldmvfi":  # its stored count includes unused weights; a separate test checks it
        assert variant.parameters == sum(tensor.numel() for tensor in network.parameters())
