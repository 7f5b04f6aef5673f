"""Build a recipe's network in training form, and its optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import torch
from torch import Tensor, nn

from scripts.train.forms.form import Form
from scripts.train.forms.gimmvfi import ESTIMATOR, DecoderForm, GIMMVFIForm, MotionForm
from scripts.train.forms.ifrnet import IFRNetForm
from scripts.train.forms.ldmvfi import AutoEncoderForm, DenoisingForm
from scripts.train.forms.uprnet import UPRNetForm
from scripts.train.forms.vfimamba import VFIMambaForm
from scripts.train.losses.perceptual import Perceptual
from scripts.train.optimiser import Muon
from scripts.train.recipe import Recipe
from vsvfi.engine.build import AnyInterpolator, construct
from vsvfi.models.family import BuildConfig
from vsvfi.models.gimmvfi.network import GIMMVFI
from vsvfi.models.ifrnet.network import IFRNet
from vsvfi.models.ldmvfi.network import LDMVFI
from vsvfi.models.registry import find
from vsvfi.models.uprnet.network import UPRNet
from vsvfi.models.vfimamba.network import VFIMamba
from vsvfi.weights.load import match_state


def fresh_network(recipe: Recipe) -> AnyInterpolator:
    """Build the recipe's network; its weights are not initialised."""
    family, variant = find(recipe.model)
    return construct(family, variant, BuildConfig(Fraction(1), family.size_rule, dict(recipe.options)))


def build_form(recipe: Recipe, perceptual: Perceptual | None = None, *, fine_tune: bool = False) -> Form:
    """Build the network in its training form, weights uninitialised.

    Args:
        recipe: of the run.
        perceptual: the LPIPS network that the recipe needs.
        fine_tune: keep stored statistics in batch norms, and train GIMM-VFI's decoders alone.

    Raises:
        ValueError: the recipe needs a perceptual loss that is not given.
    """
    network = fresh_network(recipe)
    match recipe.form, network:
        case "ifrnet", IFRNet():
            return IFRNetForm(network)
        case "uprnet", UPRNet():
            return UPRNetForm(network)
        case "vfimamba", VFIMamba():
            return VFIMambaForm(network)
        case "gimm", GIMMVFI():
            return MotionForm(network)
        case "gimmvfi", GIMMVFI():
            return DecoderForm(network, perceptual) if fine_tune else GIMMVFIForm(network, perceptual)
        case "ldmvfi_autoencoder", LDMVFI():
            if perceptual is None:
                raise ValueError(f"train: {recipe.name} needs --lpips-backbone and --lpips-heads (VGG-16); name them")
            return AutoEncoderForm(network, perceptual)
        case "ldmvfi_unet", LDMVFI():
            return DenoisingForm(network)
    raise ValueError(f"train: {recipe.name} has the form {recipe.form!r}, which {type(network).__name__} does not take")


def load(form: Form, recipe: Recipe, state: Mapping[str, Tensor], origin: str) -> None:
    """Load weights under the published keys, strictly: a whole network, or some of its sections.

    A flow estimator's own file is taken as that section of GIMM-VFI.

    Raises:
        ForeignWeightsError: they are those of another network.
    """
    family, _ = find(recipe.model)
    held = [section for section in form.sections if any(key.startswith(section) for key in state)]
    if not held and (ESTIMATOR,) in form.sections:
        state, held = {f"{ESTIMATOR}{key}": tensor for key, tensor in state.items()}, [(ESTIMATOR,)]
    filled = {prefix for section in held or form.sections for prefix in section}
    own = {
        name: tuple(tensor.shape)
        for name, tensor in form.network.state_dict().items()
        if name.startswith(tuple(filled)) and not name.endswith("num_batches_tracked")
    }
    found = match_state(
        family.adapt_state(state, own),
        own,
        origin=origin,
        model=recipe.model,
        ignored=family.ignored_keys,
        renamed=family.renamed_keys,
    )
    form.network.load_state_dict(found, strict=False)
    form.filled |= filled


def check_start(form: Form, recipe: Recipe) -> None:
    """Check that everything has weights that the recipe does not draw itself.

    Raises:
        ValueError: something has none.
    """
    if set(form.required) <= form.filled:
        return
    start = recipe.start if set(form.required) - set(form.parts) else "the published weights"
    raise ValueError(f"train: {recipe.name} begins with {start}; name the files with --weights")


def build_optimisers(recipe: Recipe, form: Form) -> list[torch.optim.Optimizer]:
    """Build the optimisers of what a form trains: one, or AdamW and Muon."""
    named = form.trained()
    if recipe.optimiser != "muon":
        return [build_optimiser(recipe, named)]
    outputs = {id(weight) for weight in form.outputs()}
    matrices = {name: weight for name, weight in named.items() if weight.ndim > 1 and id(weight) not in outputs}
    others = {name: weight for name, weight in named.items() if name not in matrices}
    muon = Muon(matrices.values(), lr=recipe.groups[0].rate)
    muon.param_groups[0]["base"] = recipe.groups[0].rate
    return [build_optimiser(recipe, others), muon]


def build_optimiser(recipe: Recipe, named: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
    """Build the recipe's optimiser; each group also holds its initial rate as `base`."""
    groups: list[dict[str, object]] = []
    taken: set[str] = set()
    for group in sorted(recipe.groups, key=lambda group: not group.pattern):
        own = [name for name in named if name not in taken and group.pattern in name]
        taken.update(own)
        groups.append(
            {"params": [named[name] for name in own], "lr": group.rate, "weight_decay": group.decay, "base": group.rate}
        )
    kind = torch.optim.Adam if recipe.optimiser == "adam" else torch.optim.AdamW
    return kind([group for group in groups if group["params"]], betas=recipe.betas)


def set_rates(optimisers: Sequence[torch.optim.Optimizer], recipe: Recipe, step: int, steps: float) -> None:
    """Set the rates of a step, counted from 0."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = recipe.schedule.rate(step, steps, group["base"])
