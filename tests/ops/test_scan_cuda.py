"""The CUDA kernel of the selective scan, run on the CPU, against the definition.

On a GPU, where there is one, against the reference.
"""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor

from tests.ops.cuda_emulation.launcher import EmulatedLauncher
from tests.ops.test_scan import error, inputs, path_inputs, paths_by_definition, paths_for
from vsvfi.ops.scan import Paths, cuda, op, reference, scan_paths, warm_up
from vsvfi.ops.scan.grouped import by_group

ROUNDING = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}


@pytest.fixture
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of one tile, so that small inputs have many."""
    monkeypatch.setattr(cuda, "_SHORTEST", 32)


def run(emulated: EmulatedLauncher, given: list[Tensor], paths: Paths) -> Tensor:
    return cuda.run(emulated, *given, True, *paths)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 31, 5, 3), (1, 32, 130, 2), (1, 33, 3, 4), (2, 100, 7, 2)])
@pytest.mark.usefixtures("short_chunks")
def test_the_kernel_is_the_definition(
    emulated: EmulatedLauncher, shape: tuple[int, int, int, int], backwards: bool
) -> None:
    emulated.backwards = backwards
    given, paths = path_inputs(*shape), paths_for(shape[1], shape[3])
    assert error(run(emulated, given, paths), paths_by_definition(*given, paths)) < 1e-6
    names = [launch.name for launch in emulated.launches]
    assert names == (["scan_outputs"] if shape[1] <= 32 else ["scan_chunks", "scan_carry", "scan_outputs"])


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.usefixtures("short_chunks")
def test_narrow_types_in_and_out(emulated: EmulatedLauncher, dtype: torch.dtype) -> None:
    given, paths = path_inputs(1, 70, 9, 4), paths_for(70, 4)
    narrow = [tensor.to(dtype) if index in (0, 1, 3, 4) else tensor for index, tensor in enumerate(given)]
    y = run(emulated, narrow, paths)
    assert y.dtype == dtype
    assert error(y.float(), paths_by_definition(*narrow, paths)) < ROUNDING[dtype]


@pytest.mark.parametrize("spread", [0.0, 1.0, 20.0, 1e4])
@pytest.mark.usefixtures("short_chunks")
def test_no_step_is_too_large_or_too_small(emulated: EmulatedLauncher, spread: float) -> None:
    given, paths = path_inputs(1, 130, 4, 2), paths_for(130, 2)
    given[1] = given[1] * spread
    assert error(run(emulated, given, paths), paths_by_definition(*given, paths)) < 1e-6


@pytest.mark.usefixtures("short_chunks")
def test_few_states_and_views(emulated: EmulatedLauncher) -> None:
    """B and C as slices of one projection, as the network has them."""
    u, delta, rates, entering, leaving, skip, bias = path_inputs(2, 40, 6, 3, states=5)
    paths = paths_for(40, 3)
    together = torch.cat((torch.zeros(2, 3, 40, 2), entering, leaving), 3)
    given = [
        u.transpose(1, 2).contiguous().transpose(1, 2),
        delta,
        rates,
        together[..., 2:7],
        together[..., 7:],
        skip,
        bias,
    ]
    assert (
        error(run(emulated, given, paths), paths_by_definition(u, delta, rates, entering, leaving, skip, bias, paths))
        < 1e-6
    )
    full = path_inputs(2, 40, 6, 3)
    together = torch.cat((torch.zeros(2, 3, 40, 8), full[3], full[4]), 3)
    sliced = [*full[:3], together[..., 8:24], together[..., 24:], *full[5:]]
    assert torch.equal(run(emulated, sliced, paths), run(emulated, full, paths))


def test_steps_without_softplus_and_without_a_bias(emulated: EmulatedLauncher) -> None:
    """By the published shapes, whose groups are launched one after another."""
    kernel = functools.partial(cuda.run, emulated)
    u, delta, rates, entering, leaving, skip, bias = inputs(90)
    bare = (u, delta.abs(), rates, entering, leaving, None, None, False)
    full = (u, delta, rates, entering, leaving, skip, bias, True)
    for given in (bare, full):
        assert error(by_group(kernel, *given), reference.scan(*given).double()) < 2e-6


def test_more_states_than_the_kernel_has_room_for_are_declined() -> None:
    for states, reason in ((16, None), (17, "17 states (at most 16)")):
        assert op._cuda_declines(*path_inputs(1, 9, 4, 2, states=states), True, *paths_for(9, 2)) == reason
    doubles = [tensor.double() for tensor in path_inputs(1, 9, 4, 2)]
    assert op._cuda_declines(*doubles, True, *paths_for(9, 2)) == "float64"


def test_warming_up_reaches_every_kernel(emulated: EmulatedLauncher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading is not allowed while a CUDA graph is captured."""
    monkeypatch.setattr(op, "scan", functools.partial(cuda.run, emulated))
    warm_up(torch.device("cpu"), torch.float16)
    assert [launch.name for launch in emulated.launches] == ["scan_chunks", "scan_carry", "scan_outputs"]
    (sample,) = op.sample_inputs()
    emulated.launches.clear()
    cuda.run(emulated, *sample)  # type: ignore[arg-type]
    assert [launch.name for launch in emulated.launches] == ["scan_chunks", "scan_carry", "scan_outputs"]


def test_chunks_fill_a_large_gpu() -> None:
    """1080p, sizes S and full, stages 3 and 4; and what is too short to cut."""
    for length, channels in ((65_280, 1024), (65_280, 2048), (16_320, 2048), (16_320, 4096)):
        chunk = cuda.chunk_length_of(length, channels)
        assert 100_000 < -(-length // chunk) * channels < 300_000
        assert chunk % cuda.TILE == 0
    assert cuda.chunk_length_of(3584, 1024) == 64
    assert cuda.chunk_length_of(1, 1) == 64


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3584, 256, 4), (2, 1000, 130, 3), (1, 65_280, 64, 4)])
def test_a_gpu_computes_the_same(shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    given, paths = path_inputs(*shape), paths_for(shape[1], shape[3])
    narrow = [tensor.to(dtype) if index in (0, 1, 3, 4) else tensor for index, tensor in enumerate(given)]
    expected = reference.scan_paths(*(tensor.double() for tensor in narrow), True, *paths)
    on_device, on_gpu = [tensor.cuda() for tensor in narrow], Paths(*(order.cuda() for order in paths))
    warm_up(torch.device("cuda"), dtype)
    y = scan_paths(*on_device, on_gpu)
    assert error(y.cpu().float(), expected) < ROUNDING[dtype]
    assert torch.equal(y, scan_paths(*on_device, on_gpu))
