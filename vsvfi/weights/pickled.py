"""Check what a checkpoint's pickle would build before torch executes its instructions.

torch refuses code, but not malicious data: hashing a key of nested tuples can take forever or overflow the stack,
`bytearray` and lists that are read repeatedly can use unlimited memory and time, and a tensor may extend beyond its
storage. So the instructions are first simulated here, with sizes instead of values.
"""

from __future__ import annotations

import itertools
import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

import torch

_DEEPEST_TUPLE = 32
_MOST_INSTRUCTIONS = 300_000  # a tensor takes about 45
_MOST_WORK = 10_000_000
"""Maximum number of values hashed or read by functions, counting repeated visits."""

_VIEWS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3")
"""Functions that create a tensor from a storage, an offset, a size and strides."""
_PARAMETERS = (
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter",
)
"""Functions that create a parameter from a tensor."""
_TYPED = "torch._tensor._rebuild_from_type_v2"
_PLAIN = {
    "_codecs.encode",
    "collections.Counter",
    "collections.OrderedDict",
    "collections.defaultdict",
    "torch.Size",
    "torch.Tensor",
    "torch.device",
    "torch.serialization._get_layout",
    "builtins.bytearray",
    "builtins.complex",
    "builtins.set",
}
_STORAGE = re.compile(r"torch(?:\.cuda|\.storage)?\.(\w+)Storage")
_ITEM_SIZES = {
    **dict.fromkeys(("Bool", "Byte", "Char", "Untyped", "QInt8", "QUInt8", "QUInt4x2", "QUInt2x4"), 1),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
    **dict.fromkeys(("Float", "Int", "QInt32"), 4),
    **dict.fromkeys(("Double", "Long", "ComplexFloat"), 8),
    "ComplexDouble": 16,
}


class PickleError(Exception):
    """A pickle must not be loaded; the text is the reason. Never leaves `vsvfi.weights`."""


@dataclass(frozen=True, slots=True)
class _Name:
    """A name that the pickle imports."""

    text: str


@dataclass(frozen=True, slots=True)
class _Storage:
    elements: int
    item_size: int


@dataclass(frozen=True, slots=True)
class _Row:
    """A tuple.

    Attributes:
        items: its values.
        size: number of values in it, counting repeated visits.
        depth: nesting depth of tuples.
    """

    items: tuple[object, ...]
    size: int
    depth: int


@dataclass(eq=False, slots=True)
class _Object:
    """A list, a dict, or the result of a function.

    Attributes:
        size: number of values in it.
        is_tensor: whether it is a tensor within its storage.
    """

    size: int = 1
    is_tensor: bool = False


def check_pickle(file: BinaryIO, allowed: Callable[[str], bool], storages: Mapping[str, int] | int) -> set[str]:
    """Simulate one pickle, from the current position of `file` to the pickle's end.

    Args:
        file: contains the pickle.
        allowed: whether a name beyond those of every checkpoint may be imported.
        storages: the bytes of each storage by key, or the maximum bytes of all together.

    Returns:
        The imported names that only `allowed` permits.

    Raises:
        PickleError: the pickle is not one of a checkpoint, or is broken.
    """
    machine = _Machine(allowed, storages)
    try:
        for opcode, argument, _ in itertools.islice(pickletools.genops(file), _MOST_INSTRUCTIONS):
            if opcode.name == "STOP":
                return machine.asked
            machine.follow(opcode.name, argument)
    except PickleError:
        raise
    except Exception as error:  # a broken pickle can raise anything
        raise PickleError(f"it is truncated or altered ({type(error).__name__} in its index of tensors)") from error
    raise PickleError(f"its index of tensors has more than {_MOST_INSTRUCTIONS} instructions")


@dataclass(slots=True)
class _Machine:
    """Simulates the pickle instructions that torch supports."""

    allowed: Callable[[str], bool]
    storages: Mapping[str, int] | int
    asked: set[str] = field(default_factory=set)
    names: dict[object, _Name] = field(default_factory=dict)
    stack: list[object] = field(default_factory=list)
    below: list[list[object]] = field(default_factory=list)
    memo: dict[object, object] = field(default_factory=dict)
    bytes_of: dict[str, int] = field(default_factory=dict)
    reserved: int = 0
    work: int = 0

    def follow(self, name: str, argument: object) -> None:
        stack = self.stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name == "MARK":
            self.below.append(stack)
            self.stack = []
        elif name == "TUPLE":
            items = self._marked()
            self.stack.append(_row(items))
        elif name in _TUPLES:
            stack.append(_row(self._taken(_TUPLES[name])))
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET"):
            stack.append(_Object())
        elif name in ("APPEND", "SETITEM"):
            self._put(self._taken(1 if name == "APPEND" else 2))
        elif name in ("APPENDS", "SETITEMS"):
            self._put(self._marked())
        elif name == "GLOBAL":
            stack.append(self.names.get(argument) or self._name(str(argument)))
        elif name == "BINPERSID":
            stack.append(self._storage(*self._taken(1)))
        elif name in ("REDUCE", "NEWOBJ"):
            function, arguments = self._taken(2)
            self._spend(_size(arguments))
            stack.append(_called(function, arguments))
        elif name == "BUILD":
            (state,) = self._taken(1)
            self._spend(_size(state))
            if not isinstance(stack[-1], _Object) or stack[-1].is_tensor:
                raise PickleError("its index of tensors alters a tensor, which no checkpoint does")
        elif name != "PROTO":
            raise PickleError(f"its index of tensors has the instruction {name}, which no checkpoint has")

    def _taken(self, count: int) -> tuple[object, ...]:
        start = len(self.stack) - count
        if start < 0:
            raise IndexError(count)
        items = tuple(self.stack[start:])
        del self.stack[start:]
        return items

    def _marked(self) -> tuple[object, ...]:
        """Pop the items above the last mark."""
        items = tuple(self.stack)
        self.stack = self.below.pop()
        return items

    def _put(self, items: tuple[object, ...]) -> None:
        """Put items into the list or dict on the stack; keys are hashed."""
        target = self.stack[-1]
        if not isinstance(target, _Object):
            raise TypeError(type(target))
        size = sum(map(_size, items))
        target.size += size
        self._spend(size)

    def _spend(self, work: int) -> None:
        self.work += work
        if self.work > _MOST_WORK:
            raise PickleError("its index of tensors repeats itself more than any checkpoint's")

    def _name(self, argument: str) -> _Name:
        name = argument.replace(" ", ".", 1)
        name = re.sub(r"^__builtin__\.", "builtins.", name)  # as Python 2 calls it, and torch 3
        if not (name in _PLAIN or name in _VIEWS or name in _PARAMETERS or name == _TYPED or _item_size(name)):
            if not self.allowed(name):
                raise PickleError(f"it asks for {name[:120]}, which is no part of a weight file, and was not opened")
            self.asked.add(name)
        self.names[argument] = _Name(name)
        return self.names[argument]

    def _storage(self, identity: object) -> _Storage:
        """The storage that a persistent id means: "storage", type, key, device, elements, and a view in old files."""
        if not isinstance(identity, _Row) or len(identity.items) not in (5, 6):
            raise PickleError("its index of tensors names a storage in no known way")
        _, kind, key, _, given, *view = identity.items
        size = _item_size(kind.text) if isinstance(kind, _Name) else 0
        (elements,) = _counts(given)
        if not size or not isinstance(key, str | bytes):
            raise PickleError("its index of tensors names a storage in no known way")
        self._reserve(key.decode("latin-1") if isinstance(key, bytes) else key, elements * size)
        if view and isinstance(view[0], _Row):
            offset, count = _counts(*view[0].items[1:])
            if offset + count > elements:
                raise PickleError("its index of tensors names a part beyond its storage")
            elements = count
        return _Storage(elements, size)

    def _reserve(self, key: str, needed: int) -> None:
        """Note that a storage takes so many bytes of the file."""
        known = self.bytes_of.get(key)
        if known is None:
            total = self.storages
            held = total - self.reserved if isinstance(total, int) else total.get(key, 0)
            self.bytes_of[key] = known = needed
            self.reserved += needed
        else:
            held = known
        if needed > held or known != needed:
            raise PickleError(f"its storage {key[:80]!r} is to have {needed} bytes, the file has {held} for it")


_VALUES = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING")
_CONSTANTS: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _row(items: tuple[object, ...]) -> _Row:
    depth = size = 1
    for item in items:
        size += _size(item)
        if isinstance(item, _Row):
            depth = max(depth, 1 + item.depth)
    if depth > _DEEPEST_TUPLE or size > _MOST_WORK:
        raise PickleError("its index of tensors has tuples in tuples beyond what any checkpoint has")
    return _Row(items, size, depth)


def _size(item: object) -> int:
    if isinstance(item, (_Row, _Object)):  # a union type would take twice as long, for every value
        return item.size
    return 1 + len(item) // 4 if isinstance(item, str | bytes) else 1


def _item_size(name: str) -> int:
    """Bytes of an element, if this is the name of a type of storages or of numbers."""
    storage = _STORAGE.fullmatch(name)
    if storage is not None:
        return _ITEM_SIZES.get(storage[1], 0)
    kind = getattr(torch, name.removeprefix("torch."), None) if name.startswith("torch.") else None
    return kind.itemsize if isinstance(kind, torch.dtype) else 0


def _called(function: object, arguments: object) -> object:
    """Simulate a function call.

    Raises:
        PickleError: it could use unlimited memory or time, or create a tensor that extends beyond its storage.
    """
    if not isinstance(function, _Name) or not isinstance(arguments, _Row):
        raise PickleError("its index of tensors calls what is no function")
    name, items = function.text, arguments.items
    if name == _TYPED and len(items) >= 3:
        return _called(items[0], items[2])
    if name in _VIEWS:
        _check_view(items, items[6] if name.endswith("_v3") and len(items) > 6 else None)
        return _Object(is_tensor=True)
    if name in _PARAMETERS:
        if not items or not isinstance(items[0], _Object) or not items[0].is_tensor:
            raise PickleError("its index of tensors makes a parameter of what is no tensor")
        return _Object(is_tensor=True)
    if _item_size(name) or name == "torch.Tensor" or (name.endswith("bytearray") and int in map(type, items)):
        raise PickleError(f"its index of tensors calls {name}, which no checkpoint does")
    if name == "torch.Size" and len(items) == 1 and isinstance(items[0], _Row):
        return items[0]
    return _Object(size=arguments.size)


def _check_view(items: tuple[object, ...], dtype: object) -> None:
    """Refuse a tensor that extends beyond its storage; torch would enlarge the storages of old files."""
    storage, _, sizes, strides = items[:4]
    if not isinstance(storage, _Storage) or not isinstance(sizes, _Row) or not isinstance(strides, _Row):
        raise PickleError("its index of tensors makes a tensor of what is no storage")
    offset, *numbers = _counts(items[1], *sizes.items, *strides.items)
    size, steps = numbers[: len(sizes.items)], numbers[len(sizes.items) :]
    if len(size) != len(steps):
        raise PickleError("its index of tensors has a tensor without strides")
    elements = storage.elements
    if isinstance(dtype, _Name) and _item_size(dtype.text):
        elements = elements * storage.item_size // _item_size(dtype.text)
    last = offset + sum((count - 1) * step for count, step in zip(size, steps, strict=True))
    if 0 not in size and last >= elements:
        raise PickleError(f"its index of tensors has a tensor of {last + 1} elements in a storage of {elements}")


def _counts(*values: object) -> list[int]:
    """The values, each of which must be an integer from 0 on."""
    found = [value for value in values if type(value) is int and value >= 0]
    if len(found) < len(values):
        raise PickleError("its index of tensors has a size that is negative or no number")
    return found
