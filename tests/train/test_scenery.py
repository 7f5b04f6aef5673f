"""Training samples of text, thin periodic things, drawings and fast or many movers: they are true and repeatable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")

from PIL import Image

from scripts.train.scenery import drawings, lettering
from scripts.train.scenery.__main__ import main as sheet
from scripts.train.scenery.renderer import KINDS, Scenery, SceneryRenderer, Squashed
from vsvfi.ops.warp import backward_warp


@pytest.fixture(scope="module")
def scenery() -> Scenery:
    return Scenery.drawn(0, 2, 3)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_motion_explains_the_frames_of_every_kind(scenery: Scenery, kind: str) -> None:
    renderer = SceneryRenderer(scenery, 2, (64, 64), 3, {kind: 1.0})
    warped, apart = 0.0, 0.0
    for step in range(3):
        sample = renderer.draw(step)
        moving = sample.motion[:, :2].square().sum(1, keepdim=True) > 0.25
        for image, other, flow in (
            (sample.second, sample.first, sample.motion[:, :2]),
            (sample.first, sample.truth, sample.flow[:, :2]),
        ):
            error = (backward_warp(image, flow) - other).abs().amax(1, keepdim=True)[moving]
            warped += float(error.mean()) if error.numel() else 0.0
            change = (image - other).abs().amax(1, keepdim=True)[moving]
            apart += float(change.mean()) if change.numel() else 0.0
        assert 0 <= float(sample.first.min()) <= float(sample.first.max()) <= 1
    again = renderer.draw(2)
    assert torch.equal(again.first, sample.first)
    assert torch.equal(again.motion, sample.motion)
    assert warped < 0.75 * apart


def test_squashing_is_inverted_exactly() -> None:
    values = torch.rand(14, 2, 1, 1, generator=torch.Generator().manual_seed(4))
    motion = Squashed(*values, squash=torch.tensor([0.3, -0.2]).reshape(2, 1, 1))
    x, y = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="xy")
    x, y = x.expand(2, -1, -1), y.expand(2, -1, -1)
    u, v = motion.to_layer(x, y, 0.9)
    assert float((torch.stack(motion.to_image(u, v, 0.9)) - torch.stack((x, y))).abs().max()) < 1e-4
    assert not torch.allclose(u, motion.to_layer(x, y, 0.5)[0])


def test_letters_fill_a_part_of_their_strip_in_every_font() -> None:
    random = np.random.default_rng(1)
    for _ in range(6):
        strip = lettering.strip(random)
        assert strip.shape == (4, lettering.STRIP[0] * lettering.FINE, lettering.STRIP[1] * lettering.FINE)
        assert (strip[:3] <= strip[3] + 1e-6).all()  # premultiplied
        assert float(strip[3].mean()) > 0.01
    assert len(set(lettering.fonts())) == len(lettering.fonts()) > 0


def test_a_missing_font_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_NAMES", ("no-such-font.ttf",))
    lettering.fonts.cache_clear()
    assert lettering.fonts() == (None,)
    assert float(lettering.strip(np.random.default_rng(2))[3].mean()) > 0.01
    lettering.fonts.cache_clear()


def test_periodic_layers_repeat() -> None:
    """A horizontal, vertical or slanted period shows as a peak of the spectrum far above its mean."""
    random = np.random.default_rng(3)
    for _ in range(4):
        layer = drawings.periodic(random)
        middle = layer[:3, 120:264, 120:264].sum(0)
        spectrum = np.abs(np.fft.fft2(middle - middle.mean()))
        assert spectrum.max() > 20 * spectrum.mean()


def test_textures_are_rendered_once_into_a_file(
    scenery: Scenery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Scenery, "drawn", lambda seed, backgrounds, sprites: scenery)
    path = tmp_path / "out" / "scenery.pt"
    Scenery.stored(path, 0, 2, 3)
    monkeypatch.setattr(Scenery, "drawn", None)
    again = Scenery.stored(path, 0, 2, 3)
    kind = {"drawn": 1.0}
    samples = [SceneryRenderer(drawn, 1, (32, 32), 3, kind).draw(1) for drawn in (scenery, again)]
    assert torch.equal(samples[0].truth, samples[1].truth)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with pytest.raises(ValueError, match=r"holds .*'sprites': 3.* not .*'sprites': 4.*name another file"):
        Scenery.stored(path, 0, 2, 4)


def test_the_sheet_has_a_row_per_kind(scenery: Scenery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Scenery, "drawn", lambda *arguments: scenery)
    assert sheet(["--out", str(tmp_path / "sheet.png"), "--side", "32"]) == 0
    with Image.open(tmp_path / "sheet.png") as drawn:
        assert drawn.size == (6 * 32, len(KINDS) * 32)
