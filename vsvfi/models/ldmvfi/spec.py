"""LDMVFI: sources of its weights, supported sizes and timesteps, options and memory estimate; no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import Any, Literal, TypedDict

from vsvfi.models.family import BuildConfig, Family, SizeRule, Timesteps, Variant
from vsvfi.options.validators import Number, Whole
from vsvfi.weights.source import Manual

PUBLISHED_STEPS, PUBLISHED_ETA = 200, 1.0

FAST_STEPS = 50
"""The number of steps for `steps="fast"`."""

_TRAINED_STEPS = 1000
_UNIT = 256

_RAW, _AVERAGED = "model.diffusion_model.", "model_ema.diffusion_model"


def padded_size(height: int, width: int) -> tuple[int, int]:
    """Return the padded size: multiples of 512, or of 256 if the height is at most 256.

    This is the published rule. It uses the height alone, and leaves a side of exactly half the multiple unchanged.
    Results depend on the padding, so smaller multiples would change them. Sides below 256 pixels, which the published
    program does not always support, are padded to 256.
    """
    unit = _UNIT if height <= _UNIT else 2 * _UNIT
    return _padded(height, unit), _padded(width, unit)


def _padded(length: int, unit: int) -> int:
    return _UNIT if length <= _UNIT else -(-length // unit) * unit


def averaged[Held](state: Mapping[str, Held], names: Collection[str]) -> dict[str, Held]:
    """Replace the U-Net's weights by their running averages, which inference uses.

    An average is stored under the parameter's name without its dots; the names of our network tell where they belong. A
    checkpoint without averages is returned unchanged.
    """
    if not any(key.startswith(_AVERAGED) for key in state):
        return dict(state)
    ours = {
        "model_ema." + name.removeprefix("model.").replace(".", ""): name for name in names if name.startswith(_RAW)
    }
    return {ours.get(key, key): value for key, value in state.items() if not key.startswith(_RAW)}


class LDMVFIOptions(TypedDict, total=False):
    """`options=` of LDMVFI."""

    steps: int | Literal["fast"]
    eta: float
    seed: int


class LDMVFIFamily(Family):
    """The rules of LDMVFI."""

    def default_scale(self, width: int, height: int) -> Fraction:
        """Return 1, the only supported scale."""
        return Fraction(1)

    def estimate_memory(
        self, variant: Variant, build: BuildConfig, size: tuple[int, int], number: int, times: int = 1
    ) -> int:
        """Estimate the encoder's finest features, 256 values per padded pixel, and a strip of the heads."""
        width, height = size
        rows, columns = padded_size(height, width)
        return rows * columns * 256 * number + (200 << 20)

    def adapt_state(self, state: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
        """See `averaged`."""
        return averaged(state, names)


FAMILY = LDMVFIFamily(
    name="ldmvfi",
    title="LDMVFI",
    no_tiles="nearly all of its memory are features whose norms and attention need the whole picture, and the last "
    "layers of its decoder run in strips by themselves",
    no_export="its sampler draws noise between many passes, and its decoder filters every pixel with its own kernel",
    paper="Danier, Zhang and Bull, LDMVFI: Video Frame Interpolation with Latent Diffusion Models, AAAI 2024, "
    "https://arxiv.org/abs/2303.09508",
    network="vsvfi.models.ldmvfi.network:LDMVFI",
    size_rule=SizeRule(multiple=1),
    variants=(
        Variant(
            name="ldmvfi",
            config={"width": 256, "features": 64},
            sources=(
                Manual(
                    file="ldmvfi-vqflow-f32-c256-concat_max.ckpt",
                    page="https://drive.google.com/file/d/1_Xx2fBYQT9O-6O3zjzX76O9XduGnCh_7",
                    size=3_400_000_000,
                ),
            ),
            licence="MIT (published by the authors with their MIT code)",
            timesteps=Timesteps.HALF,
            parameters=439_041_624,
            note="diffusion: perceptual quality for minutes per second of video, on a large GPU; midpoints",
        ),
    ),
    scales=(Fraction(1),),
    inputs=("x_T", "step_noise"),
    options={
        "steps": Whole(
            1,
            _TRAINED_STEPS,
            words={"fast": FAST_STEPS},
            default=PUBLISHED_STEPS,
            description="sampler steps; every floor(1000 / steps)-th training step is visited",
        ),
        "eta": Number(0, 1, default=PUBLISHED_ETA, description="fresh noise in every step: 0 for none, 1 as published"),
        "seed": Whole(-(2**63), 2**63 - 1, default=0, description="of all noise"),
    },
    options_type=LDMVFIOptions,
    code_licence="MIT",
    ignored_keys=(
        # The schedule (computed here), a second copy of the autoencoder, counters, and convolutions that the published
        # program never calls.
        r"(sqrt_|log_)?(one_minus_|recip_|recipm1_)?(betas|alphas_cumprod)(_prev)?$",
        r"posterior_(variance|log_variance_clipped|mean_coef[12])$",
        r"cond_stage_model\.",
        r"model_ema\.(decay|num_updates)$",
        r".*\.num_batches_tracked$",
        r"first_stage_model\.decoder\.up\.\d\.cross_attn\.out_conv\.",
    ),
    batches=True,
)
