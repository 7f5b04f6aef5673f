"""Muon with AdamW's step size: momentum orthogonalised as a matrix.

Rare directions of a layer's weights thus move as far as common ones. For the weights of convolutions, reshaped to
matrices; a small network leaves the initial plateau several times sooner with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def orthogonal(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Approximate the nearest matrix [m, n] with singular values 1 by Newton-Schulz iterations."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16() if matrix.device.type == "cuda" else matrix
    transposed = x.shape[0] > x.shape[1]
    x = x.T if transposed else x
    x = x / (x.norm() + 1e-12)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.T if transposed else x).to(matrix.dtype)
    return result


class Muon(torch.optim.Optimizer):
    """Args: parameters of two or more dimensions; rate; momentum (Nesterov); decay of the weights."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(state["momentum"], group["momentum"])
                update = orthogonal(ahead.reshape(len(ahead), -1))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                # 0.2 * sqrt(longer side) gives the entries about the size that Adam's have
                weight.add_(update.reshape(weight.shape), alpha=-group["lr"] * 0.2 * max(update.shape) ** 0.5)
