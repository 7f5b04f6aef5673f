"""FlowFormer against stored checkpoints of the published program, and properties its specification states."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from tests.models import goldens
from tests.models.live_bytes import LiveBytes
from vsvfi.models.flow.flowformer import FlowFormer, FlowFormerFeatures, cost_encoder
from vsvfi.models.gimmvfi.spec import FAMILY

PREFIX = "flow_estimator."
EXACT = 1e-5
"""Tolerance before the recurrence; a correct program is below 1e-6."""


def golden(shared: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the stored tensors of the case `base`, and the estimator's weights under their published names."""
    tensors, _, state = goldens.golden(shared, "gimmvfi", "gimmvfi_f")
    own = {
        key.removeprefix(PREFIX): tensor
        for key, tensor in state.items()
        if key.startswith(PREFIX) and not any(re.match(pattern, key) for pattern in FAMILY.ignored_keys)
    }
    return goldens.of_case(tensors, "base"), own


def published(shared: Path, **arguments: Any) -> FlowFormer:
    """Return the estimator with the stored weights."""
    network = FlowFormer(**arguments).eval()
    network.load_state_dict(golden(shared)[1], strict=True)
    return network.to(memory_format=torch.channels_last)


def drawn(seed: int = 0, **arguments: Any) -> FlowFormer:
    """Return a network with random weights to which every part contributes; three iterations by default."""
    torch.manual_seed(seed)
    network = FlowFormer(**{"iterations": 3, **arguments}).eval()
    nn.init.constant_(network.memory_decoder.update_block.aggregator.gamma, 0.5)
    return network


def random_images(count: int, height: int = 64, width: int = 72) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def relative(result: Tensor, reference: Tensor) -> float:
    assert result.shape == reference.shape
    return float((result - reference).norm() / reference.norm())


def listen(module: nn.Module) -> list[tuple[Any, Any]]:
    """Record inputs and output of every further call of a module."""
    calls: list[tuple[Any, Any]] = []
    module.register_forward_hook(lambda module, inputs, output: calls.append((inputs, output)))
    return calls


def test_the_weights_are_the_published_ones(shared: Path) -> None:
    with torch.device("meta"):
        own = FlowFormer().state_dict()
    assert {key: tensor.shape for key, tensor in own.items()} == {
        key: tensor.shape for key, tensor in golden(shared)[1].items()
    }


@pytest.mark.parametrize("budget", [1 << 30, 0], ids=["kept", "on demand"])
def test_checkpoints_match_the_published_program(shared: Path, budget: int) -> None:
    tensors, _ = golden(shared)
    network = published(shared, volume_budget=budget, map_budget=budget)
    encoder, recurrent, backbone = (
        network.memory_encoder.cost_perceiver_encoder,
        network.memory_decoder,
        network.context_encoder.svt,
    )
    vertical, update = encoder.vertical_encoder_layers[0], recurrent.update_block
    places: dict[str, nn.Module] = {
        "ctx_embed1_tokens": backbone.patch_embeds[0],
        "ctx_block00_tokens": backbone.blocks[0].get_submodule("0"),
        "ff_cost_patches": encoder.patch_embed,
        "ff_tokens_in": encoder.input_layer,
        "ff_tokens_self0": encoder.encoder_layers[0],
        "ff_tokens_local0": vertical.get_submodule("local_block"),
        "ff_tokens_global0": vertical.get_submodule("global_block"),
        "memory": encoder,
        "attention": recurrent.att,
        "motion": update.encoder,
        "gru": update.gru,
        "head": update.flow_head,
        "mask": update.mask,
        "keys": recurrent.decoder_layer.cross_attend.k,
    }
    heard = {name: listen(module) for name, module in places.items()}
    with torch.inference_mode():
        first, second = (network.encode(2 * tensors[name] - 1) for name in ("img0", "img1"))
        flows = network.estimate(first, second)
        mask = update.mask(heard["gru"][0][1])
    # A mask by the network, one by this test
    assert [len(heard[name]) for name in ("gru", "mask", "keys", "attention", "memory")] == [
        32,
        2,
        1,
        1,
        2,
    ]

    before = {
        name: heard[name][0][1].flatten(1, 2)
        for name in ("ctx_embed1_tokens", "ctx_block00_tokens", "ff_tokens_local0", "ff_tokens_global0")
    }
    before |= {name: heard[name][0][1] for name in ("ff_cost_patches", "ff_tokens_in", "ff_tokens_self0")}
    before |= {
        "ctx_stage1": first.quarter,
        "ctx_stage2": first.eighth,
        "ff_feat01": torch.cat((first.matching, second.matching)),
    }
    before["ff_cost_memory"] = heard["memory"][0][1].flatten(1, 2).transpose(0, 1)
    shares = heard["attention"][0][1]
    before["ff_gma_attention"] = (
        torch.softmax(shares.q[:1] @ shares.k[:1].transpose(1, 2) * 128**-0.5, -1)[:, None]
        if budget == 0
        else shares.map[:1, None]
    )
    assert (shares.map is None) == (budget == 0)
    after = {
        "ff_it1_corr": heard["motion"][0][0][0],
        "ff_it1_net": heard["gru"][0][1],
        "ff_it1_mask": mask,
        "ff_it1_dflow": heard["head"][0][1],
        "ff_it32_flow_in": heard["motion"][31][0][1],
        "ff_it32_net": heard["gru"][31][1],
        "ff_it32_dflow": heard["head"][31][1],
        "flow01": flows[0],
        "flow10": flows[1],
    }
    known = {key.partition("_first")[0]: key for key in tensors if key.startswith(("ff_", "ctx_", "flow01", "flow10"))}
    assert known.keys() == before.keys() | after.keys()
    for name, result in (before | after).items():
        reference = tensors[known[name]]
        result = result[tuple(slice(size) for size in reference.shape)]
        bound = EXACT if name in before else 1e-4
        assert relative(result, reference) < min(bound, EXACT), name
        assert float((result - reference).abs().max() / reference.abs().max()) < (
            1e-3 if name.endswith("_net") else bound
        ), name


def test_pieces_do_not_change_the_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of source pixels or token indices do not change the flow, nor does storing costs and maps."""
    first, second = random_images(2).split(1)
    with torch.inference_mode():
        network = drawn()
        expected = network.estimate(network.encode(first), network.encode(second))
        monkeypatch.setattr(cost_encoder, "_CHUNK", 8000)
        heard, taken = (
            listen(network.memory_encoder.cost_perceiver_encoder.get_submodule(name))
            for name in ("patch_embed", "encoder_layers.0")
        )
        network.volume_budget, network.map_budget = 0, 0
        found = network.estimate(network.encode(first), network.encode(second))
        assert len(heard) == 2 * 12  # 72 source pixels, six at a time
        assert len(taken) == 2 * 72
        for flow, reference in zip(found, expected, strict=True):
            assert float(reference.abs().max()) > 1e-3
            assert relative(flow, reference) < 1e-4


def test_each_direction_sees_its_own_context_in_a_batch() -> None:
    """A batch of two pairs equals the two pairs; exchanging the images exchanges the flows.

    The published program mixes up contexts in batches.
    """
    network, images = drawn(), random_images(4)
    with torch.inference_mode():
        features = [network.encode(images[index : index + 1]) for index in range(4)]
        together = network.estimate(network.encode(images[:2]), network.encode(images[2:]))
        for index in range(2):
            alone = network.estimate(features[index], features[index + 2])
            reverse = network.estimate(features[index + 2], features[index])
            for direction in range(2):
                assert relative(together[direction][index : index + 1], alone[direction]) < 1e-4
                assert relative(reverse[1 - direction], alone[direction]) < 1e-4
            assert relative(alone[0], alone[1]) > 1e-2


def test_what_sees_one_image_is_computed_once() -> None:
    """A pair runs neither the backbone nor the context projection; the same features give the same flow."""
    network, images = drawn(), random_images(2)
    once = [
        network.memory_encoder.feat_encoder,
        network.memory_encoder.channel_convertor,
        network.context_encoder,
        network.memory_decoder.proj,
    ]
    encoder = network.memory_encoder.cost_perceiver_encoder
    once += [module for name, module in encoder.named_modules() if name.endswith("context_proj")]
    assert len(once) == 4 + 6
    heard = [listen(module) for module in once]
    with torch.inference_mode():
        first, second = network.encode(images[:1]), network.encode(images[1:])
        assert [len(calls) for calls in heard] == [2] * 10
        flow = network.estimate(first, second)
        again = network.estimate(first, second)
        assert [len(calls) for calls in heard] == [2] * 10
    assert all(torch.equal(*both) for both in zip(flow, again, strict=True))
    assert isinstance(first, FlowFormerFeatures)
    assert [tuple(part.shape) for part in (first.quarter, first.eighth, first.matching)] == [
        (1, 128, 16, 18),
        (1, 256, 8, 9),
        (1, 256, 8, 9),
    ]


def test_training_and_inference_agree() -> None:
    network, images = drawn(iterations=2), random_images(2)
    with torch.no_grad():
        expected = network.estimate(network.encode(images[:1]), network.encode(images[1:]))
    flow = network.estimate(network.encode(images[:1]), network.encode(images[1:]))
    assert relative(flow[0].detach(), expected[0]) < 1e-5
    (flow[0].sum() + flow[1].sum()).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(("dtype", "pixels"), [(torch.float16, 0.002), (torch.bfloat16, 0.015)], ids=["fp16", "bf16"])
def test_half_precision_keeps_costs_and_positions_exact(shared: Path, dtype: torch.dtype, pixels: float) -> None:
    """Mean error of the flow in pixels after four iterations; 0.0007 and 0.005 are reached, of flow up to 1.1."""
    images = [2 * golden(shared)[0][name] - 1 for name in ("img0", "img1")]
    network = published(shared, iterations=4)
    with torch.inference_mode():
        exact, _ = network.estimate(*(network.encode(image) for image in images))
        heard = listen(network.to(dtype).memory_decoder.update_block.encoder)
        near, _ = network.estimate(*(network.encode(image) for image in images))
    (seen, flow), motion = heard[0]
    assert (seen.dtype, flow.dtype, motion.dtype, near.dtype) == (dtype, torch.float32, dtype, torch.float32)
    assert float((near - exact).abs().mean()) < pixels


class FusedAttention(TorchFunctionMode):
    """Let attention allocate its result only, as fused kernels do.

    On the meta device, torch would use the unfused implementation.
    """

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is functional.scaled_dot_product_attention:
            query, _, value = args
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return function(*args, **(kwargs or {}))


def peak(network: FlowFormer, width: int, height: int) -> int:
    """Return the peak bytes of estimating both flows between two images, features included, weights excluded.

    Runs on the meta device, where tensors have sizes only.
    """
    images = torch.empty(2, 1, 3, height, width, device="meta")
    with torch.no_grad(), FusedAttention(), LiveBytes() as live:
        flows = network.estimate(network.encode(images[0]), network.encode(images[1]))
    assert flows[0].shape == (1, 2, height, width)
    return live.peak


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1800), (torch.float16, 1300)], ids=["fp32", "fp16"])
def test_memory_of_a_2k_pair_at_half_size(dtype: torch.dtype, limit: int) -> None:
    """In MiB: 1704 and 1206, of which the costs of both directions take 578 and the maps as much, or half of it.

    A frame of 4K at a quarter is as large.
    """
    network = FlowFormer(1).to("meta", dtype).to(memory_format=torch.channels_last)
    assert 2 * (68 * 128) ** 2 * 4 < peak(network, 1024, 544) < limit << 20


def test_memory_does_not_grow_with_the_square_of_the_size() -> None:
    """Without budgets, an image of twice the pixels needs about twice the bytes."""
    network = FlowFormer(1, volume_budget=0, map_budget=0).to("meta")
    smaller, larger = peak(network, 384, 256), peak(network, 768, 256)
    assert larger < 2.2 * smaller
    assert larger < 300 << 20


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize(("dtype", "pixels"), [(torch.float32, 1e-3), (torch.float16, 0.02)], ids=["fp32", "fp16"])
@pytest.mark.parametrize("budget", [1 << 30, 0], ids=["kept", "on demand"])
def test_cuda_matches_too(shared: Path, dtype: torch.dtype, pixels: float, budget: int) -> None:
    tensors, _ = golden(shared)
    network = published(shared, volume_budget=budget, map_budget=budget).to("cuda", dtype)
    with torch.inference_mode():
        first, second = (network.encode(2 * tensors[name].cuda() - 1) for name in ("img0", "img1"))
        for name, flow in zip(("flow01", "flow10"), network.estimate(first, second), strict=True):
            assert float((flow.cpu() - tensors[name]).abs().mean()) < pixels
