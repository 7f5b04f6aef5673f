"""The recipes of LDMVFI and GIMM-VFI-F on tiny, seeded runs: what is drawn, loaded, trained and resumed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from scripts.train.augment import Clip
from scripts.train.batch import Batch
from scripts.train.build import build_form, check_start, load
from scripts.train.checkpoint import export
from scripts.train.forms.form import Form, reset
from scripts.train.forms.gimmvfi import MOTION, DecoderForm
from scripts.train.forms.ldmvfi import AutoEncoderForm, DenoisingForm
from scripts.train.losses.perceptual import Perceptual, VggNetwork
from scripts.train.recipes import RECIPES
from scripts.train.run import Run, Settings
from scripts.train.sources.source import Samples, Source, batches
from vsvfi.errors import ForeignWeightsError
from vsvfi.models.flow.flowformer import FlowFormer
from vsvfi.models.gimmvfi.network import GIMMVFI
from vsvfi.models.ldmvfi import autoencoder
from vsvfi.models.ldmvfi.network import LDMVFI
from vsvfi.weights.load import load_state


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        yield


def _perceptual() -> Perceptual:
    """LPIPS with AlexNet, which is quicker than the published VGG-16, and seeded weights."""
    made = Perceptual("alex")
    for weight in made.parameters():
        torch.nn.init.uniform_(weight, 0, 0.05)
    return made


class _Waves(Source):
    """Smooth images that move, quick to make."""

    def __init__(self, size: int) -> None:
        self.place = torch.arange(size) / 9

    def __len__(self) -> int:
        return 4

    def draw(self, index: int, epoch: int, random: np.random.Generator) -> Clip:
        shift = float(random.uniform(0, 0.5))
        frames = [
            torch.sin(self.place + k * shift) + torch.cos(0.7 * self.place[:, None] - k * shift) for k in range(3)
        ]
        return Clip((torch.stack(frames)[:, None].expand(-1, 3, -1, -1) + 2) / 4, (0.5,))

    def identity(self) -> dict[str, object]:
        return {}


def _run(recipe: str, form: Form, size: int) -> tuple[Run, list[Batch]]:
    """A run of single samples, and its first two."""
    tiny = replace(RECIPES[recipe], crop=size, batch=1)
    source = _Waves(size)
    subject = Run(tiny, form, source, Settings(out=Path(), steps=10))
    samples = Samples(source, tiny.augmentation, size, 1)
    return subject, list(batches(samples, subject.share, 0, 2, 0))


def _changed(before: dict[str, Tensor], form: Form) -> set[str]:
    """The first words of the weights that a run changed."""
    after = form.state_dict()
    return {
        name.split(".")[1 if name.startswith("network.") else 0]
        for name in before
        if not torch.equal(before[name], after[name])
    }


def _copied(form: Form) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in form.state_dict().items()}


def test_ldmvfi_s_auto_encoder_trains_with_its_discriminator_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoder, "HEAD", 4)  # most of the time goes into the heads
    network, perceptual = LDMVFI(32, 32), _perceptual()
    form = AutoEncoderForm(network, perceptual)
    form.initialise()
    subject, (first, _) = _run("ldmvfi_autoencoder", form, 256)
    before = _copied(form)
    losses, _, image = subject.advance([first])
    assert all(torch.isfinite(torch.tensor(value)) for value in losses.values())
    assert losses["total"] == pytest.approx(  # the adversarial term does not count before step 5000
        losses["reconstruction"] + losses["codebook"], rel=1e-4
    )
    assert image is not None
    assert image.shape == first.truth.shape
    # No gradient reaches the discriminator before step 5000, but its statistics are updated
    assert _changed(before, form) == {"first_stage_model", "discriminator"}
    assert all(name.startswith("first_stage_model.") for name in subject.weights())  # the U-Net has no weights yet
    subject.save(tmp_path / "last.pt")
    other = AutoEncoderForm(LDMVFI(32, 32), perceptual)
    resumed, _ = _run("ldmvfi_autoencoder", other, 256)
    resumed.restore(tmp_path / "last.pt")
    now, then = form.state_dict(), other.state_dict()
    trained = [name for name in now if name.startswith(("network.first_stage_model.", "discriminator."))]
    assert all(torch.equal(now[name], then[name]) for name in trained)
    for one, two in zip(subject.optimisers, resumed.optimisers, strict=True):
        states = [optimiser.state_dict()["state"] for optimiser in (one, two)]
        assert states[0].keys() == states[1].keys() != set()
        assert all(torch.equal(states[0][key]["exp_avg"], states[1][key]["exp_avg"]) for key in states[0])


def test_ldmvfi_s_unet_needs_the_auto_encoder_and_trains_alone() -> None:
    form = DenoisingForm(LDMVFI(32, 32))
    form.initialise()
    with pytest.raises(ValueError, match="ldmvfi_unet begins with the auto-encoder of recipe ldmvfi_autoencoder; name"):
        check_start(form, RECIPES["ldmvfi_unet"])
    reset(form.network.first_stage_model)
    subject, (first, second) = _run("ldmvfi_unet", form, 256)
    before = _copied(form)
    losses, _, _ = subject.advance([first])
    # The last layer begins at zero: the answer is 0, and the loss the mean square of unit noise
    assert losses["noise"] == pytest.approx(1, abs=0.3)
    subject.advance([second])
    assert _changed(before, form) == {"model"}
    assert set(subject.average) == {name for name, _ in form.network.named_parameters() if name.startswith("model.")}


def test_the_published_dropout_has_the_same_mean_and_a_seed() -> None:
    plain, noisy = VggNetwork(), VggNetwork(0.5)
    for layer in (*plain.features, *plain.heads):
        reset(layer)
    noisy.load_state_dict(plain.state_dict())
    pair = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        exact = plain(*pair)[3].mean()
        drawn = torch.stack([noisy(*pair)[3].mean() for _ in range(20)])
        again = []
        for _ in range(2):
            torch.manual_seed(9)
            again.append(noisy(*pair)[3])
    assert float(drawn.std()) > 0
    assert float((drawn.mean() - exact).abs()) < 4 * float(drawn.std()) / 20**0.5
    assert torch.equal(*again)


def test_gimmvfi_f_begins_with_files_of_its_sections(tmp_path: Path) -> None:
    recipe = RECIPES["gimmvfi_f"]
    stage_1 = build_form(RECIPES["gimm"])
    stage_1.initialise()
    motion = {name: value for name, value in stage_1.network.state_dict().items() if name.startswith(MOTION)}
    export(tmp_path, "gimmvfi_r", motion, {})
    torch.save({f"module.{key}": value for key, value in FlowFormer().state_dict().items()}, tmp_path / "flow.pth")
    form = build_form(recipe)
    form.initialise()
    for path in (tmp_path / "flow.pth", tmp_path / "weights.pth"):
        with pytest.raises(
            ValueError, match="gimmvfi_f begins with the published flow estimator and the motion module"
        ):
            check_start(form, recipe)
        load(form, recipe, load_state(path), str(path))
    check_start(form, recipe)
    with pytest.raises(ForeignWeightsError, match="missing"):
        load(form, recipe, dict(list(motion.items())[:-1]), "a part of the motion module")
    assert isinstance(form.network, GIMMVFI)
    form.network.flow_estimator.iterations = 2
    subject, (sample, _) = _run("gimmvfi_f", form, 64)
    before = _copied(form)
    losses, _, image = subject.advance([sample])
    assert all(torch.isfinite(torch.tensor(value)) for value in losses.values())
    assert image is not None
    sections = {"flow_estimator", "cnn_encoder", "res_conv", "hyponet"}
    assert sections <= _changed(before, form)
    assert any(name.startswith("amt_") for name in _changed(before, form))
    tuned = DecoderForm(form.network)
    load(tuned, recipe, subject.weights(), "the result")  # whole, strictly
    check_start(tuned, recipe)
    assert all(name.startswith("amt_") for name in tuned.trained())
