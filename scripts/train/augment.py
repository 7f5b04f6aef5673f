"""Augmentations of frames, flows and time; one draw serves all frames of a sample.

An augmentation is named in a recipe together with its probability.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Clip:
    """One training sample: frames, their flows, and the timesteps of the targets.

    Attributes:
        frames: in order of time, [N, 3, H, W]; the outer ones are the inputs.
        flow: from the target to the first and to the last frame, [4, H, W]; None where unknown.
        t: of the targets frames[1:-1].
        motion: between the outer frames, forth and back, [4, H, W]; None where unknown.
    """

    frames: Tensor
    t: tuple[float, ...]
    flow: Tensor | None = None
    motion: Tensor | None = None


def mirror_horizontally(clip: Clip) -> Clip:
    """Mirror left and right."""
    return _moved(clip, lambda image: image.flip(-1), _signs(-1, 1))


def mirror_vertically(clip: Clip) -> Clip:
    """Mirror top and bottom."""
    return _moved(clip, lambda image: image.flip(-2), _signs(1, -1))


def transpose(clip: Clip) -> Clip:
    """Exchange rows and columns."""
    return _moved(clip, lambda image: image.transpose(-2, -1), lambda flow: flow[[1, 0, 3, 2]])


def reverse_channels(clip: Clip) -> Clip:
    """Reverse the order of the colour channels."""
    return replace(clip, frames=clip.frames.flip(1))


def reverse_time(clip: Clip) -> Clip:
    """Play backwards."""
    flow, motion = (None if field is None else field[[2, 3, 0, 1]] for field in (clip.flow, clip.motion))
    return Clip(clip.frames.flip(0), tuple(1 - t for t in reversed(clip.t)), flow, motion)


def rotate(clip: Clip, turns: int) -> Clip:
    """Rotate by quarter turns counter-clockwise; the flow turns with the image."""
    for _ in range(turns % 4):  # a transpose, then a mirror along the rows' axis
        clip = mirror_vertically(transpose(clip))
    return clip


def enlarge(clip: Clip) -> Clip:
    """Enlarge to twice the size, bilinear with half-pixel centres."""

    def doubled(image: Tensor) -> Tensor:
        return functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)

    return _moved(clip, lambda image: doubled(image[None])[0] if image.dim() == 3 else doubled(image), lambda f: 2 * f)


def reduce(clip: Clip) -> Clip:
    """Reduce to half the size by averaging, so that motion halves too."""
    height, width = (side // 2 * 2 for side in clip.frames.shape[-2:])
    return _moved(clip, lambda image: functional.avg_pool2d(image[..., :height, :width], 2), lambda flow: flow / 2)


def crop(clip: Clip, size: int, random: np.random.Generator) -> Clip:
    """Cut out a square at a uniform position.

    Raises:
        ValueError: the frames are smaller.
    """
    height, width = clip.frames.shape[-2:]
    if min(height, width) < size:
        raise ValueError(f"train: crop={size}, frames are {width}x{height}; pass a smaller --crop")
    top, left = int(random.integers(height - size + 1)), int(random.integers(width - size + 1))

    def cut(image: Tensor) -> Tensor:
        return image[..., top : top + size, left : left + size]

    return _moved(clip, cut, lambda flow: flow)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """One step of a recipe's augmentation.

    Attributes:
        name: of `TRANSFORMS`, or "rotate" (a quarter, half or three-quarter turn).
        probability: of applying it.
    """

    name: str
    probability: float


TRANSFORMS: dict[str, Callable[[Clip], Clip]] = {
    "mirror_horizontally": mirror_horizontally,
    "mirror_vertically": mirror_vertically,
    "transpose": transpose,
    "reverse_channels": reverse_channels,
    "reverse_time": reverse_time,
    "enlarge": enlarge,
    "reduce": reduce,
}
RESIZING = ("enlarge", "reduce")
"""Transforms that come before the crop."""


def augmented(clip: Clip, steps: tuple[Augmentation, ...], size: int, random: np.random.Generator) -> Clip:
    """Apply a recipe's augmentation; resizing steps come first, then the crop, then the others in order."""
    for step in steps:
        if step.name in RESIZING and random.random() < step.probability:
            resized = TRANSFORMS[step.name](clip)
            clip = resized if min(resized.frames.shape[-2:]) >= size else clip
    clip = crop(clip, size, random)
    for step in steps:
        if step.name in RESIZING or random.random() >= step.probability:
            continue
        clip = rotate(clip, int(random.integers(1, 4))) if step.name == "rotate" else TRANSFORMS[step.name](clip)
    return replace(clip, frames=clip.frames.contiguous())


def _moved(clip: Clip, move: Callable[[Tensor], Tensor], turn: Callable[[Tensor], Tensor]) -> Clip:
    """Apply `move` to frames and fields, and `turn` to the displacements of the fields."""
    flow, motion = (None if field is None else turn(move(field)) for field in (clip.flow, clip.motion))
    return Clip(move(clip.frames), clip.t, flow, motion)


def _signs(x: int, y: int) -> Callable[[Tensor], Tensor]:
    return lambda flow: flow * torch.tensor([x, y, x, y], dtype=flow.dtype, device=flow.device).view(4, 1, 1)
