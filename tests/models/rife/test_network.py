"""RIFE's phases, and every shortcut against the literal implementation, for every runnable version."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from tests.models import nearness
from tests.models.live_bytes import LiveBytes
from tests.models.rife.pieces import NEIGHBOURS, OWN, narrow, network_of
from tests.models.rife.plain import Plain
from vsvfi.models.rife import network as module
from vsvfi.models.rife.blocks import Block, ScaledConv
from vsvfi.models.rife.estimates import at_size_of
from vsvfi.models.rife.network import IFNet
from vsvfi.models.rife.spec import V40, V46, V425, Version
from vsvfi.ops.warp import resize_bilinear

VERSIONS = [*dict.fromkeys(OWN.values()), *NEIGHBOURS]
SCALES = [Fraction(1, 2), Fraction(1), Fraction(2), Fraction(4)]
named = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
near = nearness.relatively_within(1e-4)  # seeded weights give flows of tens of pixels, which amplify rounding errors


def random_images(count: int, height: int, width: int) -> torch.Tensor:
    """Return smooth images, so that a small error of the flow is a small error of the frame."""
    coarse = torch.rand((count, 3, height // 8 + 1, width // 8 + 1), generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")


@named
@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_the_network_is_its_plain_form(version: Version, scale: Fraction) -> None:
    """Folded weights, dropped outputs, states that skip the full size and unused pixels, all at once."""
    version = narrow(version)
    network = network_of(version, scale)
    size = version.build_config(64, 64, scale, {"ensemble": False, "padding": "black"}).size_rule.divisors(scale)[0]
    first, second = random_images(2, size, 2 * size).split(1)
    expected = Plain(version, network.state_dict(), scale)(first, second, 0.3)
    assert near(network(first, second, torch.tensor([0.3])), expected)
    network.prepare_operators()
    assert near(network(first, second, torch.tensor([0.3])), expected)


@pytest.mark.parametrize(
    "version", [version for version in VERSIONS if version.ensemble], ids=lambda version: version.name
)
def test_the_ensemble_is_its_plain_form(version: Version) -> None:
    version = narrow(version)
    network = network_of(version, ensemble=True)
    network.prepare_operators()
    first, second = random_images(2, 64, 128).split(1)
    expected = Plain(version, network.state_dict(), ensemble=True)(first, second, 0.3)
    assert near(network(first, second, torch.tensor([0.3])), expected)
    assert not near(
        network(first, second, torch.tensor([0.3])), network_of(version)(first, second, torch.tensor([0.3]))
    )


@pytest.mark.parametrize("groups", [1, 2])
def test_factor_and_skip_are_folded_exactly(groups: int) -> None:
    layer = ScaledConv(8, groups)
    torch.nn.init.normal_(layer.beta)
    x = torch.randn(2, 8, 5, 6)
    weight, bias, skip = layer.combined()
    assert skip
    folded = torch.nn.functional.conv2d(x, weight, bias, 1, 1, groups=groups)
    assert torch.allclose(folded, layer.beta * layer.conv(x) + x, atol=1e-5)


def test_the_skip_stays_outside_in_half_precision() -> None:
    layer = ScaledConv(8, 1).bfloat16()
    weight, _, skip = layer.combined()
    assert not skip
    assert torch.equal(weight, layer.conv.weight * layer.beta.reshape(-1, 1, 1, 1))


def test_a_block_makes_no_more_than_is_read() -> None:
    for used in (5, 13):
        block = Block(10, 8, 52, used, "scaled", 1, range(10))
        assert block(torch.rand(1, 10, 16, 16)).shape == (1, used, 16, 16)


def test_folded_weights_are_used_until_the_weights_change() -> None:
    network = network_of(narrow(V425))
    network.prepare_operators()
    images = random_images(2, 64, 64).split(1)
    before = network(*images, torch.tensor([0.5]))
    state = {key: tensor * 0.5 for key, tensor in network.state_dict().items()}
    network.load_state_dict(state)
    after = network(*images, torch.tensor([0.5]))
    assert near(after, Plain(narrow(V425), state)(*images, 0.5))
    assert not near(after, before)
    assert network.bfloat16()(*images, torch.tensor([0.5])).isfinite().all()


@pytest.mark.parametrize("made", [Fraction(2) ** power for power in range(-2, 6)], ids=str)
@pytest.mark.parametrize("step", [Fraction(2) ** power for power in range(-3, 6)], ids=str)
def test_masks_and_features_go_to_the_next_size_exactly(made: Fraction, step: Fraction) -> None:
    values = torch.rand(1, 3, int(64 / made), int(64 / made))
    expected = resize_bilinear(resize_bilinear(values, made), 1 / step)
    assert torch.allclose(at_size_of(values, made, step), expected, atol=1e-6)


def test_pairs_that_fall_back_do_not_drag_others_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """4.0 decides by the estimated motion, so a batch has to decide for each of its pairs."""
    version, t = narrow(V40), torch.tensor([0.5])
    network = network_of(version)
    random = torch.Generator().manual_seed(0)
    wild, calm = torch.full((2, 1, 3, 128, 128), 0.5), torch.rand((2, 1, 3, 128, 128), generator=random)

    def correction(pair: torch.Tensor) -> list[float]:
        plain = Plain(version, network.state_dict())
        plain(*pair, 0.5)
        enlarged = 8 * resize_bilinear(plain.found["out1"], Fraction(8)).abs()
        return [float(enlarged[:, part].max()) for part in (slice(0, 2), slice(2, 4))]

    for parameter in network.blocks[1].lastconv.parameters():
        parameter.mul_(1e-3)  # no fallback during the search for the limit
    low, high = min(correction(calm)), min(correction(wild))
    assert low < 0.95 * high  # else the limit is too close to both
    limit = (low * high) ** 0.5
    for parameter in network.blocks[1].lastconv.parameters():
        parameter.mul_(32 / limit)
    single = []
    for pair, falls_back in ((calm, False), (wild, True)):
        plain = Plain(version, network.state_dict())
        single.append(plain(*pair, 0.5))
        assert ("fallback" in plain.found) == falls_back
        assert near(network(*pair, t), single[-1])
    both = network(*torch.cat((calm, wild), 1), torch.tensor([0.5, 0.5]))
    monkeypatch.setattr(module, "_is_on_host", lambda tensor: False)  # a device chooses between both estimates
    chosen = [network(*pair, t)[0] for pair in (calm, wild)]
    for made, expected in zip((*both, *chosen), single * 2, strict=True):
        assert near(made[None], expected)


def test_frames_outside_the_range_are_clamped() -> None:
    network = network_of(narrow(V425))
    first, second = random_images(2, 64, 64).split(1)
    beyond = (first * 3 - 1, second * 3 - 1)
    t = torch.tensor([0.5])
    assert torch.equal(network(*beyond, t), network(*(image.clamp(0, 1) for image in beyond), t))
    assert 0 <= float(network(*beyond, t).min()) <= float(network(*beyond, t).max()) <= 1


def test_sizes_by_the_published_rule() -> None:
    """D = max(M, M / scale), M being 4 steps of block 0, and 8 where it may fall back."""
    options = {"ensemble": False, "padding": "black"}
    multiples = {V46: 32, V425: 64, OWN["rife425_lite"]: 128, V40: 64}
    for version, multiple in multiples.items():
        for scale, expected in (
            (1, multiple),
            (Fraction(1, 2), 2 * multiple),
            (Fraction(1, 4), 4 * multiple),
            (2, multiple),
            (4, multiple),
        ):
            rule = version.build_config(640, 360, Fraction(scale), options).size_rule
            assert rule.divisors(Fraction(scale)) == (expected, expected), (version.name, scale)
            assert not rule.centred
            assert (rule.border, rule.value) == ("constant", 0.0)
    assert (
        replace(V46).build_config(640, 360, Fraction(1), {**options, "padding": "replicate"}).size_rule.border
        == "replicate"
    )


def test_the_state_of_a_pair_shares_the_frames() -> None:
    network = IFNet(narrow(V425)).eval()
    first, second = (network.encode_frame(image) for image in torch.rand(2, 1, 3, 64, 64))
    pair = network.prepare_pair(first, second)
    assert pair.first.data_ptr() == first.packed.data_ptr()
    assert pair.second.data_ptr() == second.packed.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_the_estimate_of_memory_is_what_is_counted(
    version: Version, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare the estimate with the counted peak of two frames, their pair and one timestep.

    Runs in plain torch, which needs the most memory.
    """
    monkeypatch.setenv("VSVFI_OPS", "reference")
    network = network_of(version, ensemble=version.ensemble).to(dtype)
    network.prepare_operators()
    images = [torch.rand(1, 3, 128, 256).contiguous(memory_format=torch.channels_last) for _ in range(2)]
    live = LiveBytes()
    with torch.inference_mode(), live:
        for image in images:
            live.count(image)
        pair = network.prepare_pair(*(network.encode_frame(image) for image in images))
        network.synthesise(pair, torch.tensor([0.5]))
    estimate = version.memory(256 * 128, Fraction(1))
    assert live.peak <= 1.02 * estimate
    assert estimate < 2.5 * live.peak


def _mean_and_peak(found: torch.Tensor, exact: torch.Tensor) -> tuple[float, float]:
    error = (found.float() - exact).abs()
    return float(error.mean()), float(error.max())


@pytest.mark.parametrize("variant", sorted(OWN))
def test_half_precision_is_within_the_stated_tolerance(variant: str) -> None:
    """Weights that move things by a few pixels; fp16 as torch computes it on the CPU."""
    network = network_of(OWN[variant])
    state = {
        key: tensor * (0.5 if tensor.dim() == 4 and "beta" not in key else 1)
        for key, tensor in network.state_dict().items()
    }
    network.load_state_dict(state)
    images = random_images(2, 128, 128).split(1)
    with torch.inference_mode():
        exact = network(*images, torch.tensor([0.5]))
        narrowed = network.half()
        narrowed.prepare_operators()
        found = _mean_and_peak(narrowed(*images, torch.tensor([0.5])), exact)
    assert found[0] < 5e-4
    assert found[1] < 5e-3


def test_flow_and_warp_are_float32_in_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(narrow(V425)).bfloat16()
    first, second = (network.encode_frame(image) for image in random_images(2, 64, 64).split(1))
    pair = network.prepare_pair(first, second)
    assert pair.first.dtype == pair.reduced.dtype == torch.float32
    found = network.estimate(pair, torch.tensor([0.5]))
    assert found.flow.dtype == torch.float32
    assert all(state.dtype == torch.float32 for state, _ in found.states)
    assert network.synthesise(pair, torch.tensor([0.5])).dtype == torch.float32
