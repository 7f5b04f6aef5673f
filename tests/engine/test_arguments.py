"""Arguments of a `Model` call: what is no image around [0, 1], no time and no tensor is refused by name."""

from __future__ import annotations

import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

import vsvfi
from tests.fakes import Recorder
from tests.test_errors import Hostile
from vsvfi.engine.arguments import check_images, check_inputs, check_times
from vsvfi.errors import ArgumentError

IMAGE = torch.full((3, 16, 16), 0.5)


def with_value(value: float, dtype: torch.dtype = torch.float32) -> Tensor:
    image = IMAGE.clone()
    image[1, 2, 3] = value
    return image.to(dtype)


@pytest.mark.parametrize("argument", ["first", "second"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (255.0, "values from 0.5 to 255"),
        (2.1, "0.5 to 2.1"),
        (-1.1, "-1.1 to 0.5"),
        (float("nan"), "nan"),
        (float("inf"), "0.5 to inf"),
    ],
)
def test_values_far_from_the_range_are_refused(fake_family: Recorder, argument: str, value: float, shown: str) -> None:
    model = vsvfi.load_model("fake", weights=fake_family.weights, device="cpu")
    images = {"first": IMAGE, "second": IMAGE, argument: with_value(value)}
    with pytest.raises(
        ArgumentError,
        match=rf"^{argument}='values from .*', must be RGB in \[0, 1\], .*; divide by the peak value \(255",
    ) as caught:
        model(**images)
    assert shown in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn])
@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0, 2.0])
def test_values_around_the_range_are_taken(fake_family: Recorder, dtype: torch.dtype, value: float) -> None:
    model = vsvfi.load_model("fake", weights=fake_family.weights, device="cpu")
    image = with_value(value, dtype)
    assert torch.equal(model(image, image).to(torch.float32), image.to(torch.float32))


@pytest.mark.parametrize(
    "make",
    [
        lambda: None,
        lambda: np.ones((3, 4, 4), np.float32),
        lambda: [[[0.5]]] * 3,
        Hostile,
        lambda: torch.ones(3, 4, 4, dtype=torch.uint8),
        lambda: torch.ones(3, 4, 4, dtype=torch.complex64),
        lambda: torch.ones(3, 4, 4, device="meta"),
        lambda: torch.ones(3, 4, 4).to_sparse(),
        lambda: torch.ones(3, 4),
        lambda: torch.ones(1, 1, 3, 4, 4),
        lambda: torch.ones(4, 4, 3),
        lambda: torch.ones(3, 0, 4),
        lambda: torch.ones(0, 3, 4, 4),
        lambda: _nested(),
    ],
)
def test_what_is_no_image_is_refused(make: object) -> None:
    value = make()  # type: ignore[operator]
    for argument, images in (("first", (value, IMAGE)), ("second", (IMAGE, value))):
        with pytest.raises(ArgumentError, match=rf"^{argument}=.*, must be a floating-point tensor \[B, 3, H, W\]"):
            check_images(*images)


def _nested() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.ones(3, 4, 4)])


def test_images_of_two_shapes_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"^second=\(1, 3, 16, 8\), must have the shape of first, \(1, 3, 16, 16\)"):
        check_images(IMAGE, IMAGE[..., :8])


@pytest.mark.parametrize(
    "t",
    [
        0.25,
        Fraction(1, 4),
        Decimal("0.25"),
        np.float32(0.25),
        torch.tensor(0.25),
        torch.tensor([0.25]),
        [0.25],
        (0.25,),
        np.array([0.25]),
    ],
)
def test_times_of_every_kind(t: object) -> None:
    assert torch.equal(check_times(t, 1), torch.tensor([0.25]))
    assert torch.equal(check_times(t, 3), torch.full((3,), 0.25))


TIMES: list[object] = [
    None, "0.5", True, 10**5000, Hostile(), [Hostile()], range(10**12), -0.1, 1.1, float("nan"), [0.1, 0.2], [], {},
    [[0.5]], torch.ones(2), torch.ones(0),
    torch.ones(1, device="meta"), 0.5j, np.array(["a"]), np.array(None), [0.5] * 10**6,
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(TIMES)))
def test_what_is_no_time_is_refused(index: int) -> None:
    with pytest.raises(ArgumentError, match=r"^t=.*, (must be|cannot be read)") as caught:
        check_times(TIMES[index], 1)
    assert len(str(caught.value)) < 400


def test_further_inputs_are_tensors_that_the_family_takes() -> None:
    tensor = torch.ones(2)
    assert torch.equal(check_inputs({"noise": tensor}, ["noise"], "Toy")["noise"], tensor)
    with pytest.raises(ArgumentError, match=r"^noise=<Tensor>, Toy has no such input; leave it out"):
        check_inputs({"noise": tensor}, [], "Toy")
    for value in (1, None, Hostile(), torch.ones(1, dtype=torch.int64), torch.ones(1, device="meta")):
        with pytest.raises(ArgumentError, match=r"^noise=.*, must be a floating-point tensor"):
            check_inputs({"noise": value}, ["noise"], "Toy")
