"""Files that RIFE's names accept: three key spellings and neighbouring versions; others are refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import vsvfi
from tests.building import EXACT, build_config, loaded
from tests.models import nearness
from tests.models.rife.pieces import NEIGHBOURS, OWN, UNSUPPORTED, network_of
from tests.weights.ncnn_files import write
from vsvfi.errors import ArgumentError, ForeignWeightsError
from vsvfi.models.registry import find
from vsvfi.models.rife.network import IFNet
from vsvfi.models.rife.spec import FAMILY, V46, V425, VARIANTS, Version

LEFTOVERS = (
    "block_tea.conv0.0.0.weight",
    "contextnet.conv1.weight",
    "unet.down0.weight",
    "teacher.x",
    "caltime.0.weight",
)


def state_of(version: Version) -> dict[str, Tensor]:
    return network_of(version).state_dict()


def module_spelling(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{key}": tensor for key, tensor in state.items()}


def blocks_spelling(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"blocks.{key[5:]}" if key.startswith("block") else key: tensor for key, tensor in state.items()}


def test_the_number_of_weights_of_a_neighbour() -> None:
    (heavy,) = (version for version in NEIGHBOURS if version.name == "4.25.heavy")
    assert sum(tensor.numel() for tensor in state_of(heavy).values()) == 21_663_528


@pytest.mark.parametrize("variant", [variant.name for variant in VARIANTS])
def test_three_spellings_of_the_keys(variant: str) -> None:
    state = state_of(OWN[variant if variant in OWN else "rife425"])
    for spelled in (state, module_spelling(state), blocks_spelling(state)):
        found = loaded(variant, spelled).state
        assert found.keys() == state.keys()
        assert all(torch.equal(found[key], tensor) for key, tensor in state.items())


def test_leftovers_of_the_training_are_ignored() -> None:
    state = state_of(V46)
    spoilt = {**state, **{key: torch.ones(1) for key in LEFTOVERS}}
    for spelled in (
        spoilt,
        module_spelling(spoilt),
        {**module_spelling(state), "block0.conv0.0.0.bias": torch.ones(1), "epoch": torch.ones(1)},
    ):
        assert loaded("rife46", spelled).state.keys() == state.keys()
    with pytest.raises(ForeignWeightsError, match=r"unexpected: 'blocked\.weight'"):
        loaded("rife46", {**state, "blocked.weight": torch.ones(1)})
    with pytest.raises(ForeignWeightsError, match=r"missing: 'block2\.convblock\.3\.beta'"):
        loaded("rife46", {key: tensor for key, tensor in state.items() if key != "block2.convblock.3.beta"})


@pytest.mark.parametrize("version", NEIGHBOURS, ids=lambda version: version.name)
def test_a_neighbouring_version_is_read_off_its_shapes(version: Version, tmp_path: Path) -> None:
    state = state_of(version)
    save_file(module_spelling(state), tmp_path / "flownet.safetensors")
    model = loaded("rife", tmp_path / "flownet.safetensors")
    assert model.variant.config == version.config
    assert model.variant.note == f"RIFE {version.name}"
    build = build_config(model, 64, 64)
    assert build.size_rule.multiple == version.multiple
    network = model.network(build, EXACT)
    images = torch.rand(2, 1, 3, version.multiple, version.multiple)
    expected = network_of(version)
    expected.prepare_operators()
    t = torch.tensor([0.5])
    assert nearness.relatively_within(1e-4)(network(*images, t), expected(*images, t))


def test_a_head_whose_layers_are_numbered() -> None:
    """4.10 to 4.12 count the activations in their layer numbers."""
    (version,) = (version for version in NEIGHBOURS if version.name.startswith("4.10"))
    state = state_of(version)
    numbered = {
        f"encode.{2 * int(key[10])}{key[11:]}" if key.startswith("encode.cnn") else key: tensor
        for key, tensor in state.items()
    }
    assert {key.rpartition(".")[0] for key in numbered if key.startswith("encode")} == {
        "encode.0",
        "encode.2",
        "encode.4",
        "encode.6",
    }
    found = loaded("rife46", numbered).state
    assert all(torch.equal(found[key], tensor) for key, tensor in state.items())


@pytest.mark.parametrize("version", UNSUPPORTED, ids=lambda version: version.name)
def test_versions_whose_scale_list_nothing_says_are_refused_by_name(version: Version) -> None:
    state = state_of(replace(version, steps=(8, 4, 2, 1), outputs=version.outputs or 52))
    with pytest.raises(
        ForeignWeightsError, match=rf"RIFE {version.name} is not supported: neither its scale list nor its mask rule"
    ):
        loaded("rife", state)


def test_weights_of_another_name_are_refused_by_it() -> None:
    with pytest.raises(
        ForeignWeightsError, match="these are the weights of model=rife46, and have to be used by that name"
    ):
        loaded("rife", state_of(V46))
    with pytest.raises(ForeignWeightsError, match="these are the weights of model=rife425 or rife426"):
        loaded("rife40", state_of(V425))
    assert loaded("rife426", state_of(V425)).variant.name == "rife426"


def test_networks_of_no_version_are_refused_with_what_was_seen() -> None:
    odd = replace(V46, widths=(64, 64, 64, 64))
    with pytest.raises(
        ForeignWeightsError,
        match=r"no known version of RIFE has widths=\(64, 64, 64, 64\), head=None.*scale list and mask rule cannot",
    ):
        loaded("rife46", state_of(odd))
    with pytest.raises(ForeignWeightsError, match="missing"):
        loaded("rife46", {"block0.conv0.0.0.weight": torch.ones(96, 7, 3, 3)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"ensemble": True},
            r"options\['ensemble'\]=True, RIFE 4.25 and 4.26 has none: 4.0 to 4.20 and 4.24 have; leave it out, or use "
            r"rife46 or rife40",
        ),
        ({"ensemble": 1}, r"options\['ensemble'\]=1, must be True or False"),
        ({"padding": "white"}, r"options\['padding'\]='white', must be 'black' or 'replicate'"),
    ],
)
def test_options_are_checked(options: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        vsvfi.load_model("rife425", weights=state_of(V425), device="cpu", precision="fp32", options=options)


def test_padding_is_what_was_asked_for() -> None:
    state = state_of(V46)
    images = torch.rand(2, 3, 40, 40)
    black = vsvfi.load_model("rife46", weights=state, device="cpu", precision="fp32")(*images)
    replicated = vsvfi.load_model(
        "rife46", weights=state, device="cpu", precision="fp32", options={"padding": "replicate"}
    )(*images)
    assert not torch.allclose(black, replicated, atol=1e-3)
    whole = torch.nn.functional.pad(images, (0, 24, 0, 24), mode="replicate")
    assert torch.allclose(
        vsvfi.load_model("rife46", weights=state, device="cpu", precision="fp32")(*whole)[:, :40, :40],
        replicated,
        atol=1e-6,
    )


def test_the_short_name_is_the_recommended_one() -> None:
    short, long = find("rife")[1], find("rife425")[1]
    assert (short.config, short.sources) == (long.config, long.sources)
    assert all(variant.licence.startswith("MIT") for variant in VARIANTS)
    assert {float(scale) for scale in FAMILY.scales or ()} == {0.25, 0.5, 1, 2, 4}


def test_auto_takes_bfloat16_only_where_trained_weights_were_measured() -> None:
    assert {variant.name for variant in VARIANTS if variant.bfloat} == {"rife40"}


def test_every_version_is_told_from_the_others() -> None:
    """Versions are recognised by shapes only, so no two known versions may share them."""
    known = [*dict.fromkeys(OWN.values()), *NEIGHBOURS, *UNSUPPORTED]
    layouts = [(v.widths, v.head, v.plain, v.residual, v.groups, v.outputs) for v in known]
    assert len(set(layouts)) == len(layouts)
    assert isinstance(network_of(V46), IFNet)


def ncnn_layers(state: dict[str, Tensor]) -> list[tuple[str, Tensor, Tensor | None]]:
    """Return layers as the converter writes 4.6 and 4.0: factors merged, in the order of execution."""
    layers: list[tuple[str, Tensor, Tensor | None]] = []
    for key, tensor in state.items():
        if not key.endswith(".weight") or tensor.dim() == 1:
            continue
        name = key.removesuffix(".weight")
        factor = state.get(f"{name.removesuffix('.conv')}.beta", torch.ones(1)).reshape(-1, 1, 1, 1)
        kind = "Deconvolution" if "lastconv" in name else "Convolution"
        layers.append((kind, tensor * factor, state[f"{name}.bias"] * factor.flatten()))
        slopes = state.get(f"{name[:-1]}1.weight")
        if slopes is not None and slopes.dim() == 1:
            layers.append(("PReLU", slopes, None))
    return layers


@pytest.mark.parametrize(("variant", "count"), [("rife46", 44), ("rife40", 84)])
def test_an_ncnn_model_gives_the_same_images(variant: str, count: int, tmp_path: Path) -> None:
    state = state_of(OWN[variant])
    layers = ncnn_layers(state)
    assert len(layers) == count
    folder = write(tmp_path / "model", layers)
    images = torch.rand(2, 3, 64, 64)
    expected = vsvfi.load_model(variant, weights=state, device="cpu", precision="fp32")(*images)
    assert nearness.relatively_within(1e-4)(
        vsvfi.load_model(variant, weights=folder, device="cpu", precision="fp32")(*images), expected
    )
    with pytest.raises(ForeignWeightsError, match=f"these are the weights of model={variant}"):
        loaded("rife425", folder)


def test_the_size_of_a_converted_46(tmp_path: Path) -> None:
    """In half precision it has as many bytes as the published file."""
    folder = write(tmp_path / "model", ncnn_layers(state_of(V46)), half=True)
    assert (folder / "flownet.bin").stat().st_size == 10_614_320


def test_an_ncnn_model_of_another_network_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", ncnn_layers(state_of(V46))[:-3])
    with pytest.raises(ForeignWeightsError):
        loaded("rife46", folder)
    with pytest.raises(ForeignWeightsError):
        loaded("ifrnet_s", write(tmp_path / "other", ncnn_layers(state_of(V46))))
