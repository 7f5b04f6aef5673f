"""Optical-flow estimators on their own, with their published weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsvfi.models.flow.estimator import FlowEstimator
from vsvfi.models.flow.flowformer import FlowFormer
from vsvfi.models.flow.raft import RAFT
from vsvfi.weights.fetch import fetch
from vsvfi.weights.load import load_state, match_state
from vsvfi.weights.source import Hub


@dataclass(frozen=True, slots=True)
class Published:
    """An estimator with its published weights.

    Attributes:
        build: the network.
        source: of the weights.
        licence: of the weights.
        ignored: keys of the published file that the network does not use.
    """

    build: Callable[[], FlowEstimator[Any]]
    source: Hub
    licence: str
    ignored: tuple[str, ...]


ESTIMATORS: Mapping[str, Published] = {
    "raft": Published(
        RAFT,
        Hub(repo="GSean/GIMM-VFI", file="raft-things.pth"),
        "BSD-3-Clause (RAFT), from the repository of GIMM-VFI (S-Lab License 1.0, non-commercial)",
        (r".*\.num_batches_tracked$", r"cnet\.layer[23]\.0\.norm3\."),
    ),
    "flowformer": Published(
        FlowFormer,
        Hub(repo="GSean/GIMM-VFI", file="flowformer_sintel.pth"),
        "Apache-2.0 (FlowFormer), from the repository of GIMM-VFI (S-Lab License 1.0, non-commercial)",
        (r".*\.num_batches_tracked$", r".*svt\.norm\.", r"memory_decoder\.att\.pos_emb\."),
    ),
}

_PREFIX = "flow_estimator."
"""Of the estimator's keys in a checkpoint of GIMM-VFI."""


def load_estimator(name: str, weights: Path | None) -> tuple[FlowEstimator[Any], Path]:
    """Load an estimator with its published weights, or those of a file; returns it with its file.

    Args:
        name: of the estimator.
        weights: its checkpoint, or one of GIMM-VFI, which contains an estimator.

    Raises:
        WeightsError: they are not available, or are those of another network.
    """
    published = ESTIMATORS[name]
    path = weights or fetch(name, (published.source,), licence=published.licence, listed=False)
    network = published.build()
    expected = network.state_dict()
    state = load_state(path)
    inner = {key.removeprefix(_PREFIX): tensor for key, tensor in state.items() if key.startswith(_PREFIX)}
    network.load_state_dict(
        match_state(
            inner or state,
            {key: tensor.shape for key, tensor in expected.items()},
            origin=str(path),
            model=name,
            ignored=published.ignored,
            dtypes={key: tensor.dtype for key, tensor in expected.items()},
        )
    )
    return network.requires_grad_(False).eval(), path
