"""The deformable separable convolution: all CPU implementations against the formula written out in full."""

from __future__ import annotations

from math import floor, nan
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vsvfi.ops.sepconv import reference, sepconv, warm_up

MAPS = ("vertical", "horizontal", "alpha", "beta", "mask")


def maps(height: int, width: int, batch: int = 1, seed: int = 0, reach: float = 2.0) -> dict[str, Tensor]:
    """Kernels, offsets and masks."""
    generator = torch.Generator().manual_seed(seed)
    counts = {"vertical": 5, "horizontal": 5, "alpha": 25, "beta": 25, "mask": 25}
    made = {name: torch.randn(batch, count, height, width, generator=generator) for name, count in counts.items()}
    return {**made, "alpha": reach * made["alpha"], "beta": reach * made["beta"]}


def random_image(height: int, width: int, batch: int = 1, channels: int = 3) -> Tensor:
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(height * width))


def axis(place: np.float32, length: int) -> list[tuple[int, np.float32]]:
    """Samples of one axis of the continued image and their weights: L, R, p' of the published kernel."""
    one, last = np.float32(1), length - 1
    left, right = min(max(floor(place), 0), last), min(max(floor(place) + 1, 0), last)
    inside = min(max(place, np.float32(0)), np.float32(last))
    return [(left, one + (np.float32(left) - inside)), (right, one - (np.float32(right) - inside))]


def by_definition(image: Tensor, given: dict[str, Tensor], origin: tuple[int, int] = (0, 0)) -> Tensor:
    """D, summed in float64; places in float32."""
    batch, _, height, width = given["alpha"].shape
    result = torch.zeros(batch, image.shape[1], height, width, dtype=torch.float64)
    for b in range(batch):
        continued = np.pad(image[b % image.shape[0]].double().numpy(), ((0, 0), (2, 2), (2, 2)), mode="edge")
        for y in range(height):
            for x in range(width):
                for i in range(5):
                    for j in range(5):
                        k = 5 * i + j
                        weight = (
                            float(given["vertical"][b, i, y, x])
                            * float(given["horizontal"][b, j, y, x])
                            * float(given["mask"][b, k, y, x])
                        )
                        py, px = (
                            np.float32(given[name][b, k, y, x])
                            + np.float32(start + pixel)
                            + np.float32(tap)
                            - np.float32(2)
                            + np.float32(1)
                            for name, start, pixel, tap in (("alpha", origin[0], y, i), ("beta", origin[1], x, j))
                        )
                        for row, down in axis(py, continued.shape[1]):
                            for column, across in axis(px, continued.shape[2]):
                                result[b, :, y, x] += torch.from_numpy(
                                    weight * float(down) * float(across) * continued[:, row, column]
                                )
    return result


def agree(found: Tensor, expected: Tensor, tolerance: float = 1e-6) -> None:
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    assert float((found.double() - expected.double()).norm()) <= tolerance * float(expected.double().norm())


@pytest.mark.parametrize("reach", [0.0, 1.5, 30.0])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 6), (1, 9)])
def test_every_form_is_the_definition(backend: str, height: int, width: int, reach: float) -> None:
    image, given = random_image(height, width, 2), maps(height, width, 2, reach=reach)
    agree(sepconv(image, **given), by_definition(image, given))
    agree(sepconv(image[:1], **given), by_definition(image[:1], given))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_channels(backend: str, channels: int) -> None:
    image, given = random_image(5, 4, 1, channels), maps(5, 4)
    agree(sepconv(image, **given), by_definition(image, given))


def resting(height: int, width: int) -> dict[str, Tensor]:
    """Maps without offsets whose centre tap alone counts."""
    given = {name: torch.zeros_like(values) for name, values in maps(height, width).items()}
    for name, tap in (("vertical", 2), ("horizontal", 2), ("mask", 12)):
        given[name][:, tap] = 1
    return given


def test_the_lattice_is_centred_one_pixel_up_and_left(backend: str) -> None:
    image = random_image(6, 7)
    result = sepconv(image, **resting(6, 7))
    assert torch.equal(result[:, :, 1:, 1:], image[:, :, :-1, :-1])
    assert torch.equal(result[:, :, 0, 1:], image[:, :, 0, :-1])  # the continued image, not yet its border


@pytest.mark.parametrize(
    ("moved", "times"),
    [(-4.0, 2), (-1.0, 1), (-1.0001, 2), (8.0, 1), (8.9, 1), (9.0, 2), (1e30, 2), (-torch.inf, 2), (torch.inf, 2)],
)
def test_the_border_counts_twice(backend: str, moved: float, times: int) -> None:
    """On one axis: left of 0, or at the last of the 11 samples and beyond.

    At the centre tap of pixel 0, 0 is an offset of -1 and 10 one of 9.
    """
    image = torch.ones(1, 1, 7, 7)
    for name in ("alpha", "beta"):
        given = resting(7, 7)
        given[name][:, 12, 0, 0] = moved
        assert float(sepconv(image, **given)[0, 0, 0, 0]) == times
    given = resting(7, 7)
    given["alpha"][:, 12, 0, 0] = given["beta"][:, 12, 0, 0] = moved
    assert float(sepconv(image, **given)[0, 0, 0, 0]) == times**2


def test_alpha_is_vertical_and_taps_are_rows_first(backend: str) -> None:
    image = torch.arange(63.0).reshape(1, 1, 7, 9)
    given = {name: torch.zeros_like(values) for name, values in maps(7, 9).items()}
    given["vertical"][:, 3], given["horizontal"][:, 1], given["mask"][:, 16] = 2, 3, 5  # tap (3, 1) is number 16
    given["alpha"][:, 16], given["beta"][:, 16] = 1, 2
    result = sepconv(image, **given)
    # Row 3 + 3 - 1 + 1, column 4 + 1 - 1 + 2 of the continued image: two less in the image itself.
    assert float(result[0, 0, 3, 4]) == 30 * float(image[0, 0, 4, 4])


def test_parts_are_the_whole(backend: str) -> None:
    image, given = random_image(9, 11), maps(9, 11)
    whole = sepconv(image, **given)
    part = sepconv(image, **{name: values[:, :, 3:8, 2:7] for name, values in given.items()}, origin=(3, 2))
    assert torch.equal(part, whole[:, :, 3:8, 2:7])


def test_what_is_not_a_number_stays_in_its_pixel(backend: str) -> None:
    image = random_image(5, 6)
    for name in MAPS:
        given = maps(5, 6)
        given[name][0, 3, 2, 4] = nan
        assert sepconv(image, **given).isnan().nonzero()[:, 2:].unique(dim=0).tolist() == [[2, 4]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_types_are_used_in_float32(backend: str, dtype: torch.dtype) -> None:
    image, given = random_image(5, 6).to(dtype), {name: values.to(dtype) for name, values in maps(5, 6).items()}
    found = sepconv(image, **given)
    assert torch.equal(found, sepconv(image.float(), **{name: values.float() for name, values in given.items()}))


def test_gradients_come_from_the_reference(backend: str) -> None:
    image = random_image(4, 5).double().requires_grad_()
    given = {name: values.requires_grad_() for name, values in maps(4, 5).items()}
    sepconv(image, **given).sum().backward()
    assert all(bool(tensor.grad is not None and tensor.grad.isfinite().all()) for tensor in (image, *given.values()))


def test_an_empty_part_is_empty(backend: str) -> None:
    given = {name: values[:, :, :0] for name, values in maps(4, 5).items()}
    assert sepconv(random_image(4, 5), **given).shape == (1, 3, 0, 5)


def test_warm_up_takes_any_type(backend: str) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        warm_up(torch.device("cpu"), dtype)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"image": torch.zeros(3, 4, 5)}, r"image=\(3, 4, 5\), must be \[2 or 1, 1 to 4, H, W\]"),
        ({"image": torch.zeros(3, 3, 4, 5)}, r"image=\(3, 3, 4, 5\), must be \[2 or 1"),
        ({"image": torch.zeros(2, 5, 4, 5)}, r"image=\(2, 5, 4, 5\), must be"),
        ({"image": torch.zeros(2, 3, 0, 5)}, r"image=\(2, 3, 0, 5\), must be"),
        (
            {"vertical": torch.zeros(2, 25, 4, 5)},
            r"vertical=\(2, 25, 4, 5\), must be \(2, 5, 4, 5\) beside alpha=\(2, 25, 4, 5\)",
        ),
        ({"mask": torch.zeros(1, 25, 4, 5)}, r"mask=\(1, 25, 4, 5\), must be \(2, 25, 4, 5\)"),
        ({"beta": torch.zeros(2, 25, 5, 4)}, r"beta=\(2, 25, 5, 4\), must be"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(changed: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=f"sepconv: {fault}"):
        sepconv(**{"image": random_image(4, 5, 2), **maps(4, 5, 2), **changed})


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    batch=st.integers(1, 3),
    channels=st.integers(1, 4),
    reach=st.sampled_from([0.0, 0.3, 3.0, 1e3, 1e38]),
    whole=st.booleans(),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
    seed=st.integers(0, 9999),
)
def test_native_code_is_the_reference(
    height: int,
    width: int,
    batch: int,
    channels: int,
    reach: float,
    whole: bool,
    layout: torch.memory_format,
    seed: int,
) -> None:
    kernel = pytest.importorskip("vsvfi.ops.sepconv.cpu", exc_type=ImportError)
    image = random_image(height + 3, width + 2, batch if whole else 1, channels)
    given = {
        name: tensor.contiguous(memory_format=layout)
        for name, tensor in maps(height, width, batch, seed, reach).items()
    }
    # Products of both signs may cancel: their sizes are what rounding goes by.
    sizes = reference.sepconv(
        image.abs(),
        **{name: tensor if name in ("alpha", "beta") else tensor.abs() for name, tensor in given.items()},
        top=2,
        left=1,
    )
    found, expected = kernel.run(image, *given.values(), 2, 1), reference.sepconv(image, **given, top=2, left=1)
    assert found.shape == expected.shape
    assert float((found.double() - expected.double()).norm()) <= 1e-6 * float(sizes.double().norm())


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = pytest.importorskip("vsvfi.ops.sepconv.cpu", exc_type=ImportError)
    monkeypatch.setattr(kernel, "_WORTHWHILE", 1)
    image, values = random_image(37, 53, 2), list(maps(37, 53, 2).values())
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 64):
            torch.set_num_threads(threads)
            found.append(kernel.run(image, *values, 0, 0))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found[1:])
    assert found[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_torch_operator_keeps_its_promises(backend: str, dtype: torch.dtype) -> None:
    given = (random_image(5, 6, 2), *(values.to(dtype) for values in maps(5, 6, 2).values()), 1, 2)
    torch.library.opcheck(torch.ops.vsvfi.sepconv.default, given, test_utils=["test_schema", "test_faketensor"])


def test_memory_stays_a_few_times_the_result() -> None:
    """Taps one after the other: 25 sampled copies would be 300 numbers a pixel."""
    height, width = 64, 80
    image, given = random_image(height, width), maps(height, width)
    largest: list[int] = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
            made = function(*arguments, **(named or {}))
            if isinstance(made, Tensor):
                largest.append(made.numel())
            return made

    with Watch():
        reference.sepconv(image, *given.values(), 0, 0)
    assert max(largest) <= 4 * height * width
