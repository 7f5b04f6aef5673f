"""Networks in tiles: the result of the whole picture, within rounding, whatever moves where."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from tests.models.small import CASES, Case
from vsvfi.engine.build import AnyInterpolator
from vsvfi.models.blocks import moved
from vsvfi.models.blocks.tiles import Part, Window, in_windows, windows
from vsvfi.models.family import Family
from vsvfi.models.gimmvfi.network import GIMMVFI
from vsvfi.models.gimmvfi.synthesis import FinalDecoder, average, combination
from vsvfi.models.ifrnet.network import IFRNet
from vsvfi.models.interpolator import Interpolator
from vsvfi.models.registry import families
from vsvfi.models.rife import estimates
from vsvfi.models.rife.network import IFNet
from vsvfi.models.rife.spec import V40, V425, V425_LITE
from vsvfi.models.uprnet.network import UPRNet
from vsvfi.models.vfimamba.network import VFIMamba
from vsvfi.ops.splat import splat
from vsvfi.ops.warp import backward_warp

EXACT = 60.0
"""Decibels that tiles keep to where their halos are exact; rounding alone is far above."""


def psnr(found: Tensor, expected: Tensor) -> float:
    return float(-10 * torch.log10((found - expected).double().square().mean().clamp_min(1e-20)))


def _case(family: str, note: str = "", **changes: object) -> Case:
    found = next(case for case in CASES if case.family == family and case.note == note)
    return dataclasses.replace(found, **changes)  # type: ignore[arg-type]


LITE = dataclasses.replace(V425_LITE, widths=(8, 16, 8, 16, 8))

TILED = (
    _case("ifrnet", size=(160, 256)),
    _case("ifrnet", "half", size=(192, 320)),
    _case("ifrnet", note="", size=(160, 240), arguments={"scale": Fraction(4, 5)}),
    _case("uprnet", size=(160, 208)),
    _case("uprnet", "half", size=(160, 208)),
    _case("uprnet", "ensemble", size=(96, 160)),
    _case("uprnet", note="", config={"width": 4, "detail": 0.4}, size=(96, 160), arguments={"levels": 3}),
    _case("vfimamba", size=(64, 512)),
    _case("vfimamba", "half hr tta", size=(64, 832)),
    _case("rife", "4.25 and 4.26", size=(192, 256)),
    _case("rife", "4.26.heavy", size=(64, 256), arguments={"scale": Fraction(4)}),
    _case("rife", "4.25 and 4.26", size=(256, 512), arguments={"scale": Fraction(1, 2)}, config=LITE.config),
    _case("rife", "4.6 ensemble", size=(128, 256)),
    _case("rife", "4.0 and 4.1", size=(128, 256)),
    _case("gimmvfi", "raft", size=(64, 96)),
    _case("gimmvfi", "raft", size=(128, 128), arguments={"scale": Fraction(1, 2)}),
)


def tiled(case: Case, tile: int) -> AnyInterpolator:
    """The network of a case in tiles, with the same weights."""
    network = dataclasses.replace(case, arguments={**case.arguments, "tile": tile}).network().requires_grad_(False)
    network.prepare_operators()
    return network


@pytest.mark.parametrize("case", TILED, ids=lambda case: f"{case} {case.arguments.get('scale', 1)}")
def test_tiles_give_the_result_of_the_whole_picture(case: Case) -> None:
    """Two timesteps of one pair in one batch; halos and tiles end at different places in both directions."""
    network, parts = tiled(case, 64 if case.family == "gimmvfi" else 32), case.shared_network
    first, second = case.images[:2]
    second = second.roll(37, 3)
    t = torch.tensor(case.times[::2])
    with torch.inference_mode():
        pairs = [each.prepare_pair(each.encode_frame(first), each.encode_frame(second)) for each in (network, parts)]
        found, expected = network.synthesise(pairs[0], t), parts.synthesise(pairs[1], t)
        flows, known = network.flows(pairs[0], t), parts.flows(pairs[1], t)
    assert network.pieces != parts.pieces
    assert psnr(found, expected) > EXACT + 20
    for name, flow in known.items():
        assert float((flows[name] - flow).abs().max()) < 2e-2, name
    case.forget()


def test_large_motion_falls_back_in_tiles_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """4.0 starts over at half the resolution; in tiles from the same decision."""
    case = _case("rife", "4.0 and 4.1", size=(192, 320))
    found = []
    for limit in (-1.0, 1e9):
        monkeypatch.setattr(estimates, "_LARGE", limit)
        with torch.inference_mode():
            found += [network(*case.images[:2], torch.tensor([0.4])) for network in (tiled(case, 32), case.network())]
    assert psnr(found[0], found[1]) > EXACT + 20
    assert psnr(found[2], found[3]) > EXACT + 20
    assert psnr(found[0], found[2]) < EXACT


def _blurred(size: tuple[int, int]) -> Tensor:
    coarse = torch.rand((1, 2, size[0] // 4, size[1] // 4), generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")


@pytest.mark.parametrize("far", [3.0, 90.0, 400.0])
def test_what_moves_into_a_tile_comes_from_anywhere(far: float) -> None:
    """Splatting and warping in tiles, by up to more than the picture, with pixels that are ignored."""
    size = (96, 224)
    flow = (_blurred(size) - 0.5) * 2 * far
    flow[0, :, 10, 20] = float("inf")
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(4))
    share = torch.tensor([0.3, 1.0]).reshape(2, 1, 1, 1)
    expected = [splat(image, share * flow), backward_warp(image, flow)]
    found_reach = moved.reach(torch.nan_to_num(flow, posinf=0.0))

    def compute(window: Window) -> list[Tensor]:
        passes = moved.sources(found_reach, share, window)
        assert {source.window.height for source in passes} == {min(size[0], window.height + 2 * moved.MARGIN)}
        (arrived,) = moved.splatted([image], flow, share, window, passes)
        return [arrived, moved.warped(image, window.of(flow), window)]

    found = in_windows(windows(size, Part("", 4, 4), 32), compute)
    for one, other in zip(found, expected, strict=True):
        assert float((one - other).abs().max()) < 1e-3


def test_windows_cover_a_picture_once_in_one_shape() -> None:
    for height, width, tile, halo in itertools.product((32, 96, 1080), (64, 200), (16, 40, 5000), (0, 3, 24)):
        cut = windows((height, width), Part("", halo, 8), tile)
        covered = torch.zeros(height, width, dtype=torch.int32)
        for window in cut:
            covered[slice(*window.rows), slice(*window.columns)] += 1
            for start, extent, (begin, end), length in (
                (window.top, window.height, window.rows, height),
                (window.left, window.width, window.columns, width),
            ):
                assert 0 <= start <= max(0, begin - halo)
                assert min(length, end + halo) <= start + extent <= length
                assert start % 8 == 0
        assert bool((covered == 1).all())
        assert len({(window.height, window.width) for window in cut}) == 1
        assert (len(cut) == 1) == (tile >= max(height, width)) or cut[0].whole


type Run = Callable[[Tensor], Tensor]


def _reaches(run: Run, channels: int, edge: int) -> int:
    """The largest distance, in either direction, of an input pixel from an output block that depends on it."""
    given = torch.rand(1, channels, edge, edge, generator=torch.Generator().manual_seed(0)).requires_grad_()
    made = run(given)
    middle = made.shape[-1] // 2
    made[..., middle : middle + 1, middle : middle + 1].sum().backward()  # type: ignore[no-untyped-call]
    assert given.grad is not None
    rows = given.grad.abs().amax((0, 1, 3)).nonzero().flatten()
    at = middle * edge // made.shape[-1]
    per = max(1, edge // made.shape[-1])
    return max(at - int(rows[0]), int(rows[-1]) - (at + per - 1))


def _networks() -> dict[str, tuple[Part, int, int, Run]]:
    """Each part with the channels of its input, an edge that it fits into, and a function of one tensor."""
    torch.manual_seed(0)
    upr, ifr, mamba = UPRNet(2, levels=1), IFRNet((4, 4, 4, 4), 2, first_kernel=7), VFIMamba(4)
    rife, old = (IFNet(dataclasses.replace(version, widths=(8,) * len(version.widths))) for version in (V425, V40))
    refine = combination()
    nought = torch.zeros(1, 1, 1, 1)

    def merged(given: Tensor) -> Tensor:
        features = [
            torch.nn.functional.avg_pool2d(given, 1 << level).repeat(1, 2 << level, 1, 1)[:, : 2 << level]
            for level in range(3)
        ]
        return upr.synthesis_network([given[:, :1].repeat(1, 19, 1, 1)], [(part, part) for part in features])

    def local(given: Tensor) -> Tensor:
        flow, mask = given[:, :4] * nought, given[:, 4:5]
        for index in range(2):
            flow, mask = mamba.refine_window(given[:, :12] + mask + flow.sum(1, keepdim=True), flow, mask, index)
        return mask + flow.sum(1, keepdim=True)

    def corrected(given: Tensor) -> Tensor:
        levels = [
            torch.nn.functional.avg_pool2d(given, 1 << level)[:, :1].repeat(1, 8 << level, 1, 1) for level in range(5)
        ]
        return mamba.unet(given, levels)

    def last(given: Tensor) -> Tensor:
        return torch.cat(ifr.refine_window(given[:, :4], given[:, :4], given[:, :4], given[:, :4]), 1)

    return {
        "uprnet encoder": (UPRNet.parts[0], 3, 128, lambda given: upr.encode_window(given)[2]),
        "uprnet synthesis": (UPRNet.parts[1], 4, 128, merged),
        "ifrnet encoder": (IFRNet.parts[0], 3, 256, lambda given: ifr.encode_window(given, given, nought)[3]),
        "ifrnet decoder": (IFRNet.parts[1], 4, 64, last),
        "vfimamba encoder": (VFIMamba.parts[0], 3, 128, lambda given: mamba.encode_window(given)[3]),
        "vfimamba local": (VFIMamba.parts[1], 13, 512, local),
        "vfimamba unet": (VFIMamba.parts[2], 17, 256, corrected),
        "rife head": (IFNet.parts[0], 3, 64, lambda given: rife.encode_window(given)[:, 3:]),
        "rife block": (IFNet.parts[1], 28, 256, lambda given: rife.refine_window(given, 1)),
        "rife block without a shuffle": (IFNet.parts[1], 12, 256, lambda given: old.refine_window(given, 1)),
        "gimmvfi trunk": (GIMMVFI.parts[0], 273, 64, FinalDecoder().convblock),
        "gimmvfi merge": (GIMMVFI.parts[1], 9, 64, lambda given: average(given, refine)),
    }


@pytest.mark.parametrize(
    "name",
    ["uprnet encoder", "uprnet synthesis", "ifrnet encoder", "ifrnet decoder", "vfimamba encoder", "vfimamba local",
     "vfimamba unet", "rife head", "rife block", "rife block without a shuffle", "gimmvfi trunk",
     "gimmvfi merge"],
)  # fmt: skip
def test_halos_are_the_receptive_fields(name: str) -> None:
    """No smaller one would do by much, and no pixel beyond the halo has any influence."""
    part, channels, edge, run = _networks()[name]
    reaches = _reaches(run, channels, edge)
    assert reaches <= part.halo, reaches
    assert part.halo < reaches + 20, reaches


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_every_family_has_tiles_or_says_why_not(family: Family) -> None:
    module, _, name = family.network.partition(":")
    network = getattr(importlib.import_module(module), name)
    assert hasattr(network, "parts") == (not family.no_tiles)
    for part in getattr(network, "parts", ()):
        assert callable(getattr(network, part.method))
        assert not hasattr(Interpolator, part.method)
