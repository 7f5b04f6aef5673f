"""Several frames of one pair, and the motion between two images."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch

from tests import fakes
from vsvfi import load_model
from vsvfi.cli.bench import write_random_weights
from vsvfi.errors import ArgumentError
from vsvfi.ops.warp import backward_warp


def images(shift: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """A texture, and the same moved right by `shift` pixels."""
    y, x = torch.meshgrid(torch.arange(70.0), torch.arange(110.0 + shift), indexing="ij")
    wave = torch.stack([0.5 + 0.2 * torch.sin(x / 5 + k) + 0.2 * torch.cos(y / 6 + x / 11) for k in range(3)])
    return wave[..., shift:], wave[..., :-shift] if shift else wave


def test_frames_are_those_of_calls() -> None:
    model = load_model("builtin", device="cpu", precision="fp32")
    first, second = (image[None] for image in images())
    opened = model.open(first, second)
    for t in (Fraction(1, 4), Fraction(1, 2)):
        torch.testing.assert_close(opened.frame(t), model(first, second, float(t)), rtol=0, atol=1e-5)


def test_a_model_that_knows_the_middle_alone_bisects_padded_images(tmp_path: Path) -> None:
    write_random_weights("ifrnet_s", tmp_path / "w")
    model = load_model("ifrnet_s", weights=tmp_path / "w", device="cpu", precision="fp32")
    first, second = (image[None] for image in images())
    opened = model.open(first, second)
    middle = opened.frame(Fraction(1, 2))
    torch.testing.assert_close(middle, model(first, second, 0.5), rtol=0, atol=1e-6)
    quarter = opened.frame(Fraction(1, 4))
    torch.testing.assert_close(quarter[..., 8:-8, 8:-8], model(first, middle, 0.5)[..., 8:-8, 8:-8], rtol=0, atol=0.05)
    assert torch.equal(opened.frame(Fraction(1, 2)), middle)
    assert torch.equal(opened.frame(Fraction(24, 100)), quarter)  # the nearest of sixteen places


def test_flow_leads_to_the_other_image() -> None:
    model = load_model("builtin", device="cpu", precision="fp32")
    first, second = images()
    flow = model.flow(first, second)
    assert flow.keys() == {"0-1", "1-0"}
    assert flow["0-1"].shape == (2, 70, 110)
    inner = flow["0-1"][:, 16:-16, 16:-16]
    assert float(inner[0].median()) == pytest.approx(4, abs=0.5)
    assert float(inner[1].median()) == pytest.approx(0, abs=0.5)
    warped = backward_warp(second[None], flow["0-1"][None])
    assert (warped - first)[..., 16:-16, 16:-16].abs().mean() < 0.3 * (second - first).abs().mean()


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("ifrnet_s", {"t-0", "t-1"}),
        ("rife46", {"t-0", "t-1"}),
        ("rife425", {"t-0", "t-1"}),
        ("vfimamba_s", {"t-0", "t-1"}),
        ("uprnet_base", {"0-1", "1-0"}),
        ("gimmvfi_r", {"0-1", "1-0", "t"}),
    ],
)
def test_every_family_with_flow_gives_it_at_the_size_of_the_images(tmp_path: Path, name: str, names: set[str]) -> None:
    write_random_weights(name, tmp_path / "w")
    model = load_model(name, weights=tmp_path / "w", device="cpu", precision="fp32", scale=Fraction(1, 2))
    first, second = (image[None, :, :48, :80] for image in images())
    flow = model.flow(first, second, 0.25)
    assert flow.keys() == names
    for found in flow.values():
        assert found.shape == (1, 2, 48, 80)
        assert found.dtype == torch.float32
        assert bool(found.isfinite().all())


def test_a_model_without_flow_says_so(fake_family: fakes.Recorder) -> None:
    model = load_model("fake", weights=fake_family.weights, device="cpu")
    with pytest.raises(ArgumentError, match="Fake does not estimate flow"):
        model.flow(*images())


def test_gimms_motion_is_the_same_at_all_pixels(tmp_path: Path) -> None:
    """Frames are computed from the motion at the four middle pixels of every 4x4 block."""
    write_random_weights("gimmvfi_r", tmp_path / "w")
    network = load_model("gimmvfi_r", weights=tmp_path / "w", device="cpu", precision="fp32")._built[1]  # type: ignore[index]
    first, second = (image[None, :, :64, :64] for image in images())
    with torch.inference_mode():
        pair = network.prepare_pair(network.encode_frame(first), network.encode_frame(second))
        everywhere = network.flows(pair, torch.full((1,), 0.25))["t"]
        used = network.motion(pair, torch.full((1, 1, 1, 1), 0.25))
    rows = everywhere[..., 1::4, :] + everywhere[..., 2::4, :]
    torch.testing.assert_close((rows[..., 1::4] + rows[..., 2::4]) / 4, used, rtol=1e-3, atol=1e-3)


def test_wrong_times_are_refused() -> None:
    model = load_model("builtin", device="cpu", precision="fp32")
    with pytest.raises(ArgumentError, match="must be one time"):
        model.flow(*images(), 1.5)
