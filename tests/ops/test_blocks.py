"""The operators on blocks: their definitions, and the CUDA kernels, on the CPU and on a GPU, where there is one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.ops.cuda_emulation.launcher import EmulatedLauncher
from vsvfi.ops import blocks
from vsvfi.ops.blocks import STEP, cuda, op, reference
from vsvfi.ops.dispatch import Operator

OPERATORS: dict[Operator[..., Tensor], Callable[..., Tensor]] = {
    op.NORMALISE: cuda.normalise,
    op.BLOCK_SCORES: cuda.block_scores,
    op.BEST_BLOCK: cuda.best_block,
    op.CANDIDATE_ERRORS: cuda.candidate_errors,
    op.WEIGH_CANDIDATES: cuda.weigh_candidates,
}
SAMPLES = [
    pytest.param(operator, sample, id=f"{operator.name} {number}")
    for operator in OPERATORS
    for number, sample in enumerate(operator.sample_inputs())
]


def texture(seed: int, height: int, width: int) -> Tensor:
    """Detail of two pixels, as of small letters."""
    drawn = torch.rand(1, 3, height + 2, width + 2, generator=torch.Generator().manual_seed(seed))
    return functional.avg_pool2d(drawn, 3, 1)


def test_cells_are_correlated_at_every_displacement() -> None:
    first, second = texture(6, 40, 48), texture(7, 40, 48)
    found = reference.cells(first, second, 3, 2)
    for down in (-3, 0, 2):
        moved = functional.pad(second, (3, 3, 3, 3))[..., 3 + down : 43 + down, 1:49]
        expected = functional.avg_pool2d((first * moved).sum(1, keepdim=True), STEP)
        assert torch.allclose(found[:, (down + 3) * 5, None], expected, atol=1e-6)


@pytest.mark.parametrize("side", [3, 9])
@pytest.mark.parametrize("size", [(40, 33), (3, 20)])
def test_means_of_windows_are_those_of_pooling(side: int, size: tuple[int, int]) -> None:
    maps = texture(8, *size)
    pooled = functional.avg_pool2d(maps, side, 1, side // 2, count_include_pad=False)
    assert torch.allclose(reference.mean(maps, side), pooled, atol=1e-6)


def test_what_is_normalised_has_no_mean_and_the_same_contrast() -> None:
    image = 0.2 + 0.1 * torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(3))
    made = blocks.normalise(image)
    assert torch.allclose(made, blocks.normalise(0.9 * image + 0.1), atol=0.1)
    assert float(made.mean().abs()) < 0.05
    assert float(made.square().mean()) == pytest.approx(1, abs=0.15)
    assert torch.allclose(blocks.normalise(image, luma=True), reference.grey(made))
    assert float(blocks.normalise(torch.full((1, 3, 20, 20), 0.3)).abs().max()) < 1e-4


def test_the_best_displacement_is_found_to_a_fraction_and_near_ones_win() -> None:
    place = torch.arange(-4.0, 5)
    bump = -0.1 * ((place[:, None] - 1.25) ** 2 + (place + 2.4) ** 2)  # down 1.25, left 2.4
    found = blocks.best_block(bump.reshape(1, 81, 1, 1), 4, 4).flatten()
    assert found[1:].tolist() == pytest.approx([-2.4, 1.25], abs=0.1)
    moved = blocks.best_block(bump.reshape(1, 81, 1, 1), 4, 4, 0.5, 0.0).flatten()
    assert (moved - found)[1:].tolist() == pytest.approx([0, 0.5], abs=0.02)
    assert blocks.best_block(torch.zeros(1, 81, 1, 1), 4, 4)[0, 1:].flatten().tolist() == [0, 0]


def test_candidates_are_flows_of_pixels_and_of_the_blocks_around_them() -> None:
    """The second of an image is the first, moved; blocks that know by how much have no error there."""
    wide = texture(4, 24, 40)
    first, second = wide[..., 8:32], wide[..., 5:29]  # moves right by 3
    flow = torch.zeros(1, 2, 24, 24)
    known = torch.zeros(1, 1, 2, 6, 6)
    known[..., 0, :, 3:] = 3
    errors = blocks.candidate_errors(first, second, flow, flow + torch.tensor([3.0, 0]).view(1, 2, 1, 1), known)
    assert errors.shape == (6, 1, 24, 24)
    own, moved, *corners = errors[:, 0, :, :20]
    assert float(moved.max()) < 1e-5 < 0.01 < float(own.mean())
    for right, corner in zip((0, 1, 0, 1), corners, strict=True):
        # The block left of a pixel is the one whose cell ends at the middle of the pixel's own or before
        begin = 14 - 4 * right
        assert torch.allclose(corner[:, begin:], moved[:, begin:], atol=1e-6)
        assert torch.allclose(corner[:, :begin], own[:, :begin], atol=1e-6)
    made = blocks.weigh_candidates(errors, flow, flow + 3, known)
    assert float((made[0, 0, :, :20] - 3).abs().median()) < 0.1


def test_what_leads_out_of_an_image_has_one_error() -> None:
    first, second = texture(5, 16, 24), texture(6, 16, 24)
    flow = torch.zeros(1, 2, 16, 24)
    flow[:, 0, :, :4], flow[:, 1, 12:] = -4, 5
    error = blocks.candidate_errors(first, second, flow, None, torch.zeros(0, 1, 2, 4, 6))[0, 0]
    outside = torch.zeros(16, 24, dtype=torch.bool)
    outside[:, :4], outside[12:] = True, True
    assert torch.equal(error == reference.LEFT, outside)


def test_a_flow_alone_among_others_counts_less() -> None:
    """Two flows, of which one explains nearly every pixel a little better; then half the image, much better."""
    errors = torch.rand(2, 1, 48, 64, generator=torch.Generator().manual_seed(13)) * 0.2
    errors[1] += 0.06
    one, other = (torch.full((1, 2, 48, 64), value) for value in (3.0, -1.0))
    none = torch.zeros(0, 1, 2, 12, 16)
    alone = blocks.weigh_candidates(errors, one, other, none)
    agreed = blocks.weigh_candidates(errors, one, other, none, blocks.mean(alone, 7), 0.05)
    assert float((agreed - 3).abs().mean()) < 0.5 * float((alone - 3).abs().mean())
    errors[0, :, 24:] += 1
    assert torch.allclose(blocks.weigh_candidates(errors, one, other, none, one, 0.05)[..., 24:, :], other[..., 24:, :])


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("operator", "sample"), SAMPLES)
def test_kernels_compute_the_definitions(
    emulated: EmulatedLauncher, operator: Operator[..., Tensor], sample: tuple[object, ...], backwards: bool
) -> None:
    emulated.backwards = backwards
    found, expected = OPERATORS[operator](emulated, *sample), operator.reference(*sample)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    names = [launch.name for launch in emulated.launches]
    assert names == (["difference", "deviation"] if operator is op.NORMALISE else [operator.name])


@pytest.mark.parametrize(("operator", "sample"), SAMPLES)
def test_the_operators_are_registered_right(operator: Operator[..., Tensor], sample: tuple[object, ...]) -> None:
    registered = getattr(torch.ops.vsvfi, operator.name).default
    torch.library.opcheck(registered, sample, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_agrees_with_the_definitions() -> None:
    for operator in OPERATORS:
        assert [operator.self_test(backend) for backend in ("nvrtc",)] == [None]
