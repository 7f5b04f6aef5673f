"""The published recipes of all families."""

from __future__ import annotations

from dataclasses import replace

from scripts.train.augment import Augmentation
from scripts.train.recipe import Group, Length, Recipe
from scripts.train.schedules import Average, Constant, Cosine, Plateau

_IFRNET_AUGMENTATION = (
    Augmentation("enlarge", 0.1),
    Augmentation("reverse_channels", 0.5),
    Augmentation("mirror_vertically", 0.3),
    Augmentation("mirror_horizontally", 0.5),
    Augmentation("transpose", 0.05),
    Augmentation("reverse_time", 0.5),
)
_UPRNET_AUGMENTATION = (
    Augmentation("reverse_channels", 0.5),
    Augmentation("mirror_vertically", 0.5),
    Augmentation("mirror_horizontally", 0.5),
    Augmentation("rotate", 0.5),
    Augmentation("reverse_time", 0.5),
)
_VFIMAMBA_AUGMENTATION = (
    Augmentation("reverse_channels", 0.5),
    Augmentation("reverse_time", 0.5),
    Augmentation("mirror_vertically", 0.5),
    Augmentation("mirror_horizontally", 0.5),
    Augmentation("rotate", 0.75),
)
_GIMMVFI_AUGMENTATION = (
    Augmentation("enlarge", 0.1),
    Augmentation("reverse_channels", 0.5),
    Augmentation("reverse_time", 0.5),
    Augmentation("mirror_vertically", 0.3),
    Augmentation("mirror_horizontally", 0.5),
    Augmentation("transpose", 0.05),
)
_LDMVFI_AUGMENTATION = (
    Augmentation("mirror_horizontally", 0.5),
    Augmentation("mirror_vertically", 0.5),
    Augmentation("reverse_time", 0.5),
)


def _ifrnet(model: str, operations: float) -> tuple[Recipe, Recipe]:
    vimeo = Recipe(
        name=model,
        model=model,
        form="ifrnet",
        data=("vimeo", "procedural", "video"),
        crop=224,
        batch=24,
        augmentation=_IFRNET_AUGMENTATION,
        middle_only=True,
        groups=(Group(1e-4),),
        schedule=Cosine(1e-5),
        length=Length(epochs=300),
        autocast=True,
        operations=operations,
        cost="4 GPUs, 641 thousand steps",
        notes=(
            "the published teacher is LiteFlowNet; its flows are read from flow/CLIP/flow_t0.flo, flow_t1.flo if there",
        ),
    )
    gopro = replace(
        vimeo,
        name=f"{model}_gopro",
        model=f"{model}_gopro",
        data=("gopro", "procedural", "video"),
        batch=56,
        middle_only=False,
        length=Length(epochs=600),
        operations=operations * 56 / 24,
        cost="4 GPUs, 600 epochs",
        notes=("without distillation, as published",),
    )
    return vimeo, gopro


def _uprnet(size: str, operations: float) -> tuple[Recipe, Recipe]:
    triplets = Recipe(
        name=f"uprnet_{size}",
        model=f"uprnet_{size}",
        form="uprnet",
        data=("vimeo", "procedural", "video"),
        crop=256,
        batch=32,
        augmentation=_UPRNET_AUGMENTATION,
        groups=(Group(2e-4, 1e-4),),
        schedule=Cosine(2e-5, warmup=2000, from_one=True),
        length=Length(steps=800_000),
        options={"levels": 3},
        autocast=True,
        operations=operations,
        cost="4 GPUs, 800 thousand steps",
    )
    any_time = replace(
        triplets,
        name=f"uprnet_{size}_any",
        data=("septuplets", "procedural", "video"),
        notes=("any t from septuplets: in the published code, used by no published command",),
    )
    return triplets, any_time


_BUILTIN = replace(
    _uprnet("base", 0.5)[1],
    name="builtin_uprnet",
    model="builtin",
    data=("septuplets", "vimeo", "procedural", "video"),
    options={"levels": 4, "search": True},
    cost="not published: our model by the recipe of UPR-Net",
    notes=("to fine-tune the packaged model; recipe builtin is how it was made",),
)

PACKAGED = Recipe(
    name="builtin",
    model="builtin",
    form="packaged",
    data=("procedural",),
    crop=128,
    batch=8,
    augmentation=(),
    optimiser="muon",
    betas=(0.9, 0.99),
    groups=(Group(2e-3),),
    schedule=Plateau(100, 0.55),
    length=Length(steps=6000),
    average=Average(0.995),
    autocast=True,
    clip_norm=1.0,
    operations=0.03,
    cost="two cores, 39 thousand steps in 8 hours (four runs, see scripts/train/README.md)",
)
"""How the packaged model is made; its options: `python -m scripts.train builtin --help`."""


def _vfimamba(model: str, *, local: bool, operations: float) -> Recipe:
    return Recipe(
        name=model if local else f"{model}_plain",
        model=model,
        form="vfimamba",
        data=("curriculum", "vimeo", "xtrain", "procedural", "video"),
        crop=256,
        batch=32,
        augmentation=_VFIMAMBA_AUGMENTATION,
        middle_only=True,
        groups=(Group(2e-4, 1e-4),),
        schedule=Cosine(2e-5, warmup=2000),
        length=Length(epochs=300),
        options={"local": local},
        operations=operations,
        cost="not published",
        notes=(
            "the training program is not published: losses and data are those of its siblings EMA-VFI and SGM-VFI",
            "the curriculum of Vimeo90K and X-TRAIN is ours",
            *(() if local else ("without local blocks, whose weights stay as they begin",)),
        ),
    )


_GIMM = Recipe(
    name="gimm",
    model="gimmvfi_r",
    form="gimm",
    data=("flows", "procedural"),
    crop=256,
    batch=64,
    augmentation=(),
    middle_only=True,
    optimiser="adam",
    groups=(Group(1e-4),),
    schedule=Constant(),
    length=Length(epochs=400),
    operations=1.0,
    cost="2 GPUs, 400 epochs",
    notes=("stage 1: the motion module alone; the published flows are FlowFormer's, of unknown weights",),
)


def _gimmvfi(model: str, *, perceptual: bool) -> Recipe:
    return Recipe(
        name=model,
        model=model,
        form="gimmvfi",
        data=("septuplets", "procedural", "video"),
        crop=224,
        batch=32,
        augmentation=_GIMMVFI_AUGMENTATION,
        groups=(Group(8e-5, 4e-5, "amt_"), Group(8e-7, 4e-7)),
        # One epoch of sixty is the warm-up
        schedule=Cosine(8e-6, warmup_share=1 / 60),
        length=Length(epochs=60),
        average=Average(None, buffers=True, first=0),
        perceptual="alex" if perceptual else None,
        start="the published flow estimator and the motion module of recipe gimm",
        operations=45.0,
        cost="8 GPUs, 60 epochs",
        notes=(
            "both groups decay to the same rate of 8e-6, as in the published program",
            "the published list of clips is not available: sep_trainlist.txt is used",
        ),
    )


_LDMVFI = Recipe(
    name="ldmvfi_autoencoder",
    model="ldmvfi",
    form="ldmvfi_autoencoder",
    data=("quintuplets", "septuplets_middle", "procedural"),
    crop=256,
    batch=10,
    augmentation=_LDMVFI_AUGMENTATION,
    middle_only=True,
    optimiser="adam",
    betas=(0.5, 0.9),
    groups=(Group(1e-4),),
    schedule=Constant(),
    length=Length(epochs=70),
    perceptual="vgg",
    operations=4.0,
    cost="1 GPU, about 70 epochs (not confirmed)",
    notes=("LPIPS without the original's dropout, which adds noise to the loss; --exact has it",),
)
_LDMVFI_UNET = replace(
    _LDMVFI,
    name="ldmvfi_unet",
    form="ldmvfi_unet",
    batch=64,
    optimiser="adamw",
    betas=(0.9, 0.999),
    groups=(Group(6.4e-5, 0.01),),
    length=Length(epochs=60),
    average=Average(0.9999),
    perceptual=None,
    start="the auto-encoder of recipe ldmvfi_autoencoder",
    operations=3.0,
    cost="1 GPU, about 60 epochs (not confirmed)",
    notes=(),
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        *_ifrnet("ifrnet_s", 0.4),
        *_ifrnet("ifrnet", 0.7),
        *_ifrnet("ifrnet_l", 2.7),
        *_uprnet("base", 1.9),
        *_uprnet("large", 4.2),
        *_uprnet("llarge", 7.4),
        _BUILTIN,
        PACKAGED,
        _vfimamba("vfimamba_s", local=True, operations=1.7),
        _vfimamba("vfimamba_s", local=False, operations=1.7),
        _vfimamba("vfimamba", local=True, operations=6.5),
        _vfimamba("vfimamba", local=False, operations=6.5),
        _GIMM,
        _gimmvfi("gimmvfi_r", perceptual=False),
        _gimmvfi("gimmvfi_r_p", perceptual=True),
        _gimmvfi("gimmvfi_f", perceptual=False),
        _gimmvfi("gimmvfi_f_p", perceptual=True),
        _LDMVFI,
        _LDMVFI_UNET,
    )
}
