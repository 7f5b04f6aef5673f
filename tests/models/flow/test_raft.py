"""RAFT against stored checkpoints of the published program, and properties the paper states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models import goldens
from vsvfi.models.flow.raft import RAFT
from vsvfi.models.flow.recurrence import SeparableGRU, convex_upsample

PREFIX = "flow_estimator."


def golden(shared: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the stored tensors of the case `base`, and the estimator's weights under their published names."""
    tensors, _, state = goldens.golden(shared, "gimmvfi", "gimmvfi_r")
    own = {
        key.removeprefix(PREFIX): tensor
        for key, tensor in state.items()
        if key.startswith(PREFIX) and ".norm3." not in key
    }
    return goldens.of_case(tensors, "base"), own


def stored(tensors: dict[str, Tensor], name: str) -> Tensor:
    """Return a stored tensor; its full name may end in the number of stored channels."""
    (found,) = (tensor for key, tensor in tensors.items() if key == name or key.startswith(f"{name}_first"))
    return found


def assert_close(name: str, result: Tensor, reference: Tensor, bound: float = 1e-5) -> None:
    """Check relative errors in the L2 norm and, ten times as wide, in the maximum.

    Only stored channels are compared.
    """
    result = result[:, : reference.shape[1]]
    assert result.shape == reference.shape, name
    difference = result - reference
    assert float(difference.norm() / reference.norm()) < bound, name
    assert float(difference.abs().max() / reference.abs().max()) < 10 * bound, name


def build(state: dict[str, Tensor], **arguments: Any) -> RAFT:
    network = RAFT(**arguments).eval()
    network.load_state_dict(state, strict=True)
    return network


@pytest.mark.parametrize("budget", [1 << 30, 0], ids=["volume", "on demand"])
def test_checkpoints_match_the_published_program(shared: Path, budget: int) -> None:
    """With stored and with on-demand correlation."""
    tensors, state = golden(shared)
    network = build(state, budget=budget)
    calls: dict[str, list[tuple[Any, Any]]] = {name: [] for name in ("encoder", "gru", "flow_head", "mask")}
    for name, seen in calls.items():
        network.update_block.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, seen=seen: seen.append((inputs, output))
        )
    with torch.inference_mode():
        first, second = (network.encode(2 * tensors[name] - 1) for name in ("img0", "img1"))
        flow01, flow10 = network.estimate(first, second)
        mask = network.update_block.mask(calls["gru"][0][1])
        *_, context = network.cnet(2 * tensors["img0"] - 1)
    assert len(calls["gru"]) == 20
    assert len(calls["mask"]) == 2  # once by the network, once by this test
    found = {
        "raft_fmap0": first.matching,
        "raft_fmap1": second.matching,
        "raft_cnet0": context,
        "raft_feat0_4": first.quarter,
        "raft_feat0_8": first.eighth,
        "raft_it1_corr": calls["encoder"][0][0][0],
        "raft_it1_net": calls["gru"][0][1],
        "raft_it1_mask": mask,
        "raft_it1_dflow": calls["flow_head"][0][1],
        "raft_it20_flow_in": calls["encoder"][19][0][1],
        "raft_it20_net": calls["gru"][19][1],
        "raft_it20_dflow": calls["flow_head"][19][1],
        "flow01": flow01,
        "flow10": flow10,
    }
    assert {
        key.partition("_first")[0] for key in tensors if key.startswith(("raft", "flow01", "flow10"))
    } == found.keys()
    for name, tensor in found.items():
        recurrent = "_it20_" in name or name.startswith("flow")
        assert_close(name, tensor[:1], stored(tensors, name), 1e-4 if recurrent else 1e-5)


def random_raft(**arguments: Any) -> RAFT:
    """Return a network with weights small enough that twenty random iterations do not diverge."""
    torch.manual_seed(0)
    network = RAFT(**arguments).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            parameter.mul_(0.8)
    return network


def test_a_batch_equals_single_calls_and_exchanged_frames_exchange_the_flows() -> None:
    network = random_raft(iterations=3)
    images = 2 * torch.rand(3, 3, 64, 72, generator=torch.Generator().manual_seed(1)) - 1
    with torch.inference_mode():
        forth, back = network.estimate(network.encode(images[:2]), network.encode(images[1:]))
        for index in range(2):
            alone = network.estimate(*(network.encode(images[place : place + 1]) for place in (index, index + 1)))
            torch.testing.assert_close(
                torch.cat((forth[index : index + 1], back[index : index + 1])), torch.cat(alone), rtol=1e-3, atol=1e-4
            )
        exchanged = network.estimate(*(network.encode(images[place : place + 1]) for place in (1, 0)))
    torch.testing.assert_close(torch.cat(exchanged), torch.cat((back[:1], forth[:1])), rtol=1e-3, atol=1e-4)
    assert forth.shape == (2, 2, 64, 72)
    assert float(forth.abs().max()) > 0.01


def test_the_prepared_context_is_the_published_recurrence() -> None:
    """z, r and q of the concatenated [state, context, motion]; for RAFT's and FlowFormer's numbers of channels."""
    torch.manual_seed(0)
    for motion in (128, 256):
        gru = SeparableGRU(motion).requires_grad_(False)
        state, context, moved = torch.randn(2, 128, 6, 7), torch.randn(2, 128, 6, 7), torch.randn(2, motion, 6, 7)
        found = gru(state, moved, gru.prepare(context))
        for number in (1, 2):
            convz, convr, convq = (gru.get_submodule(f"conv{gate}{number}") for gate in "zrq")
            update, reset = (torch.sigmoid(conv(torch.cat((state, context, moved), 1))) for conv in (convz, convr))
            candidate = torch.tanh(convq(torch.cat((reset * state, context, moved), 1)))
            state = (1 - update) * state + update * candidate
        torch.testing.assert_close(found, state, rtol=1e-5, atol=1e-5)


def test_convex_upsampling_is_its_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    flow, mask = torch.randn(1, 2, 3, 4, generator=generator), torch.randn(1, 576, 3, 4, generator=generator)
    found, shares = convex_upsample(flow, mask), torch.softmax(mask.reshape(9, 8, 8, 3, 4), 0)
    padded = torch.nn.functional.pad(8 * flow[0], (1, 1, 1, 1))
    for y, x, a, b in ((0, 0, 0, 0), (2, 3, 7, 7), (1, 2, 3, 5), (0, 3, 6, 1)):
        expected = sum(shares[k, a, b, y, x] * padded[:, y + k // 3, x + k % 3] for k in range(9))
        torch.testing.assert_close(found[0, :, 8 * y + a, 8 * x + b], expected)


def test_training_and_inference_agree() -> None:
    network = random_raft(iterations=2)
    images = 2 * torch.rand(2, 3, 64, 64) - 1
    with torch.inference_mode():
        expected = torch.cat(network.estimate(network.encode(images[:1]), network.encode(images[1:])))
    network.requires_grad_(True)
    found = torch.cat(network.estimate(network.encode(images[:1]), network.encode(images[1:])))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    found.square().sum().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in network.parameters())
