"""State dicts of a user's: every kind of tensor and of mapping is either read or refused by name."""

from __future__ import annotations

import collections
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vsvfi
from tests.fakes import Recorder
from tests.test_errors import Hostile
from vsvfi.errors import ArgumentError, ForeignWeightsError, VsvfiError
from vsvfi.weights.load import load_state, match_state


class Subclass(Tensor):
    """Adds nothing but methods that raise."""

    @classmethod
    def __torch_function__(cls, *arguments: Any, **named: Any) -> Any:
        raise RuntimeError("hostile")


class Raising(Mapping[str, object]):
    def __init__(self, method: str) -> None:
        self.method = method

    def _reach(self, method: str) -> None:
        if method == self.method:
            raise RuntimeError("hostile")

    def __getitem__(self, key: str) -> object:
        self._reach("getitem")
        return torch.ones(1)

    def __iter__(self) -> Iterator[str]:
        self._reach("iter")
        return iter(["gain"])

    def __len__(self) -> int:
        self._reach("len")
        return 1


class Endless(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        if key in ("state_dict", "model", "params"):
            raise KeyError(key)
        return torch.ones(1)

    def __iter__(self) -> Iterator[str]:
        index = 0
        while True:
            index += 1
            yield str(index)

    def __len__(self) -> int:
        return 1


def without_storage() -> Tensor:
    tensor = torch.ones(5)
    tensor.untyped_storage().resize_(0)
    return tensor


def nested() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])


def jagged() -> Tensor:
    return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)


def quantised() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(1), 0.1, 0, torch.qint8)


REFUSED = {
    "sparse": lambda: torch.ones(1).to_sparse(),
    "meta": lambda: torch.ones(1, device="meta"),
    "complex": lambda: torch.ones(1, dtype=torch.complex64),
    "bool": lambda: torch.ones(1, dtype=torch.bool),
    "quantised": quantised,
    "nested": nested,
    "jagged": jagged,
    "without storage": without_storage,
    "array": lambda: torch.ones(1).numpy(),
    "hostile": Hostile,
    "list": lambda: [1.0],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_a_plain_tensor_is_refused_by_name(kind: str) -> None:
    with pytest.raises(ArgumentError, match=r"weights='dict', must map names to tensors, but 'gain' (is|has) "):
        load_state({"gain": REFUSED[kind]()})


READ = {
    "parameter": lambda: nn.Parameter(torch.ones(1)),
    "requires grad": lambda: torch.ones(1, requires_grad=True) * 1,
    "expanded": lambda: torch.ones(1).expand(1),
    "overlapping": lambda: torch.ones(3).as_strided((1,), (0,), 2),
    "subclass": lambda: torch.ones(1).as_subclass(Subclass),
    "double": lambda: torch.ones(1, dtype=torch.float64),
    "half": lambda: torch.ones(1, dtype=torch.float16),
    "float8": lambda: torch.ones(1).to(torch.float8_e4m3fn),
    "inference": lambda: _inference(),
    "negative": lambda: torch._neg_view(-torch.ones(1)),
}


def _inference() -> Tensor:
    with torch.inference_mode():
        return torch.ones(1)


@pytest.mark.parametrize("kind", READ)
def test_tensors_of_numbers_are_read_whatever_they_are(fake_family: Recorder, kind: str) -> None:
    model = vsvfi.load_model("fake", weights={"gain": READ[kind]()}, device="cpu")
    image = torch.full((3, 16, 16), 0.5)
    assert torch.equal(model(image, image), image)


@pytest.mark.parametrize(
    ("tensor", "fault"),
    [
        (torch.ones(1, dtype=torch.int64), "1 of 1 of another type: 'gain' is int64, must be float32"),
        (torch.ones(1, dtype=torch.uint8), "of another type"),
        (torch.full((1,), 1e300, dtype=torch.float64), "not finite"),
        (torch.ones(1).expand(10**6, 10**6), "of another shape"),
    ],
)
def test_weights_that_float32_cannot_hold_are_refused(fake_family: Recorder, tensor: Tensor, fault: str) -> None:
    with pytest.raises(ForeignWeightsError, match=fault):
        vsvfi.load_model("fake", weights={"gain": tensor}, device="cpu")


def test_numbers_where_integers_belong_are_refused() -> None:
    with pytest.raises(ForeignWeightsError, match="'a' is float32, must be int64"):
        match_state({"a": torch.ones(1)}, {"a": [1]}, origin="w", model="m", dtypes={"a": torch.int64})


def test_a_state_dict_inside_itself_is_refused() -> None:
    state: dict[str, object] = {"gain": torch.ones(1)}
    state["model"] = state
    with pytest.raises(ArgumentError, match="dicts are nested more than 8 deep in it, or in themselves"):
        load_state(state)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["getitem", "iter"])
def test_a_mapping_that_raises_is_refused(method: str) -> None:
    with pytest.raises(
        ArgumentError, match=r"weights='Raising', must map names to tensors, but it cannot be read \(RuntimeError\)"
    ):
        load_state(Raising(method))  # type: ignore[arg-type]


def test_a_mapping_without_end_is_refused() -> None:
    with pytest.raises(ArgumentError, match="it has more than 100000 entries"):
        load_state(Endless())  # type: ignore[arg-type]


def test_keys_of_any_length_are_named_in_short() -> None:
    for state in ({"x" * 10**6: 1}, {("x" * 10**6,): torch.ones(1)}, {Text("gain"): 1}):
        with pytest.raises(ArgumentError) as caught:
            load_state(state)  # type: ignore[arg-type]
        assert len(str(caught.value)) < 400
    with pytest.raises(VsvfiError) as foreign:
        match_state({"x" * 10**6: torch.ones(1)}, {"a": [1]}, origin="w", model="m")
    assert len(str(foreign.value)) < 600


class Text(str):
    __slots__ = ()

    def __repr__(self) -> str:
        raise RuntimeError("hostile")


def test_looking_for_nested_dicts_adds_nothing_to_a_defaultdict() -> None:
    state: collections.defaultdict[str, Any] = collections.defaultdict(dict, gain=torch.ones(1))
    assert set(load_state(state)) == {"gain"}
    assert set(state) == {"gain"}
