"""ncnn models in both types of numbers, and every kind of damage refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.weights.ncnn_files import of_float16, write
from vsvfi.errors import ArgumentError, DamagedWeightsError
from vsvfi.options import parse_weights
from vsvfi.weights.load import load_state
from vsvfi.weights.ncnn import read_model

LAYERS: list[tuple[str, Tensor, Tensor | None]] = [
    ("Convolution", torch.randn(5, 3, 3, 3), torch.randn(5)),
    ("PReLU", torch.randn(5), None),
    ("Convolution", torch.randn(3, 5, 3, 3), None),
    ("Deconvolution", torch.randn(3, 7, 4, 4), torch.randn(7)),
]


@pytest.mark.parametrize("half", [False, True])
def test_every_tensor_comes_back_in_order(tmp_path: Path, half: bool) -> None:
    folder = write(tmp_path / "model", LAYERS, half=half)
    for path in (folder, folder / "flownet.param", folder / "flownet.bin"):
        state = load_state(path)
        assert [key.split(".")[2] for key in state] == [
            "Convolution",
            "Convolution",
            "PReLU",
            "Convolution",
            "Deconvolution",
            "Deconvolution",
        ]
        expected = [tensor for kind, weight, bias in LAYERS for tensor in (weight, bias) if tensor is not None]
        for found, tensor in zip(state.values(), expected, strict=True):
            rounded = half and tensor.dim() == 4
            assert torch.equal(found, torch.from_numpy(of_float16(tensor)) if rounded else tensor)


def test_the_argument_takes_a_folder_with_a_model(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", LAYERS)
    assert parse_weights(folder) == folder
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArgumentError, match="is not a file"):
        parse_weights(tmp_path / "empty")


def test_a_checkpoint_called_bin_is_still_one(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "weights.bin")
    assert list(load_state(tmp_path / "weights.bin")) == ["a"]


def test_which_files_are_meant(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", LAYERS)
    write(folder, LAYERS, name="other")
    with pytest.raises(ArgumentError, match=r"is a folder with 2 \.param files; pass the path of one of them"):
        load_state(folder)
    (folder / "other.bin").unlink()
    with pytest.raises(ArgumentError, match=r"has no other\.bin in its folder"):
        load_state(folder / "other.param")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("7767517", "7767518", "it does not begin with 7767517"),
        ("Convolution layer_0 1 1", "Convolution layer_0 one 1", "line 4 is no layer"),
        (
            "Convolution layer_0 1 1 a b 0=5",
            "InnerProduct layer_0 1 1 a b 0=5",
            "layer 'layer_0' is a InnerProduct, which no supported model has",
        ),
        ("0=5 1=3 3=2 4=1 5=1 6=135", "0=0 1=3 3=2 4=1 5=1 6=135", "has 0=0, must be a positive number"),
        ("6=135", "6=136", "has 136 weights, must be a multiple of 5 x 3 x 3"),
        ("6=135", "6=45", "is|holds"),
    ],
)
def test_a_text_that_is_wrong(tmp_path: Path, old: str, new: str, fault: str) -> None:
    folder = write(tmp_path / "model", LAYERS)
    path = folder / "flownet.param"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DamagedWeightsError, match=fault):
        load_state(folder)


def test_a_text_without_layers(tmp_path: Path) -> None:
    (tmp_path / "a.param").write_text("7767517\n1 1\n\nInput in0 0 1 in0\n")
    (tmp_path / "a.bin").touch()
    with pytest.raises(DamagedWeightsError, match="it names no layer with weights"):
        load_state(tmp_path / "a.param")


def test_values_that_are_wrong(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", LAYERS)
    path = folder / "flownet.bin"
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedWeightsError, match="it ends inside the values of layer"):
            load_state(folder)
    path.write_bytes(whole + bytes(4))
    with pytest.raises(DamagedWeightsError, match=rf"it has {len(whole) + 4} bytes, its \.param asks for {len(whole)}"):
        load_state(folder)
    for flag, fault in (
        (0x000D4B38, "holds 8-bit integers, must be"),
        (0x12345678, r"an unknown kind \(flag 0x12345678\)"),
    ):
        path.write_bytes(flag.to_bytes(4, "little") + whole[4:])
        with pytest.raises(DamagedWeightsError, match=fault):
            load_state(folder)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="cannot be read"):
        read_model(tmp_path / "no.param", tmp_path / "no.bin")


@pytest.mark.parametrize("suffix", [".param", ".bin"])
def test_files_beyond_any_model_are_not_read(tmp_path: Path, suffix: str) -> None:
    folder = write(tmp_path / "model", LAYERS)
    os.truncate(folder / f"flownet{suffix}", 1 << 40)  # takes no room on the disk
    with pytest.raises(DamagedWeightsError, match=r"it has 1099511627776 bytes, a file of an ncnn model has at most"):
        load_state(folder)


def test_numbers_and_names_of_any_length_are_refused_in_short(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", LAYERS)
    text = (folder / "flownet.param").read_text()
    lines = text.splitlines()
    words = lines[3].split()
    for index, word in ((-1, f"0={'9' * 5000}"), (-1, f"{'9' * 5000}=1"), (1, "x" * 10**6)):
        altered = [*words[:index], word, *(words[index + 1 :] if index >= 0 else [])]
        (folder / "flownet.param").write_text("\n".join([*lines[:3], " ".join(altered), *lines[4:]]))
        (folder / "flownet.bin").write_bytes(b"")
        with pytest.raises(DamagedWeightsError) as caught:
            load_state(folder)
        assert len(str(caught.value)) < 600
