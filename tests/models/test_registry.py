"""Families are found by their folders, a broken one is never skipped, and adding one changes nothing else."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

import vsvfi
import vsvfi.models
from tests.building import loaded
from tests.fakes import SPEC, Recorder
from tests.test_errors import Hostile
from vsvfi.errors import ArgumentError, ForeignWeightsError, ModelSpecError, UnknownModelError
from vsvfi.models.family import Family, SizeRule, common_scale
from vsvfi.models.interpolator import Interpolator, broadcast_times, tensor_bytes
from vsvfi.models.registry import check_options, families, find, model_names

PUBLISHED = ["ifrnet_s", "ifrnet_s_gopro", "ifrnet", "ifrnet_gopro", "ifrnet_l", "ifrnet_l_gopro"]


def test_the_published_names() -> None:
    assert set(PUBLISHED) <= set(model_names())
    for family in families():
        for variant in family.variants:
            assert variant.sources, variant.name
            assert variant.licence, variant.name
            assert variant.note, variant.name


def test_unknown_names_get_near_ones() -> None:
    with pytest.raises(UnknownModelError, match=r"model='ifrnett', is not a known model; did you mean ifrnet"):
        find("ifrnett")
    with pytest.raises(UnknownModelError, match=r"known models: .*ifrnet_s"):
        find("zzzzzz")


def test_a_new_folder_is_a_new_family(fake_family: Recorder) -> None:
    assert {"fake", "fake_half"} <= set(model_names())
    model = vsvfi.load_model("fake", weights=fake_family.weights, device="cpu")
    first, second = torch.rand(2, 3, 9, 13)
    assert torch.allclose(model(first, second, 0.25), 0.75 * first + 0.25 * second)
    assert "fake" in {info.name for info in vsvfi.list_models()}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    vsvfi.models.__path__.append(str(tmp_path))
    importlib.invalidate_caches()
    yield tmp_path
    vsvfi.models.__path__.remove(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "spec", "fault"),
    [
        ("broken_a", "raise RuntimeError('oh')", r"models.broken_a.spec: cannot be read \(RuntimeError: oh\)"),
        ("broken_b", "x = 1", "models.broken_b.spec: cannot be read .*FAMILY"),
        ("broken_c", "FAMILY = 3", "models.broken_c.spec: FAMILY is a int, must be"),
        ("broken_d", SPEC, r"models.broken_d.spec: FAMILY.name='fake', must be the name of its folder"),
        (
            "broken_e",
            SPEC.replace('name="fake",\n    title', 'name="broken_e",\n    title').replace(
                'Variant(name="fake",', 'Variant(name="ifrnet",'
            ),
            "the model name 'ifrnet' is already used by the family",
        ),
    ],
)
def test_a_broken_spec_raises(folder: Path, name: str, spec: str, fault: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    (folder / name / "spec.py").write_text(spec)
    with pytest.raises(ModelSpecError, match=fault):
        families()


@pytest.mark.parametrize(
    ("name", "network", "fault"),
    [
        ("lost_a", "vsvfi.models.lost_a.network:Net", "cannot be imported"),
        ("lost_b", "torch.nn:Identity", "is not an Interpolator"),
    ],
)
def test_a_network_that_is_none_raises(folder: Path, name: str, network: str, fault: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    spec = (
        SPEC.replace('name="fake",\n    title', f'name="{name}",\n    title')
        .replace('name="fake', f'name="{name}')
        .replace("vsvfi.models.fake.network:Blend", network)
    )
    (folder / name / "spec.py").write_text(spec)
    with pytest.raises(ModelSpecError, match=fault):
        loaded(name, {"gain": torch.ones(1)})


def test_state_dicts_must_fit() -> None:
    with pytest.raises(
        ForeignWeightsError, match=r"weights='the given state dict', this is not a checkpoint of 'ifrnet_s'"
    ):
        vsvfi.load_model("ifrnet_s", weights={"a": torch.zeros(1)}, device="cpu")


def test_state_dicts_of_wrapped_networks_are_unwrapped(fake_family: Recorder) -> None:
    model = vsvfi.load_model("fake", weights={"module.gain": torch.full((1,), 0.5)}, device="cpu")
    assert torch.allclose(model(torch.ones(3, 8, 8), torch.ones(3, 8, 8)), torch.full((3, 8, 8), 0.5))


def test_sizes_and_padding() -> None:
    rule = SizeRule(16)
    assert [rule.divisors(scale)[0] for scale in map(Fraction, ("1", "1/2", "1/4", "4/5", "2"))] == [16, 32, 64, 20, 8]
    assert rule.padding(133, 91, Fraction(1)) == (5, 6, 2, 3)
    assert SizeRule(16, centred=False).padding(133, 91, Fraction(1)) == (0, 11, 0, 5)
    assert SizeRule((8, 32), minimum=64).padding(66, 10, Fraction(1)) == (3, 3, 27, 27)
    assert [common_scale(*size) for size in ((1920, 1080), (1080, 1920), (3840, 2160), (7680, 4320))] == [
        1,
        1,
        Fraction(1, 2),
        Fraction(1, 4),
    ]


def test_bytes_are_counted_once_per_storage() -> None:
    shared = torch.zeros(10)
    assert tensor_bytes((shared, shared[2:], {"a": [torch.zeros(3)]}, SizeRule(8))) == 52


def test_times_are_broadcast() -> None:
    assert broadcast_times(0.25, 3, torch.empty(0)).tolist() == [0.25] * 3
    assert broadcast_times(torch.tensor([0.5, 1.0]), 2, torch.empty(0)).tolist() == [0.5, 1.0]


def test_phases_are_abstract() -> None:
    with pytest.raises(TypeError):
        Interpolator()  # type: ignore[abstract]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda model: model(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 9)),
            r"second=\(2, 3, 8, 9\), must have the shape of first",
        ),
        (
            lambda model: model(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 3, 8, 8)),
            r"first=\(1, 3, 8, 8\), must be a floating-point tensor",
        ),
        (lambda model: model("a", "b"), "first='str', must be a floating-point tensor"),
        (
            lambda model: model(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), 1.5),
            r"t=1\.5, must be one time in \[0, 1\]",
        ),
        (lambda model: model(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), "half"), "t='half', must be a number"),
        (lambda model: model(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), torch.rand(3)), r"t=.*or 2 of them"),
        (
            lambda model: model(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), 0.5, noise=torch.rand(1)),
            "noise=<Tensor>, Fake has no such input",
        ),
    ],
)
def test_calls_of_a_model_are_checked(fake_family: Recorder, call: object, message: str) -> None:
    model = vsvfi.load_model("fake", weights=fake_family.weights, device="cpu")
    with pytest.raises(ArgumentError, match=message):
        call(model)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": 3}, "name=3, must be the name of a model"),
        ({"device": ["cpu", "cuda"]}, "must be one device for a Model"),
        ({"precision": "fp16"}, "is slow and incomplete on the CPU"),
        ({"scale": Fraction(1, 3)}, "is not a scale that Fake supports"),
        ({"options": {"x": 1}}, "Fake has no option 'x'"),
    ],
)
def test_load_model_checks_its_arguments(fake_family: Recorder, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        vsvfi.load_model(**{"name": "fake", "device": "cpu", "weights": fake_family.weights, **arguments})  # type: ignore[arg-type]


def test_families_with_a_set_up_of_their_own() -> None:
    family: Family = find("ifrnet")[0]
    assert family.build_config(640, 360, Fraction(1, 2), {}).arguments == {}


def test_building_draws_no_random_numbers_and_keeps_the_given_weights(fake_family: Recorder) -> None:
    state = {"gain": torch.full((1,), 0.5)}
    before = torch.random.get_rng_state()
    model = vsvfi.load_model("fake", weights=state, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    state["gain"].fill_(7)
    assert torch.allclose(model(torch.ones(3, 8, 8), torch.ones(3, 8, 8)), torch.full((3, 8, 8), 0.5))


@pytest.mark.parametrize(
    ("model", "name"),
    [(variant.name, name) for family in families() for variant in family.variants[:1] for name in family.options],
)
def test_options_of_any_type_are_taken_or_refused_by_name(model: str, name: str) -> None:
    family, _ = find(model)
    for value in (
        Hostile(),
        10**5000,
        -(10**5000),
        np.ones(3),
        torch.ones(3),
        "x" * 10**6,
        float("nan"),
        [],
        {},
        1.0,
        2.0,
        None,
        b"x",
    ):
        try:
            build = family.build_config(256, 256, family.default_scale(256, 256), check_options(family, {name: value}))
        except ArgumentError as error:
            reason = str(error)
        else:
            reason = f"options['{name}']={build.scale}"
        assert reason.startswith(f"options['{name}']=")
        assert len(reason) < 500


def test_an_unknown_option_of_a_million_letters_is_named_in_short() -> None:
    family, _ = find("builtin")
    with pytest.raises(ArgumentError, match="has no option") as caught:
        check_options(family, {"x" * 10**6: Hostile()})
    assert len(str(caught.value)) < 600
