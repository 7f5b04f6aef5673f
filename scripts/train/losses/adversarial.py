"""The losses of LDMVFI's auto-encoder: L1, LPIPS, a patch discriminator with adaptive weight, and the codebook."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from scripts.train.losses.perceptual import Perceptual

ADVERSARIAL_WEIGHT = 0.8
CODEBOOK_WEIGHT = 0.25


class Discriminator(nn.Module):
    """A patch discriminator: images [B, 3, H, W] in [-1, 1] to logits, [B, 1, 30, 30] for 256x256."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2)]
        for inputs, outputs, stride in ((64, 128, 2), (128, 256, 2), (256, 512, 1)):
            layers += [
                nn.Conv2d(inputs, outputs, 4, stride, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(0.2),
            ]
        self.main = nn.Sequential(*layers, nn.Conv2d(512, 1, 4, 1, 1))

    def initialise(self) -> None:
        """Draw the published initial weights."""
        for layer in self.main:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0, 0.02)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1, 0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.main(image)
        return logits


@dataclass(frozen=True, slots=True)
class GeneratorLoss:
    """The generator's total loss and its parts."""

    total: Tensor
    reconstruction: Tensor
    perceptual: Tensor
    adversarial: Tensor
    weight: Tensor


def generator_loss(
    truth: Tensor,
    made: Tensor,
    codebook: Tensor,
    *,
    last_layer: Tensor,
    perceptual: Perceptual,
    discriminator: Discriminator,
    active: bool,
) -> GeneratorLoss:
    """Compute the loss of a reconstruction.

    Args:
        truth: [B, 3, H, W] in [-1, 1].
        made: the reconstruction, not clamped.
        codebook: from `codebook_loss`.
        last_layer: weights that both gradients are compared at.
        perceptual: LPIPS with VGG-16.
        discriminator: in training mode; its parameters get gradients that the generator's optimiser ignores.
        active: whether the adversarial part counts yet; its weight is computed either way.
    """
    distance = perceptual((made + 1) / 2, (truth + 1) / 2).mean()
    reconstruction = (truth - made).abs().mean() + distance
    adversarial = -discriminator(made).mean()
    (from_reconstruction,) = torch.autograd.grad(reconstruction, last_layer, retain_graph=True)
    (from_adversarial,) = torch.autograd.grad(adversarial, last_layer, retain_graph=True)
    weight = (from_reconstruction.norm() / (from_adversarial.norm() + 1e-4)).clamp(0, 1e4).detach()
    weight = ADVERSARIAL_WEIGHT * weight
    total = reconstruction + weight * float(active) * adversarial + codebook
    return GeneratorLoss(total, reconstruction, distance, adversarial, weight)


def discriminator_loss(discriminator: Discriminator, truth: Tensor, made: Tensor, *, active: bool) -> Tensor:
    """Hinge loss of the discriminator; both images are constant and normalised in separate calls."""
    real, fake = discriminator(truth.detach()), discriminator(made.detach())
    return float(active) * (functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()) / 2


def quantise(z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Replace latents by their nearest codebook entries, with a straight-through gradient.

    The factor of 1/4 applies to the codebook's term, as in the published program.

    Args:
        z: [B, C, h, w].
        codebook: [N, C].

    Returns:
        The quantised latent [B, C, h, w], the loss, and the indices [B, h, w].
    """
    flat = z.movedim(1, -1).reshape(-1, z.shape[1])
    distances = flat.square().sum(1, keepdim=True) + codebook.square().sum(1) - 2 * flat @ codebook.T
    indices = distances.argmin(1)
    entries = codebook[indices].view(z.shape[0], *z.shape[2:], z.shape[1]).movedim(-1, 1)
    loss = (entries.detach() - z).square().mean() + CODEBOOK_WEIGHT * (entries - z.detach()).square().mean()
    return z + (entries - z).detach(), loss, indices.view(z.shape[0], *z.shape[2:])
