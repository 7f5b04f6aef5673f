"""Take nested values of tensors apart, compare their shapes, and put them together again."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor


@dataclass(frozen=True, slots=True)
class _Node:
    """A container: a tuple, list, dict, named tuple or dataclass."""

    kind: type
    keys: tuple[Hashable, ...]
    parts: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Leaf:
    """The place of a tensor, by its index among the different tensors."""

    index: int


@dataclass(frozen=True, slots=True)
class _Value:
    """Anything else, which must be hashable; 1, 1.0 and True are different."""

    kind: type
    value: Hashable


@dataclass(frozen=True, slots=True)
class Tree:
    """A value without its tensors. Hashable; equal if only tensors differ."""

    root: object

    def join(self, tensors: Sequence[Tensor]) -> Any:
        """Put the value together with these tensors in place of those that it was taken apart from."""
        return _join(self.root, tensors)


def split(value: object) -> tuple[Tree, list[Tensor]]:
    """Take a value apart: its structure, and its tensors. A tensor that occurs several times is listed once."""
    tensors: list[Tensor] = []
    places: dict[int, int] = {}
    return Tree(_split(value, tensors, places)), tensors


def signature_of(tree: Tree, tensors: Sequence[Tensor]) -> Hashable:
    """Return all that a specialised callable may depend on: everything but the contents of the tensors."""
    return (
        tree,
        *((tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device) for tensor in tensors),
    )


def _split(value: object, tensors: list[Tensor], places: dict[int, int]) -> object:
    if isinstance(value, Tensor):
        if id(value) not in places:
            places[id(value)] = len(tensors)
            tensors.append(value)
        return _Leaf(places[id(value)])
    keys: tuple[Hashable, ...] = ()
    parts: tuple[object, ...] = ()
    if isinstance(value, dict):
        keys, parts = tuple(value), tuple(value.values())
    elif isinstance(value, list | tuple):
        parts = tuple(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        keys = tuple(member.name for member in dataclasses.fields(value))
        parts = tuple(getattr(value, cast(str, key)) for key in keys)
    else:
        return _Value(type(value), value)
    return _Node(type(value), keys, tuple(_split(part, tensors, places) for part in parts))


def _join(node: object, tensors: Sequence[Tensor]) -> object:
    if isinstance(node, _Leaf):
        return tensors[node.index]
    if isinstance(node, _Value):
        return node.value
    assert isinstance(node, _Node)
    kind: Any = node.kind
    parts = [_join(part, tensors) for part in node.parts]
    if issubclass(node.kind, dict):
        return kind(zip(node.keys, parts, strict=True))
    if dataclasses.is_dataclass(node.kind):
        return kind(**dict(zip(cast("tuple[str, ...]", node.keys), parts, strict=True)))
    return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
