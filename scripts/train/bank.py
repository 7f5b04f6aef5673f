"""Pictures and cut-outs of `vsvfi.synthetic.leaves` as tensors, rendered once at the start of training."""

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
        pictures = np.stack([background(random, _blurred) for _ in range(backgrounds)])
        cutouts = torch.from_numpy(np.stack([sprite(random, pictures) for _ in range(sprites)]))
        sizes = [cutouts]
        for _ in SPRITES[1:]:
            sizes.append(functional.avg_pool2d(sizes[-1], 2))
        return cls(torch.from_numpy(pictures), tuple(sizes))

    def to(self, device: torch.device) -> Bank:
        return Bank(self.backgrounds.to(device), tuple(size.to(device) for size in self.sprites))


def _blurred(picture: Array, sigma: float) -> Array:
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weight = torch.from_numpy((kernel / kernel.sum()).astype(np.float32))
    image = functional.pad(torch.from_numpy(picture)[:, None], (reach,) * 4, mode="replicate")
    image = functional.conv2d(functional.conv2d(image, weight[None, None, None]), weight[None, None, :, None])
    result: Array = image[:, 0].numpy()
    return result
