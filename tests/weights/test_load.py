"""Weight files of every container and every kind of damage, and the strict match of keys and shapes."""

from __future__ import annotations

import collections
import errno
import hashlib
import pickle
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from vsvfi.errors import ArgumentError, DamagedWeightsError, ForeignWeightsError
from vsvfi.weights import load
from vsvfi.weights.load import load_state, match_state, verify


def state() -> dict[str, Tensor]:
    return collections.OrderedDict(
        {"encoder.weight": torch.arange(15.0).reshape(5, 3), "encoder.bias": torch.full((5,), 0.5)}
    )


def same(found: dict[str, Tensor]) -> bool:
    return set(found) == set(state()) and all(torch.equal(found[key], value) for key, value in state().items())


def save(content: object, path: Path, container: str) -> bytes:
    """Write a checkpoint; its name does not show the container."""
    if container == "safetensors":
        assert isinstance(content, dict)
        save_file(dict(content), path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=container == "zip")
    return path.read_bytes()


CONTAINERS = pytest.mark.parametrize("container", ["safetensors", "zip", "legacy"])
TORCH = pytest.mark.parametrize("container", ["zip", "legacy"])


@CONTAINERS
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w"])
def test_the_container_is_known_by_its_content(tmp_path: Path, container: str, name: str) -> None:
    content = save(state(), tmp_path / name, container)
    assert content.startswith(b"PK") == (container == "zip")
    assert same(load_state(tmp_path / name))
    assert same(load_state(str(tmp_path / name)))


@CONTAINERS
def test_tensors_do_not_change_with_the_file(tmp_path: Path, container: str) -> None:
    length = len(save(state(), tmp_path / "w", container))
    found = load_state(tmp_path / "w")
    with (tmp_path / "w").open("r+b") as file:
        file.write(bytes(length))
    assert same(found)


@CONTAINERS
def test_a_prefix_that_all_keys_share_is_dropped(tmp_path: Path, container: str) -> None:
    save({f"module.{key}": value for key, value in state().items()}, tmp_path / "w", container)
    assert set(load_state(tmp_path / "w")) == set(state())
    mixed = {"module.a": torch.ones(1), "b": torch.ones(1)}
    save(mixed, tmp_path / "mixed", container)
    assert set(load_state(tmp_path / "mixed")) == set(mixed)


@TORCH
@pytest.mark.parametrize("nest", ["state_dict", "model", "params"])
def test_a_nested_state_dict_is_taken_out(tmp_path: Path, container: str, nest: str) -> None:
    save({"epoch": 3, nest: {"state_dict": state()}, "optimizer": {"lr": 0.1}}, tmp_path / "w", container)
    assert same(load_state(tmp_path / "w"))


def test_a_tensor_called_model_is_a_tensor() -> None:
    assert list(load_state({"model": torch.ones(1)})) == ["model"]


def test_a_state_dict_of_the_users_gets_the_same_treatment() -> None:
    module = torch.nn.Linear(3, 5)
    found = load_state({"state_dict": {f"module.{key}": value for key, value in module.named_parameters()}})  # type: ignore[dict-item]
    assert {key: value.requires_grad for key, value in found.items()} == {"weight": False, "bias": False}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([torch.ones(1)], "it holds a list"),
        (torch.ones(1), "it holds a Tensor"),
        ({}, "it is empty"),
        ({"state_dict": {}}, "it is empty"),
        ({3: torch.ones(1)}, "the key 3 is not a name"),
        ({"weight": torch.ones(1), "epoch": 3}, "'epoch' is a int"),
    ],
)
def test_anything_but_named_tensors_is_refused(tmp_path: Path, content: object, fault: str) -> None:
    path = tmp_path / "w.pth"
    torch.save(content, path)
    with pytest.raises(DamagedWeightsError) as caught:
        load_state(path)
    assert f"weights={str(path)!r}, it is not a checkpoint of named tensors: {fault}; use an intact copy" in str(
        caught.value
    )
    if isinstance(content, dict):
        with pytest.raises(ArgumentError, match="must map names to tensors"):
            load_state(content)


@pytest.mark.parametrize("tensor", [torch.ones(1).to_sparse(), torch.ones(1, device="meta")])
def test_tensors_without_plain_values_are_refused(tensor: Tensor) -> None:
    with pytest.raises(ArgumentError, match="'weight' is not a plain tensor"):
        load_state({"weight": tensor})


def test_a_path_that_is_not_a_file_is_an_argument_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.pth"):
        with pytest.raises(ArgumentError, match="does not exist"):
            load_state(path)


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(state(), tmp_path / "w", "zip")

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(load, "container", refuse)
    with pytest.raises(ArgumentError, match=r"cannot be read \(Permission denied\)"):
        load_state(tmp_path / "w")


@CONTAINERS
def test_every_truncation_is_refused(tmp_path: Path, container: str) -> None:
    content = save(state(), tmp_path / "whole", container)
    path = tmp_path / "part"
    for length in range(0, len(content), 1 + len(content) // 300):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedWeightsError) as caught:
            load_state(path)
        assert repr(str(path)) in str(caught.value)


@CONTAINERS
def test_a_flipped_bit_is_either_refused_or_stays_a_state_dict(tmp_path: Path, container: str) -> None:
    """Without a digest: no crash and no other error for any flipped bit."""
    content = save(state(), tmp_path / "whole", container)
    path = tmp_path / "flipped"
    refused = 0
    for position in range(0, 8 * len(content), 1 + len(content) // 60):
        path.write_bytes(flipped(content, position))
        try:
            assert all(isinstance(value, Tensor) for value in load_state(path).values())
        except DamagedWeightsError:
            refused += 1
    assert refused > 0


@CONTAINERS
def test_every_flipped_bit_is_seen_by_the_digest(tmp_path: Path, container: str) -> None:
    path = tmp_path / "w"
    content = save(state(), path, container)
    sha256 = hashlib.sha256(content).hexdigest()
    assert verify(path, sha256=sha256.upper()).size == len(content)
    for position in range(0, 8 * len(content), 1 + len(content) // 60):
        path.write_bytes(flipped(content, position))
        with pytest.raises(DamagedWeightsError, match="SHA-256"):
            verify(path, sha256=sha256)


def flipped(content: bytes, position: int) -> bytes:
    altered = bytearray(content)
    altered[position // 8] ^= 1 << position % 8
    return bytes(altered)


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, (f"echo ran > '{self.target}'",)


@pytest.mark.parametrize("container", ["zip", "legacy", "bare pickle"])
def test_a_malicious_file_is_refused_and_runs_nothing(tmp_path: Path, container: str) -> None:
    path, target = tmp_path / "w.pth", tmp_path / "ran"
    content = (
        {"encoder.weight": torch.ones(1), "x": Payload(target)}
        if container != "bare pickle"
        else {"x": Payload(target)}
    )
    if container == "bare pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        save(content, path, container)
    with pytest.raises(DamagedWeightsError) as caught:
        load_state(path)
    assert "system, which is no part of a weight file, and was not opened" in str(caught.value)
    assert str(path) in str(caught.value)
    assert not target.exists()
    if container == "bare pickle" and sys.platform != "win32":
        pickle.loads(path.read_bytes())
        assert target.exists()  # the payload is a real one


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html></html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (b"MZ\x90\x00 a program", "neither safetensors nor a torch checkpoint"),
        (b"PK\x03\x04" + bytes(100), "zip file without its end"),
        (b"\x80\x02}q\x00.", "truncated or altered"),
        ((2).to_bytes(8, "little") + b"{]", "header cannot be read"),
        ((20).to_bytes(8, "little") + b"{}", "header ends early"),
        ((10).to_bytes(8, "little") + b'{"a": {} }', "header cannot be read"),
    ],
)
def test_a_foreign_file_is_called_what_it_is(tmp_path: Path, content: bytes, fault: str) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(DamagedWeightsError, match=fault):
        load_state(tmp_path / "w.pth")


def test_a_zip_that_only_pretends_is_refused(tmp_path: Path) -> None:
    """An end record of a zip over several disks, on which the standard library raises instead of saying no."""
    content = bytearray(save(state(), tmp_path / "w", "zip"))
    locator = content.rindex(b"PK\x06\x07")
    content[locator + 16] = 7
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(DamagedWeightsError, match="zip file without its end"):
        load_state(tmp_path / "w")


SHAPES = {key: tuple(value.shape) for key, value in state().items()}


def match(found: dict[str, Tensor], **how: object) -> dict[str, Tensor]:
    return match_state(found, SHAPES, origin="w.pth", model="toy", **how)  # type: ignore[arg-type]


def test_a_matching_state_comes_back_in_the_expected_order() -> None:
    found = match(dict(reversed(state().items())))
    assert same(found)
    assert list(found) == list(SHAPES)
    assert same(match_state(state(), {key: value.shape for key, value in state().items()}, origin="w.pth", model="toy"))


def test_missing_unexpected_and_misshapen_tensors_are_all_named() -> None:
    found = {"encoder.bias": torch.ones(5, 1), **{f"head.{index}": torch.ones(2) for index in range(5)}}
    with pytest.raises(ForeignWeightsError) as caught:
        match(found)
    assert str(caught.value).startswith("weights='w.pth', this is not a checkpoint of 'toy': ")
    assert "1 of 2 missing: 'encoder.weight' [5, 3]; " in str(caught.value)
    assert "5 of 6 unexpected: 'head.0' [2], 'head.1' [2], 'head.2' [2], ...; " in str(caught.value)
    assert "1 of 2 of another shape: 'encoder.bias' is [5, 1], must be [5]" in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value: float) -> None:
    found = state()
    found["encoder.weight"][4, 2] = value
    with pytest.raises(ForeignWeightsError, match=r"1 of 2 not finite \(NaN or infinity\): 'encoder.weight'"):
        match(found)


def test_published_keys_are_renamed_and_ignored() -> None:
    found = {
        "net.enc.w": state()["encoder.weight"],
        "net.bias": state()["encoder.bias"],
        "loss.net.bias": torch.ones(9),
    }
    assert same(match(found, ignored=(r"loss\.", "step"), renamed={"net.": "encoder.", "net.enc.w": "encoder.weight"}))
    with pytest.raises(ForeignWeightsError, match=r"unexpected: 'loss\.net\.bias'"):
        match(found, renamed={"net.": "encoder.", "net.enc.w": "encoder.weight"})


def test_two_keys_for_one_tensor_are_refused() -> None:
    with pytest.raises(ForeignWeightsError, match=r"there twice: 'encoder.bias' \(again as 'old.bias'\)"):
        match({**state(), "old.bias": torch.ones(5)}, renamed={"old.": "encoder."})


def framework(path: Path, *, nested: object = None) -> None:
    """Write a checkpoint like PyTorch Lightning's, with classes that are not importable when it is read.

    They are those of its callbacks and settings.
    """
    names = {"pytorch_lightning.callbacks": "ModelCheckpoint", "omegaconf.dictconfig": "DictConfig"}
    modules = {part: ModuleType(part) for module in names for part in (module.partition(".")[0], module)}
    made = {name: type(name, (), {"__module__": module}) for module, name in names.items()}
    for module, name in names.items():
        setattr(modules[module], name, made[name])
    settings = made["DictConfig"]()
    vars(settings)["content"] = collections.defaultdict(dict, {"lr": 1e-6})
    content = {
        "epoch": 3,
        "callbacks": {made["ModelCheckpoint"]: {"best": 0.1}},
        "hyper_parameters": settings,
        "state_dict": state(),
        "nested": nested,
    }
    with pytest.MonkeyPatch.context() as patch:
        for part, module_made in modules.items():
            patch.setitem(sys.modules, part, module_made)
        torch.save(content, path)


@pytest.mark.parametrize("mapped", [False, True])
def test_what_a_training_framework_keeps_beside_the_weights_is_passed_over(tmp_path: Path, mapped: bool) -> None:
    framework(tmp_path / "w.ckpt")
    before, allowed = set(sys.modules), set(torch.serialization.get_safe_globals())
    assert same(load_state(tmp_path / "w.ckpt", mapped=mapped))
    assert not {name for name in set(sys.modules) - before if "lightning" in name or "omegaconf" in name}
    assert set(torch.serialization.get_safe_globals()) == allowed


@pytest.mark.parametrize("mapped", [False, True])
def test_beside_it_nothing_else_is_let_in(tmp_path: Path, mapped: bool) -> None:
    framework(tmp_path / "w.ckpt", nested=shutil.rmtree)
    with pytest.raises(DamagedWeightsError, match=r"asks for shutil\.rmtree, which is no part of a weight file"):
        load_state(tmp_path / "w.ckpt", mapped=mapped)


@CONTAINERS
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_mapped_tensors_are_the_same(tmp_path: Path, container: str, name: str) -> None:
    save(state(), tmp_path / name, container)
    assert same(load_state(tmp_path / name, mapped=True))
