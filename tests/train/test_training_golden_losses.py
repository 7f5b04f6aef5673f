"""Losses, schedules, averages and augmentations against the published training programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from scripts.train.augment import TRANSFORMS, Clip
from scripts.train.losses import adversarial, diffusion, flows, motion, pixels
from scripts.train.losses.perceptual import Perceptual
from scripts.train.recipes import RECIPES
from scripts.train.schedules import Average, Constant, Cosine
from tests.train.goldens import (
    PIXELS,
    RATES,
    case,
    each,
    image,
    input_checks,
    kind_of,
    names,
    near,
    needs_goldens,
    network_weights,
    noise,
    seeded,
    stored,
    tensor,
)
from tests.train.goldens import smooth_flow as drawn_flow

pytestmark = needs_goldens

VALUE, GRADIENT = 1e-5, 1e-4


def _pair(section: str, name: str) -> tuple[Tensor, Tensor]:
    found = case(name)
    truth = image(f"{section}/truth", found["shape"], 0.5, found["seed"])
    prediction = truth + noise(f"{section}/error", found["shape"], 0.08, seed=found["seed"])
    return prediction.double().requires_grad_(), truth.double()


def _gradients(name: str, value: Tensor, leaves: dict[str, Tensor]) -> None:
    """Check the gradients of a case: their norms, and the tensors that are stored."""
    found = case(name)
    grads = torch.autograd.grad(value, list(leaves.values()))
    for leaf, grad in zip(leaves, grads, strict=True):
        near(grad.norm(), found[f"gradient_norm_{leaf}"], GRADIENT)
        if stored(place := f"{name}/gradient_{leaf}"):
            near(grad, tensor(place), GRADIENT)


LOSSES: dict[str | None, Callable[[Tensor, Tensor], Tensor]] = {
    "charbonnier": pixels.charbonnier,
    "census_mean": pixels.census_mean,
    "census_weighted": pixels.census_weighted,
    "ifrnet_reconstruction": lambda p, g: pixels.charbonnier(p, g) + pixels.census_mean(p, g),
    "uprnet_total": lambda p, g: pixels.charbonnier(p, g) + pixels.census_weighted(p, g),
}


def test_golden_cases_are_all_compared() -> None:
    assert [name for name in names() if kind_of(name) is None] == []


def test_golden_inputs_are_those_of_the_reference() -> None:
    for words, made, expected in input_checks():
        assert list(made.shape) == expected["shape"], words
        near(made.double().abs().sum(), expected["abs_sum"], 1e-6)
        near(made.double().mean(), expected["mean"], 1e-6 * expected["abs_sum"] / abs(expected["mean"] * made.numel()))


@each(*PIXELS)
def test_golden_pixel_losses(name: str) -> None:
    prediction, truth = _pair("pixels", name)
    value = LOSSES[kind_of(name)](prediction, truth)
    near(value, case(name)["value"], VALUE)
    _gradients(name, value, {"prediction": prediction})


@each("laplacian")
def test_golden_laplacian(name: str) -> None:
    found = case(name)
    prediction, truth = _pair("pyramid", name)
    value = pixels.laplacian(prediction, truth)
    near(value, found["value"], VALUE)
    for band, level in zip(pixels.laplacian_bands(prediction.detach() - truth), found["levels"], strict=True):
        near(band.abs().mean(), level, VALUE)
    _gradients(name, value, {"prediction": prediction})
    near(pixels.laplacian_bands(prediction.detach())[4], tensor(f"{name}/band4"), GRADIENT)


@each("vfimamba_total")
def test_golden_vfimamba_total(name: str) -> None:
    found = case(name)
    prediction, truth = _pair("pyramid", name)
    merged = [
        (truth + noise(f"pyramid/merged{index}", found["shape"], 0.1, seed=found["seed"])).requires_grad_()
        for index in range(2)
    ]
    parts = [pixels.laplacian(image, truth) for image in (prediction, *merged)]
    for part, expected in zip(parts, found["parts"], strict=True):
        near(part, expected, VALUE)
    value = parts[0] + (parts[1] + parts[2]) / 2
    near(value, found["value"], VALUE)
    _gradients(name, value, {"prediction": prediction, "merged0": merged[0]})


@each("geometry")
def test_golden_geometry(name: str) -> None:
    found = case(name)
    prediction, truth = (
        noise(f"geometry/{which}", found["shape"], 0.8, 0.2, found["seed"]).double().requires_grad_()
        for which in ("prediction", "truth")
    )
    value = flows.geometry([prediction], [truth])
    near(value, found["value"], VALUE)
    _gradients(name, value, {"prediction": prediction, "truth": truth})


@each("ifrnet_distillation")
def test_golden_ifrnet_distillation(name: str) -> None:
    found = case(name)
    batch, channels, height, width = found["shape"]
    teacher = drawn_flow("distillation/teacher", found["shape"], 3.0, found["seed"]).double()
    final = teacher + noise("distillation/final", found["shape"], 1.2, seed=found["seed"])
    levels = [
        noise(
            f"distillation/level{k}", [batch, channels, height // k, width // k], 2 / k, 1 / k, seed=found["seed"]
        ).double()
        for k in (2, 4, 8)
    ]
    for level in levels:
        level.requires_grad_()
    for index in range(2):
        part = slice(2 * index, 2 * index + 2)
        weight = flows.teacher_weight(final[:, part], teacher[:, part])
        near(weight.mean(), found["weight_mean"][index], VALUE)
        near(weight[:, 0], tensor(f"{name}/weight")[:, index], GRADIENT)
    terms = [0.01 * term for term in flows.distillation_terms([final, *levels], teacher)]
    for k, term in zip((2, 4, 8), terms, strict=True):
        near(term, found[f"term_{k}"], VALUE)
    value = torch.stack(terms).sum()
    near(value, found["value"], VALUE)
    _gradients(name, value, {f"level{k}": level for k, level in zip((2, 4, 8), levels, strict=True)})


@each("robust_penalty")
def test_golden_robust_penalty(name: str) -> None:
    found = case(name)
    difference = torch.tensor(found["differences"], dtype=torch.float64)
    for row in found["table"]:
        penalty = flows.robust_penalty(difference, torch.tensor(row["weight"], dtype=torch.float64))
        near(penalty, torch.tensor(row["rho"]), VALUE)


def lpips(kind: str, seed: int) -> Perceptual:
    """LPIPS with the reference data's weights."""
    loss = Perceptual("vgg" if kind == "vgg" else "alex")
    state = network_weights(f"lpips_{kind}", seed)
    heads = {f"lin{index}.model.1.weight": state[f"lin{index}.weight"] for index in range(5)}
    loss.load(state, heads)
    return loss


@each("lpips_alex", "lpips_vgg")
def test_golden_lpips(name: str) -> None:
    kind = "alex" if kind_of(name) == "lpips_alex" else "vgg"
    found = case(name)
    prediction, truth = _pair("perceptual", name)
    given = prediction if kind == "alex" else (2 * prediction - 1).detach().requires_grad_()  # mapped before the call
    distances = lpips(kind, found["seed"]).double()(given if kind == "alex" else (given + 1) / 2, truth)
    near(distances, torch.tensor(found["per_sample"]), VALUE)
    near(distances.mean(), found["value"], VALUE)
    _gradients(name, distances.mean(), {"prediction": given})


@pytest.mark.parametrize(
    ("name", "step"),
    [
        (name, key.removeprefix("generator_"))
        for name in names("vqfigan_loss")
        for key in case(name)
        if key.startswith("generator_")
    ],
)
def test_golden_vqfigan(name: str, step: str) -> None:
    found = case(name)
    seed = found["seed"]
    batch, _, height, width = found["shape"]
    truth = 2 * image("perceptual/truth", found["shape"], 0.5, seed).double() - 1
    hidden = noise("gan/hidden", [batch, 8, height, width], 0.5, seed=seed).double()
    last = seeded("training/gan/last_layer", [3, 8, 3, 3], 0, (2 / 72) ** 0.5 / 2, seed).double().requires_grad_()
    made = truth + 0.3 * functional.conv2d(hidden, last, padding=1)
    discriminator = adversarial.Discriminator()
    state = network_weights("discriminator", seed)
    missing = discriminator.load_state_dict(state, strict=False).missing_keys
    assert all("running" in key or "num_batches" in key for key in missing)
    discriminator.double().train()
    expected = found[f"generator_{step}"]
    loss = adversarial.generator_loss(
        truth,
        made,
        torch.tensor(found["quantiser_loss"], dtype=torch.float64),
        last_layer=last,
        perceptual=lpips("vgg", seed).double(),
        discriminator=discriminator,
        active=bool(expected["disc_factor"]),
    )
    near(loss.total, expected["total"], VALUE)
    near(loss.reconstruction, expected["nll"], VALUE)
    near(loss.perceptual, expected["lpips"], VALUE)
    near(loss.adversarial, expected["g_loss"], VALUE)
    near(loss.weight, expected["d_weight"], GRADIENT)
    of_layer, of_image = torch.autograd.grad(loss.total, (last, made), retain_graph=True)
    near(of_layer.norm(), expected["gradient_norm_last_layer"], GRADIENT)
    near(of_image.norm(), expected["gradient_norm_reconstruction"], GRADIENT)
    if expected["disc_factor"] and stored(place := name.replace("vqfigan_loss", "gan") + "/gradient_reconstruction"):
        near(of_image, tensor(place), GRADIENT)
    discriminator.zero_grad()
    expected = found[f"discriminator_{step}"]
    assert list(discriminator(truth).shape) == found["logits_shape"]
    near(discriminator(truth).mean(), expected["logits_real"], VALUE)
    near(discriminator(made).mean(), expected["logits_fake"], VALUE)
    active = bool(found[f"generator_{step}"]["disc_factor"])
    total = adversarial.discriminator_loss(discriminator, truth, made, active=active)
    near(total, expected["total"], VALUE)
    total.backward()
    for key, norm in expected["gradient_norms"].items():
        near(discriminator.get_parameter(key).grad.norm(), norm, GRADIENT)


@each("codebook")
def test_golden_codebook(name: str) -> None:
    found = case(name)
    entries, shape = (list(tensor(f"{name}/gradient_{leaf}").shape) for leaf in ("embedding", "z"))
    embedding = seeded("training/codebook", entries, 0, 0.5, found["seed"]).double().requires_grad_()
    z = noise("codebook/z", shape, 0.6, seed=found["seed"]).double().requires_grad_()
    quantised, value, indices = adversarial.quantise(z, embedding)
    near(value, found["value"], VALUE)
    assert indices.flatten().tolist() == found["indices"]
    _gradients(name, value, {"z": z, "embedding": embedding})
    (through,) = torch.autograd.grad(quantised.sum(), z)
    assert torch.equal(through, torch.ones_like(z))


@each("ddpm_loss")
def test_golden_ddpm_loss(name: str) -> None:
    found = case(name)
    latent, added, answer = (
        noise(f"ddpm/{which}", list(tensor(f"{name}/x_t").shape), std, seed=found["seed"]).double()
        for which, std in (("latent", 0.7), ("noise", 1.0), ("answer", 1.0))
    )
    answer.requires_grad_()
    steps = torch.tensor(found["t"])
    near(diffusion.signal_shares()[steps], torch.tensor(found["alphas_cumprod"]), VALUE)
    near(diffusion.noised(latent, added, steps), tensor(f"{name}/x_t"), GRADIENT)
    value = diffusion.noise_loss(answer, added)
    near(value, found["value"], VALUE)
    _gradients(name, value, {"answer": answer})


@each("gimm_stage2_plain", "gimm_stage2_perceptual")
def test_golden_gimm_stage2(name: str) -> None:
    found = case(name)
    seed, shape = found["seed"], found["shape"]
    prediction, truth = _pair("gimm", name)
    preview = (truth + noise("gimm/preview", shape, 0.15, seed=seed)).requires_grad_()
    batch, _, height, width = shape
    normal = noise("gimm/normal_flow", [batch, 2, 2, height, width], 0.2, 0.5, seed).double()
    count = int(0.1 * height * width)
    answers, targets = [], []
    for index, begin in enumerate((0, 3)):
        points = begin + 10 * torch.arange(count)
        targets.append(normal[:, :, index].flatten(2)[..., points].transpose(1, 2))
        answers.append(noise(f"gimm/answer{index}", [batch, count, 2], 0.2, 0.5, seed).double().requires_grad_())
    made = motion.StageTwo(prediction, preview, (answers[0], answers[1]), (targets[0], targets[1]))
    network = lpips("alex", seed).double()
    total, parts = motion.stage_two(made, truth, network if "perceptual" in name else None)
    near(total, found["total"], VALUE)
    for part, value in parts.items():
        near(value, found["parts"][part], VALUE)
    _gradients(name, total, {"prediction": prediction, "preview": preview, "answer0": answers[0]})


def _rates(schedule: Constant | Cosine, steps: int, base: float, expected: dict[str, object], group: int = 0) -> None:
    offset = 1 if isinstance(schedule, Cosine) and schedule.from_one else 0
    for step, rates in expected.items():
        if step == "after":
            continue
        rate = rates[group] if isinstance(rates, list) else rates
        assert schedule.rate(int(step) - offset, steps, base) == pytest.approx(rate, rel=1e-9, abs=1e-15)


RECIPE_OF = {
    "lr_ifrnet": "ifrnet_s",
    "lr_uprnet": "uprnet_base",
    "lr_vfimamba": "vfimamba_s",
    "lr_sgm_xtrain": "vfimamba_s",
    "lr_gimm_stage1": "gimm",
    "lr_gimm_stage2": "gimmvfi_r",
    "ema_ldmvfi": "ldmvfi_unet",
    "ema_gimm": "gimmvfi_r",
}


@each(*RATES)
def test_golden_rates(name: str) -> None:
    found, kind = case(name), kind_of(name)
    if kind == "lr_ldmvfi":
        for part in ("autoencoder", "unet"):
            recipe = RECIPES[f"ldmvfi_{part}"]
            assert recipe.batch == found[part]["batch"]
            assert recipe.groups[0].rate == pytest.approx(found[part]["rate"], rel=1e-9)
        return
    assert kind is not None
    recipe = RECIPES[RECIPE_OF[kind]]
    schedule = recipe.schedule
    if kind == "lr_sgm_xtrain":
        assert isinstance(schedule, Cosine)
        schedule = replace(schedule, end=found["minimum"], warmup=found["warmup"])
    if kind == "lr_gimm_stage2":
        assert isinstance(schedule, Cosine)
        schedule = replace(schedule, warmup_share=1 / found["epochs"])  # one epoch
    assert isinstance(schedule, Constant | Cosine)
    per_epoch = found.get("iterations_per_epoch", found.get("steps_per_epoch", 1))
    steps = found.get("steps") or found["epochs"] * per_epoch
    for index, group in enumerate(recipe.groups if "groups" in found else recipe.groups[:1]):
        if "weight_decay" in found:
            assert group.decay == pytest.approx(found["weight_decay"][index])
        _rates(schedule, steps, group.rate, found["rates"], index)


@each("ema_ldmvfi", "ema_gimm")
def test_golden_averages(name: str) -> None:
    found, kind = case(name), kind_of(name)
    assert kind is not None
    average = RECIPES[RECIPE_OF[kind]].average
    assert isinstance(average, Average)
    shape = [len(found["updates"][0])]
    slow = {"weight": noise("ema/0", shape, seed=found["seed"])}
    for index, expected in enumerate(found["updates"]):
        average.update(slow, {"weight": noise(f"ema/{index + 1}", shape, seed=found["seed"])}, index)
        near(slow["weight"], torch.tensor(expected), 1e-6)


AUGMENTED = {
    "horizontal_flip": "mirror_horizontally",
    "vertical_flip": "mirror_vertically",
    "transpose": "transpose",
    "reverse_channel": "reverse_channels",
    "reverse_time": "reverse_time",
}


@each("augment")
def test_golden_augmentations(name: str) -> None:
    seed, compared = case(name)["seed"], 0
    for published, ours in AUGMENTED.items():
        if not stored(place := f"{name}/{published}"):
            continue
        compared, expected = compared + 1, tensor(place)
        size = list(expected.shape[:-3:-1] if published == "transpose" else expected.shape[-2:])
        frames = torch.cat([noise(f"augment/frame{index}", [1, 3, *size], 0.3, 0.5, seed) for index in range(3)])
        flow = noise("augment/flow", [1, 4, *size], 2.0, seed=seed)[0]
        made = TRANSFORMS[ours](Clip(frames, (0.25,), flow))
        assert made.flow is not None
        near(torch.cat((*made.frames, made.flow)), expected, 1e-6)
        assert made.t == ((0.75,) if published == "reverse_time" else (0.25,))
    assert compared
