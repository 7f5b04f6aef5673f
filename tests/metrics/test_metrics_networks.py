"""LPIPS, FloLPIPS and PWC-Net with seeded weights: the published programs' values, laws, refusals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.metrics.goldens import cases, drawn, drawn_lpips, manifest, needs_goldens, section, tensors
from vsvfi.errors import ArgumentError, ForeignWeightsError
from vsvfi.metrics.flolpips import FloLpips
from vsvfi.metrics.lpips import Lpips
from vsvfi.metrics.pwcnet import PwcNet, pwcnet
from vsvfi.metrics.weights import shapes

EXACT = 1e-6
LPIPS_CASES = [(case, name) for case, stored in cases().get("lpips", {}).get("cases", {}).items() for name in stored]


def lpips_of(weights: dict[str, Tensor]) -> Lpips:
    parts = [{key: value for key, value in weights.items() if key.startswith(part)} for part in ("features.", "lin")]
    return Lpips(*parts)


@pytest.fixture(scope="module")
def golden_lpips() -> Lpips:
    return lpips_of(manifest("lpips_alex"))


@pytest.fixture(scope="module")
def lpips() -> Lpips:
    """With weights of our own, for clones without reference data."""
    return Lpips(*drawn_lpips())


@pytest.fixture(scope="module")
def flolpips(lpips: Lpips) -> FloLpips:
    return FloLpips(lpips, drawn(PwcNet(), 0.7))


def random_images(count: int, height: int = 40, width: int = 50) -> list[Tensor]:
    source = torch.Generator().manual_seed(3)
    return [(torch.rand(3, height, width, generator=source) * 255).to(torch.uint8) for _ in range(count)]


@needs_goldens
@pytest.mark.parametrize(("case", "name"), LPIPS_CASES)
def test_golden_lpips(golden_lpips: Lpips, case: str, name: str) -> None:
    stored, images = cases()["lpips"]["cases"][case][name], tensors(case)
    layers = golden_lpips.layers(images["pred"], images["truth"], rounded=name.startswith("rounded"))
    found = (
        layers
        if isinstance(stored, list)
        else [golden_lpips(images["pred"], images["truth"], rounded=name == "rounded")]
    )
    assert [float(value) for value in found] == pytest.approx(
        stored if isinstance(stored, list) else [stored], rel=0, abs=EXACT
    )


@needs_goldens
def test_golden_flolpips_and_flow_of_pwcnet(golden_lpips: Lpips) -> None:
    stored, images = section("flolpips"), tensors("flolpips")
    metric = FloLpips(golden_lpips, manifest("pwcnet"))
    prediction, truth, before, after = (images[name] for name in ("pred", "truth", "prev", "next"))
    parts = metric.towards(prediction, truth, [before, after])
    for found, name in zip(parts, ("with_prev", "with_next"), strict=True):
        assert float(found) == pytest.approx(stored[name], rel=0, abs=EXACT)
    assert float(sum(parts)) / 2 == pytest.approx(stored["score"], rel=0, abs=EXACT)
    units = [image[None].float() / 255 for image in (prediction, truth, after)]
    (difference,) = metric.differences(units[0], units[1], [units[2]])
    assert float((difference[0] - images["flow_difference_next"]).abs().max()) < 1e-4
    flow = metric.flow(units[1], units[2])
    assert float((flow[0] - images["flow_truth_next"]).abs().max()) < 1e-4
    assert float(flow.abs().max()) == pytest.approx(stored["largest_flow"], abs=1e-4)


def test_lpips_of_a_batch_is_that_of_each(lpips: Lpips) -> None:
    one, two, three, four = random_images(4)
    found = lpips(torch.stack((one, two)), torch.stack((three, four)))
    assert found.dtype is torch.float64
    assert found.tolist() == pytest.approx([float(lpips(one, three)), float(lpips(two, four))], rel=1e-5)
    assert float(lpips(one, one)) == 0


def test_lpips_rounds_to_8_bits_unless_told_otherwise(lpips: Lpips) -> None:
    one, two = random_images(2)
    near = one.float() / 255 + 0.4 / 255
    assert float(lpips(near, two)) == pytest.approx(float(lpips(one, two)), rel=1e-6)
    assert float(lpips(near, two, rounded=False)) != pytest.approx(float(lpips(one, two)), rel=1e-6)


def test_flolpips_of_equal_images_is_zero_and_of_a_batch_that_of_each(flolpips: FloLpips) -> None:
    images = torch.stack(random_images(4))
    assert float(flolpips(images[0], images[0], images[1], images[2])) == 0
    parts = flolpips.towards(images[0], images[3], [images[1], images[2]])
    assert float(sum(parts)) / 2 == float(flolpips(images[0], images[3], images[1], images[2]))
    both = flolpips(images[:2], images.flip(0)[:2], images[1:3], images[2:])
    assert both.tolist() == pytest.approx(
        [float(flolpips(images[i], images[3 - i], images[i + 1], images[i + 2])) for i in range(2)], rel=1e-5
    )


def test_flolpips_without_any_motion_is_lpips(lpips: Lpips) -> None:
    """A network without weights sees no motion anywhere, so that all places count alike."""
    still = {key: torch.zeros(shape) for key, shape in shapes(PwcNet()).items()}
    one, two = random_images(2)
    assert float(FloLpips(lpips, still)(one, two, one, one)) == pytest.approx(float(lpips(one, two)), rel=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (65, 40), (9, 130)])
def test_the_flow_of_pwcnet_has_the_size_of_the_images(flolpips: FloLpips, size: tuple[int, int]) -> None:
    one, two = (image[None].float() / 255 for image in random_images(2, *size))
    assert flolpips.flow(one, two).shape == (1, 2, *size)


def test_the_published_names_of_pwcnet_are_read() -> None:
    state = drawn(PwcNet())
    published = {key.replace("net", "module"): value for key, value in state.items()}
    found = pwcnet(published).state_dict()
    assert all(torch.equal(found[key], value) for key, value in state.items())


def test_foreign_weights_are_refused() -> None:
    features, _ = drawn_lpips()
    with pytest.raises(ForeignWeightsError, match=r"LPIPS heads"):
        Lpips(features, features)
    with pytest.raises(ForeignWeightsError, match=r"PWC-Net"):
        pwcnet(features)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((3, 30, 60), "each side must have 31 pixels or more"), ((1, 40, 40), r"prediction=\(1, 40, 40\), must have 3")],
)
def test_images_that_lpips_cannot_take_are_refused(lpips: Lpips, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        lpips(torch.zeros(shape), torch.zeros(shape))


def test_a_neighbour_of_another_size_is_refused(flolpips: FloLpips) -> None:
    one, two, three = random_images(3)
    with pytest.raises(ArgumentError, match=r"second=\(3, 40, 49\), must have the prediction's shape"):
        flolpips(one, two, three, three[..., :-1])
