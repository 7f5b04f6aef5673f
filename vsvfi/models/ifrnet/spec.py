"""IFRNet: variants, sources of their weights, and supported sizes and timesteps; no torch."""

from __future__ import annotations

from fractions import Fraction

from vsvfi.models.family import BuildConfig, Family, SizeRule, Timesteps, Variant
from vsvfi.weights.source import Hub, Source, Url

_RELEASE = "https://github.com/Fannovel16/ComfyUI-Frame-Interpolation/releases/download/models/"
_GOPRO_SHA256 = "ca40c40e4a394d3158dd858528f3b404f99b6a2ae0848f02298d1730847b5161"
_MIT = "MIT (published by the authors with their MIT code)"


def _collection(folder: str, file: str) -> Hub:
    return Hub(repo="eapiwork/saved_models", file=f"checkpoints/{folder}/{file}")


def _pair(
    name: str,
    config: dict[str, object],
    parameters: int,
    vimeo: tuple[Source, ...],
    gopro: tuple[Source, ...],
    note: str,
) -> tuple[Variant, Variant]:
    """Return the two published weight sets of one size: Vimeo90K supports t = 1/2 only, GoPro every t."""
    return (
        Variant(
            name=name,
            config=config,
            sources=vimeo,
            licence=_MIT,
            timesteps=Timesteps.HALF,
            parameters=parameters,
            note=f"{note}; trained on Vimeo90K, midpoints",
        ),
        Variant(
            name=f"{name}_gopro",
            config=config,
            sources=gopro,
            licence=_MIT,
            parameters=parameters,
            note=f"{note}; trained on GoPro, any time, softer at 1/2",
        ),
    )


class IFRNetFamily(Family):
    """The rules of IFRNet."""

    def estimate_memory(
        self, variant: Variant, build: BuildConfig, size: tuple[int, int], number: int, times: int = 1
    ) -> int:
        """Estimate decoder 1 with what enters it, at the size of the motion estimate, and blending at full size."""
        widths = variant.config["widths"]
        assert isinstance(widths, tuple)
        area, values = build.padded_area(*size), widths[0] * number
        decoding = build.scale**2 * (48 + 14 * times + values * (Fraction("0.85") + Fraction("4.6") * times))
        held = 48 if build.scale < 1 else 0
        return int(area * max(held + decoding, 60 + 97 * times))

    def tiled_memory(self, variant: Variant, build: BuildConfig, area: int, window: int, number: int) -> int:
        """Estimate what is kept of both frames, and the last decoder and the blend of a tile."""
        widths = variant.config["widths"]
        assert isinstance(widths, tuple)
        values, reduced = widths[0] * number, float(build.scale) ** 2
        return int(area * (72 + reduced * (40 + 2 * values)) + window * (110 + reduced * 5 * values))


def _config(encoder: tuple[int, int, int, int], side: int, first_kernel: int = 3) -> dict[str, object]:
    return {"widths": encoder, "side": side, "first_kernel": first_kernel}


FAMILY = IFRNetFamily(
    name="ifrnet",
    title="IFRNet",
    paper="Kong et al., IFRNet: Intermediate Feature Refine Network for Efficient Frame Interpolation, CVPR 2022, "
    "https://arxiv.org/abs/2205.14620",
    network="vsvfi.models.ifrnet.network:IFRNet",
    size_rule=SizeRule(multiple=16),
    code_licence="MIT",
    variants=(
        *_pair(
            "ifrnet_s",
            _config((24, 36, 54, 72), 24),
            2_803_610,
            (Url(url=_RELEASE + "IFRNet_S_Vimeo90K.pth"), _collection("IFRNet_small", "IFRNet_S_Vimeo90K.pth")),
            (_collection("IFRNet_small", "IFRNet_S_GoPro.pth"),),
            "small",
        ),
        *_pair(
            "ifrnet",
            _config((32, 48, 72, 96), 32),
            4_959_692,
            (
                Hub(repo="pavlichenko/ifrnet_vimeo", file="IFRNet_Vimeo90K.pth"),
                _collection("IFRNet", "IFRNet_Vimeo90K.pth"),
            ),
            (
                Hub(repo="pavlichenko/ifrnet_gopro", file="IFRNet_GoPro.pth", sha256=_GOPRO_SHA256, size=19_860_576),
                _collection("IFRNet", "IFRNet_GoPro.pth"),
            ),
            "base",
        ),
        *_pair(
            "ifrnet_l",
            _config((64, 96, 144, 192), 64, first_kernel=7),
            19_699_460,
            (Url(url=_RELEASE + "IFRNet_L_Vimeo90K.pth"), _collection("IFRNet_large", "IFRNet_L_Vimeo90K.pth")),
            (_collection("IFRNet_large", "IFRNet_L_GoPro.pth"),),
            "large",
        ),
    ),
)
