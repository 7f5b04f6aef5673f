"""RAFT by itself: against the stored check-points of the published program, and against what the paper says of its parts."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vsvfi.models.flow.raft import RAFT

PREFIX = "flow_estimator."


@functools.cache
def golden(shared: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Stored tensors of the case `base`, and the estimator's weights under their published names."""
    folder = shared / "goldens"
    sys.path.insert(0, str(folder))
    try:
        import seeded_weights
    finally:
        sys.path.pop(0)
    state = {key: torch.from_numpy(array) for key, array in seeded_weights.load(folder / "gimmvfi" / "gimmvfi_r.weights.json").items()}
    own = {key.removeprefix(PREFIX): tensor for key, tensor in state.items() if key.startswith(PREFIX) and ".norm3." not in key}
    tensors = {key.removeprefix("base/"): tensor for key, tensor in load_file(folder / "gimmvfi" / "gimmvfi_r.safetensors").items() if key.startswith("base/")}
    return tensors, own


def stored(tensors: dict[str, Tensor], name: str) -> Tensor:
    """A stored tensor by its name, which may be longer by the number of channels that are kept."""
    (found,) = (tensor for key, tensor in tensors.items() if key == name or key.startswith(f"{name}_first"))
    return found


def assert_close(name: str, result: Tensor, reference: Tensor, bound: float = 1e-5) -> None:
    """Relative errors in the L2 norm and, ten times as wide, in the maximum. Only the channels that are stored count."""
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
    """With either form of correlation."""
    tensors, state = golden(shared)
    network = build(state, budget=budget)
    calls: dict[str, list[tuple[Any, Any]]] = {name: [] for name in ("encoder", "gru", "flow_head", "mask")}
    for name, seen in calls.items():
        network.update_block.get_submodule(name).register_forward_hook(lambda module, inputs, output, seen=seen: seen.append((inputs, output)))
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
    assert {key.partition("_first")[0] for key in tensors if key.startswith(("raft", "flow01", "flow10"))} == found.keys()
    for name, tensor in found.items():
        recurrent = "_it20_" in name or name.startswith("flow")
        assert_close(name, tensor[:1], stored(tensors, name), 1e-4 if recurrent else 1e-5)
