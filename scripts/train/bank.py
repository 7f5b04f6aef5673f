"""Images and cut-outs of `vsvfi.synthetic.leaves` as tensors, rendered once at the start of training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.synthetic.leaves import SPRITE, background, sprite
from vsvfi.synthetic.texture import Array

SPRITES = (SPRITE, SPRITE // 2, SPRITE // 4)  # sides of the same sprites, for large to small ones on the image


@dataclass(frozen=True, slots=True)
class Bank:
    """backgrounds [N, 3, 384, 384] in [0, 1]; sprites: per size [M, 4, s, s], colour premultiplied by coverage."""

    backgrounds: Tensor
    sprites: tuple[Tensor, ...]

    @classmethod
    def drawn(cls, seed: int, backgrounds: int, sprites: int) -> Bank:
        """Render the bank of a seed."""
        random = np.random.default_rng((0xBA2C, seed))
        images = np.stack([background(random, _blurred) for _ in range(backgrounds)])
        cutouts = torch.from_numpy(np.stack([sprite(random, images) for _ in range(sprites)]))
        sizes = [cutouts]
        for _ in SPRITES[1:]:
            sizes.append(functional.avg_pool2d(sizes[-1], 2))
        return cls(torch.from_numpy(images), tuple(sizes))

    def to(self, device: torch.device) -> Bank:
        return Bank(self.backgrounds.to(device), tuple(size.to(device) for size in self.sprites))


def _blurred(image: Array, sigma: float) -> Array:
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weight = torch.from_numpy((kernel / kernel.sum()).astype(np.float32))
    blurred = functional.pad(torch.from_numpy(image)[:, None], (reach,) * 4, mode="replicate")
    blurred = functional.conv2d(functional.conv2d(blurred, weight[None, None, None]), weight[None, None, :, None])
    result: Array = blurred[:, 0].numpy()
    return result
