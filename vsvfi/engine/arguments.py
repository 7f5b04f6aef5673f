"""Check the arguments of a `Model` call before anything is computed from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import torch
from torch import Tensor

from vsvfi.errors import ArgumentError, type_name
from vsvfi.options.values import checked, is_a, plain_items, plain_number
from vsvfi.weights.state import plain_tensor, tensor_fault

LOWEST, HIGHEST = -1.0, 2.0
"""Accepted values: RGB converted from any YUV codes stays within them; images of 0..255 do not."""


def check_images(first: object, second: object) -> tuple[Tensor, Tensor]:
    """Check two images and return them as [B, 3, H, W].

    Raises:
        ArgumentError: they are not images of the same shape with values around [0, 1].
    """
    images = _image("first", first), _image("second", second)
    if images[0].shape != images[1].shape:
        rule = f"must have the shape of first, {tuple(images[0].shape)}"
        raise ArgumentError("second", tuple(images[1].shape), rule, "resize one of them first")
    for argument, image in zip(("first", "second"), images):
        low, high = (
            float(bound) for bound in torch.aminmax(image if image.element_size() > 1 else image.to(torch.float32))
        )
        if not LOWEST <= low <= high <= HIGHEST:  # also NaN
            raise ArgumentError(
                argument,
                f"values from {low:g} to {high:g}",
                f"must be RGB in [0, 1], and may lie beyond it from {LOWEST:g} to {HIGHEST:g}",
                "divide by the peak value (255 for 8 bits), replace NaN, bring scene-linear light into [0, 1]",
            )
    return images


def check_times(t: object, batch: int) -> Tensor:
    """Check the timesteps and return them as a vector [B] on the CPU.

    Raises:
        ArgumentError: they are not numbers in [0, 1], or neither one nor B of them.
    """
    times = checked("t")(_times)(t)
    times = times.expand(batch) if times.numel() == 1 else times
    if times.numel() != batch or not bool(((times >= 0) & (times <= 1)).all()):
        rule = f"must be one time in [0, 1], or {batch} of them"
        raise ArgumentError("t", t, rule, "0 is the first frame, 1 the second")
    return times


def check_inputs(inputs: Mapping[str, object], known: Collection[str], title: str) -> dict[str, Tensor]:
    """Check the further input tensors of a call.

    Raises:
        ArgumentError: the family has no such input, or it is not a floating-point tensor.
    """
    tensors = {}
    for name, value in inputs.items():
        if name not in known:
            raise ArgumentError(name, value, f"{title} has no such input", "leave it out")
        tensor = _tensor(name, value)
        if tensor is None or not tensor.is_floating_point():
            raise ArgumentError(name, value, "must be a floating-point tensor", "see the README of the model's family")
        tensors[name] = tensor
    return tensors


def _image(argument: str, value: object) -> Tensor:
    """An image with a batch dimension; a missing one is added."""
    image = _tensor(argument, value)
    if image is not None and image.dim() == 3:
        image = image[None]
    if image is None or image.dim() != 4 or image.shape[1] != 3 or not image.is_floating_point() or 0 in image.shape:
        raise ArgumentError(
            argument,
            type_name(value) if image is None else tuple(image.shape),
            "must be a floating-point tensor [B, 3, H, W] of RGB in [0, 1]",
            "stack the planes and divide by the peak value",
        )
    return image


def _tensor(argument: str, value: object) -> Tensor | None:
    """A tensor without gradients, or None where it is not a plain one."""

    def read(value: object) -> Tensor | None:
        return plain_tensor(value) if tensor_fault(value) is None else None

    return checked(argument)(read)(value)


def _times(value: object) -> Tensor:
    """One or several numbers as a vector."""
    if is_a(value, Tensor):
        tensor = _tensor("t", value)
    elif is_a(value, np.ndarray):
        tensor = torch.from_numpy(np.array(value, np.float32))
    else:
        items = plain_items(value, 1 << 16)
        numbers = [None if is_a(item, str) else plain_number(item) for item in ([value] if items is None else items)]
        floats = [float(number) for number in numbers if number is not None]
        tensor = torch.tensor(floats, dtype=torch.float32, device="cpu") if len(floats) == len(numbers) else None
    if tensor is None:
        raise ArgumentError("t", value, "must be a number or a tensor of numbers", "use for example t=0.5")
    return tensor.to("cpu", torch.float32).reshape(-1)
