"""LDMVFI in training: the auto-encoder VQ-FIGAN, and the denoising U-Net."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scripts.train.batch import Batch
from scripts.train.forms.form import Form, Losses, reset, use_batch_statistics
from scripts.train.losses.adversarial import Discriminator, discriminator_loss, generator_loss, quantise
from scripts.train.losses.diffusion import STEPS, noise_loss, noised
from scripts.train.losses.perceptual import Perceptual
from vsvfi.models.ldmvfi.network import LDMVFI
from vsvfi.models.ldmvfi.unet import ResidualBlock, UNet, step_embedding

ACTIVE_FROM = 5000
"""First batch with an adversarial loss: the published 10000 counts both optimisers."""


AUTO_ENCODER, UNET = "first_stage_model.", "model."
"""Prefixes of the keys of both networks."""

SECTIONS = ((AUTO_ENCODER,), (UNET,))


class AutoEncoderForm(Form):
    """VQ-FIGAN with a patch discriminator, which has an optimiser of its own.

    Args:
        network: LDMVFI; its U-Net is not used.
        perceptual: LPIPS with VGG-16.
    """

    parts = drawn = (AUTO_ENCODER,)
    sections = SECTIONS
    network: LDMVFI

    def __init__(self, network: LDMVFI, perceptual: Perceptual) -> None:
        super().__init__(network)
        self.perceptual = perceptual
        self.discriminator = Discriminator()
        self.batches = 0
        use_batch_statistics(network.first_stage_model)

    def reconstruct(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the true frame, its reconstruction (both in [-1, 1]) and the codebook's loss."""
        stage = self.network.first_stage_model
        truth, first, second = (2 * image - 1 for image in (batch.truth, batch.first, batch.second))
        latent, _ = stage.encode(truth)
        pyramids = stage.encode(first)[1], stage.encode(second)[1]
        entering, codebook, _ = quantise(latent.float(), stage.quantize.embedding.weight)
        made = stage.decoder(
            stage.post_quant_conv(entering), (first, second), pyramids, (truth.shape[2], truth.shape[3])
        )
        return truth, made, codebook

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        truth, made, codebook = self.reconstruct(batch)
        with torch.random.fork_rng(range(torch.cuda.device_count()) if truth.is_cuda else []):
            torch.manual_seed(random.initial_seed())  # of the dropout in --exact
            loss = generator_loss(
                truth,
                made,
                codebook,
                last_layer=self.network.first_stage_model.decoder.conv_out.weight,
                perceptual=self.perceptual,
                discriminator=self.discriminator,
                active=self.batches >= ACTIVE_FROM,
            )
        parts = {
            "reconstruction": loss.reconstruction,
            "perceptual": loss.perceptual,
            "adversarial": loss.adversarial,
            "codebook": codebook,
        }
        return Losses(loss.total, parts, ((made.detach() + 1) / 2).clamp(0, 1))

    def second(self, batch: Batch) -> Tensor:
        """Return the discriminator's loss, from a new forward pass of the updated generator."""
        with torch.no_grad():
            truth, made, _ = self.reconstruct(batch)
        return discriminator_loss(self.discriminator, truth, made, active=self.batches >= ACTIVE_FROM)

    def initialise(self) -> None:
        reset(self.network.first_stage_model)
        codes = self.network.first_stage_model.quantize.embedding
        nn.init.uniform_(codes.weight, -1 / codes.num_embeddings, 1 / codes.num_embeddings)
        self.discriminator.initialise()


class DenoisingForm(Form):
    """The U-Net on latents of a frozen auto-encoder, before quantisation."""

    parts = drawn = (UNET,)
    required = (AUTO_ENCODER,)
    sections = SECTIONS
    network: LDMVFI

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        stage = self.network.first_stage_model
        with torch.no_grad():
            latent, first, second = (
                stage.encode(2 * image - 1)[0].float() for image in (batch.truth, batch.first, batch.second)
            )
        steps = torch.randint(STEPS, (len(latent),), generator=random).to(latent.device)
        noise = torch.randn(latent.shape, generator=random).to(latent)
        answer = self.answer(torch.cat((noised(latent, noise, steps), first, second), 1), steps)
        loss = noise_loss(answer, noise)
        return Losses(loss, {"noise": loss}, None)

    def answer(self, entering: Tensor, steps: Tensor) -> Tensor:
        """Run the U-Net with a step [B] per sample."""
        unet = self.network.model["diffusion_model"]
        assert isinstance(unet, UNet)
        embedding = unet.time_embed(step_embedding(steps.tolist(), unet.width).to(entering))
        shifts: dict[nn.Module, Tensor] = {
            block: block.emb_layers(embedding) for block in unet.modules() if isinstance(block, ResidualBlock)
        }
        result: Tensor = unet(entering, shifts)
        return result

    def initialise(self) -> None:
        unet = self.network.model["diffusion_model"]
        assert isinstance(unet, UNet)
        reset(unet)
        last = [block.out_layers[-1] for block in unet.modules() if isinstance(block, ResidualBlock)]
        for layer in (*last, unet.out[-1]):
            assert isinstance(layer, nn.Conv2d)
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
