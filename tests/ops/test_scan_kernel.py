"""The CUDA kernel of the selective scan, run on the CPU, against the definition; and on a GPU, where there is one, against the reference."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.ops.cuda_emulation.cupy_double import CupyDouble
from tests.ops.test_scan import error, inputs, path_inputs, paths_by_definition, paths_for
from vsvfi.ops import backends
from vsvfi.ops.scan import Paths, kernel_cupy, reference, scan, scan_paths, warm_up

ROUNDING = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}


@pytest.fixture
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of one tile, so that small inputs have many."""
    monkeypatch.setattr(kernel_cupy, "_SHORTEST", 32)


def run(given: list[Tensor], paths: Paths) -> Tensor:
    return kernel_cupy.run(*given, True, *paths)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 31, 5, 3), (1, 32, 130, 2), (1, 33, 3, 4), (2, 100, 7, 2)])
@pytest.mark.usefixtures("short_chunks")
def test_the_kernel_is_the_definition(emulated_cupy: CupyDouble, shape: tuple[int, int, int, int], backwards: bool) -> None:
    emulated_cupy.backwards = backwards
    given, paths = path_inputs(*shape), paths_for(shape[1], shape[3])
    assert error(run(given, paths), paths_by_definition(*given, paths)) < 1e-6
    names = [launch.name for launch in emulated_cupy.launches]
    assert names == (["scan_outputs"] if shape[1] <= 32 else ["scan_chunks", "scan_carry", "scan_outputs"])


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.usefixtures("short_chunks")
def test_narrow_types_in_and_out(emulated_cupy: CupyDouble, dtype: torch.dtype) -> None:
    given, paths = path_inputs(1, 70, 9, 4), paths_for(70, 4)
    narrow = [tensor.to(dtype) if index in (0, 1, 3, 4) else tensor for index, tensor in enumerate(given)]
    y = run(narrow, paths)
    assert y.dtype == dtype
    assert error(y.float(), paths_by_definition(*narrow, paths)) < ROUNDING[dtype]


@pytest.mark.parametrize("spread", [0.0, 1.0, 20.0, 1e4])
@pytest.mark.usefixtures("short_chunks")
def test_no_step_is_too_large_or_too_small(emulated_cupy: CupyDouble, spread: float) -> None:
    given, paths = path_inputs(1, 130, 4, 2), paths_for(130, 2)
    given[1] = given[1] * spread
    assert error(run(given, paths), paths_by_definition(*given, paths)) < 1e-6


@pytest.mark.usefixtures("short_chunks")
def test_few_states_and_views(emulated_cupy: CupyDouble) -> None:
    """B and C as slices of one projection, as the network has them."""
    u, delta, rates, entering, leaving, skip, bias = path_inputs(2, 40, 6, 3, states=5)
    paths = paths_for(40, 3)
    together = torch.cat((torch.zeros(2, 3, 40, 2), entering, leaving), 3)
    given = [u.transpose(1, 2).contiguous().transpose(1, 2), delta, rates, together[..., 2:7], together[..., 7:], skip, bias]
    assert error(run(given, paths), paths_by_definition(u, delta, rates, entering, leaving, skip, bias, paths)) < 1e-6
    full = path_inputs(2, 40, 6, 3)
    together = torch.cat((torch.zeros(2, 3, 40, 8), full[3], full[4]), 3)
    sliced = [*full[:3], together[..., 8:24], together[..., 24:], *full[5:]]
    assert torch.equal(run(sliced, paths), run(full, paths))


def test_steps_without_softplus_and_without_a_bias(emulated_cupy: CupyDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the operator of the published shapes, whose groups are launched one after another."""
    monkeypatch.setattr(backends, "choose", lambda device, kernels: backends.Backend("cupy", True, "ready"))
    monkeypatch.setattr(kernel_cupy, "scan_paths", kernel_cupy.run)  # the registered operator asks for CUDA tensors
    u, delta, rates, entering, leaving, skip, bias = inputs(90)
    assert error(scan(u, delta.abs(), rates, entering, leaving), reference.scan(u, delta.abs(), rates, entering, leaving, None, None, False).double()) < 2e-6
    assert (
        error(scan(u, delta, rates, entering, leaving, skip, bias, True), reference.scan(u, delta, rates, entering, leaving, skip, bias, True).double()) < 2e-6
    )
    launched = len(emulated_cupy.launches)
    wide = inputs(9, states=17)
    assert torch.equal(scan(*wide, True), reference.scan(*wide, True))
    assert len(emulated_cupy.launches) == launched


def test_chunks_fill_a_large_gpu() -> None:
    """1080p, sizes S and full, stages 3 and 4; and what is too short to cut."""
    for length, channels in ((65_280, 1024), (65_280, 2048), (16_320, 2048), (16_320, 4096)):
        chunk = kernel_cupy.chunk_length_of(length, channels)
        assert 100_000 < -(-length // chunk) * channels < 300_000
        assert chunk % kernel_cupy.TILE == 0
    assert kernel_cupy.chunk_length_of(3584, 1024) == 64
    assert kernel_cupy.chunk_length_of(1, 1) == 64


def test_the_operator_is_registered_and_known_by_shape() -> None:
    given, paths = path_inputs(2, 12, 64, 2), paths_for(12, 2)
    y = torch.ops.vsvfi.scan_paths_cupy(*(tensor.to("meta") for tensor in given), True, *(order.to("meta") for order in paths))
    assert (y.shape, y.dtype, y.is_contiguous()) == ((2, 12, 64), torch.float32, True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3584, 256, 4), (2, 1000, 130, 3), (1, 65_280, 64, 4)])
def test_a_gpu_computes_the_same(shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    given, paths = path_inputs(*shape), paths_for(shape[1], shape[3])
    narrow = [tensor.to(dtype) if index in (0, 1, 3, 4) else tensor for index, tensor in enumerate(given)]
    expected = reference.scan_paths(*(tensor.double() for tensor in narrow), *paths)
    if backends.choose("cuda", ("cupy",)).name != "cupy":
        pytest.skip("CuPy does not work here")
    on_device = [tensor.cuda() for tensor in narrow]
    y = kernel_cupy.scan_paths(*on_device, True, *(order.cuda() for order in paths))
    assert error(y.cpu().float(), expected) < ROUNDING[dtype]
    assert torch.equal(y, kernel_cupy.scan_paths(*on_device, True, *(order.cuda() for order in paths)))
    warm_up(torch.device("cuda"), dtype)
    assert error(scan_paths(*on_device, Paths(*(order.cuda() for order in paths))).cpu().float(), expected) < ROUNDING[dtype]
