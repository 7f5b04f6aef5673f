"""Pickles that hold data alone, and harm whoever follows them: refused by what they would build."""

from __future__ import annotations

import io
import resource
import struct
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn

from vsvfi.errors import DamagedWeightsError
from vsvfi.weights import pickled
from vsvfi.weights.load import load_state
from vsvfi.weights.pickled import check_pickle

START = b"\x80\x02}"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    return b"\x8a\x06" + value.to_bytes(6, "little", signed=True)


def name(value: str) -> bytes:
    module, _, attribute = value.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def call(function: str, *arguments: bytes) -> bytes:
    return name(function) + b"(" + b"".join(arguments) + b"tR"


def entry(value: bytes) -> bytes:
    return START + text("gain") + value + b"s."


def storage(elements: int, key: str = "0", kind: str = "torch.FloatStorage", after: bytes = b"") -> bytes:
    return b"(" + text("storage") + name(kind) + text(key) + text("cpu") + number(elements) + after + b"tQ"


def tensor(held: bytes, size: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> bytes:
    rows = (b"(" + b"".join(map(number, row)) + b"t" for row in (size, strides))
    return call(
        "torch._utils._rebuild_tensor_v2", held, number(offset), *rows, b"\x89", call("collections.OrderedDict")
    )


DOUBLED = b"".join(b"q\x01h\x01\x86" for _ in range(60))
ONE = tensor(storage(1), (1,), (1,))
LIST = b"](" + b"N" * 20_000 + b"eq\x02"

HOSTILE: dict[str, tuple[bytes, str]] = {
    "doubled key": (START + b")" + DOUBLED + b"K\x01s.", "tuples in tuples"),
    "deep key": (START + b")" + b"\x85" * 400_000 + b"K\x01s.", "tuples in tuples"),
    "doubled storage key": (entry(b"(" + text("storage") + b")" + DOUBLED + b"tQ"), "tuples in tuples"),
    "doubled key of a function": (entry(call("collections.OrderedDict", b"])" + DOUBLED + b"a")), "tuples in tuples"),
    "a gigabyte of zeros": (entry(call("builtins.bytearray", number(10**10))), "calls builtins.bytearray"),
    "a set of it": (entry(call("builtins.set", call("builtins.bytearray", number(10**10)))), "calls builtins.byte"),
    "unknown instruction": (START + b"N0.", "instruction POP"),
    "a list read often": (entry(LIST + b"(" + call("builtins.set", b"h\x02") * 2000 + b"t"), "repeats itself"),
    "a text encoded often": (
        entry(text("x" * 10**6) + b"q\x03(" + call("_codecs.encode", b"h\x03") * 200 + b"t"),
        "repeats itself",
    ),
    "a terabyte's storage": (entry(call("torch.FloatStorage", number(10**12))), "calls torch.FloatStorage"),
    "a terabyte's tensor": (entry(call("torch.Tensor", number(10**12))), "calls torch.Tensor"),
    "another class of tensors": (entry(call("torch.FloatTensor", number(10**12))), "asks for torch.FloatTensor"),
    "storage class by the back door": (
        entry(call("torch._tensor._rebuild_from_type_v2", name("torch.FloatStorage"), b"N", number(9) + b"\x85", b"N")),
        "calls torch.FloatStorage",
    ),
    "more than its record": (entry(tensor(storage(10**9), (10**9,), (1,))), "4000000000 bytes, the file has 4 for it"),
    "no such record": (entry(tensor(storage(1, "9"), (1,), (1,))), "the file has 0 for it"),
    "beyond its storage": (entry(tensor(storage(1), (512, 512), (512, 1))), "262144 elements in a storage of 1"),
    "beyond by its offset": (entry(tensor(storage(1), (1,), (1,), 10**9)), "1000000001 elements in a storage of 1"),
    "beyond by its strides": (entry(tensor(storage(1), (2,), (10**9,))), "1000000001 elements in a storage of 1"),
    "negative stride": (entry(tensor(storage(1), (1,), (-1,))), "negative"),
    "negative size": (entry(tensor(storage(1), (-1,), (1,))), "negative"),
    "negative storage": (entry(tensor(storage(-1), (1,), (1,))), "negative"),
    "sizes without strides": (entry(tensor(storage(1), (1, 1), (1,))), "without strides"),
    "tensor of no storage": (entry(tensor(b"K\x01", (1,), (1,))), "of what is no storage"),
    "storage of no type": (entry(storage(1, kind="torch.float32s")), "asks for torch.float32s"),
    "altered tensor": (entry(ONE + b"(" + storage(1) + b"tb"), "alters a tensor"),
    "parameter of no tensor": (entry(call("torch._utils._rebuild_parameter", b"K\x01", b"\x88", b"N")), "is no tensor"),
    "called number": (entry(b"K\x01)R"), "calls what is no function"),
    "number as a persistent id": (entry(b"K\x05Q"), "in no known way"),
    "no end": (START + text("gain"), "truncated or altered"),
    "nothing on the stack": (START + b"sss.", "truncated or altered"),
    "put into a number": (START + b"K\x01K\x01K\x01s.", "truncated or altered"),
    "unknown memo": (START + b"h\x09.", "truncated or altered"),
    "loaded code": (entry(call("os.system", text("true"))), "asks for os.system"),
}

VIEW = b"(" + text("1") + number(0) + number(5) + b"t"
LEGACY_HOSTILE = {
    "beyond its storage": (
        entry(tensor(storage(1, after=b"N"), (512, 512), (512, 1))),
        "262144 elements in a storage of 1",
    ),
    "storages beyond the file": (
        entry(b"(" + b"".join(storage(500, str(index), after=b"N") for index in range(9)) + b"t"),
        "2000 bytes, the file has",
    ),
    "one storage of two sizes": (entry(b"(" + storage(1, after=b"N") + storage(2, after=b"N") + b"t"), "8 bytes"),
    "view beyond its storage": (entry(tensor(storage(1, after=VIEW), (1,), (1,))), "part beyond its storage"),
    "doubled key": HOSTILE["doubled key"],
}


def zipped(path: Path, index: bytes, mode: Literal["w", "a"] = "w") -> None:
    with zipfile.ZipFile(path, mode) as archive:
        archive.writestr("w/data.pkl", index)
        archive.writestr("w/version", "3\n")
        archive.writestr("w/data/0", struct.pack("<f", 1.0))


def legacy(path: Path, index: bytes) -> None:
    torch.save({}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    at = content.index(b"}q\x00.", 60)
    path.write_bytes(content[: at - 2] + index + b"\x80\x02](" + text("0") + b"e." + struct.pack("<qf", 1, 1.0))


def check_refused(path: Path, fault: str) -> None:
    for mapped in (False, True):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(DamagedWeightsError, match=fault):
            load_state(path, mapped=mapped)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB


@pytest.mark.parametrize("case", HOSTILE)
def test_an_index_that_would_do_harm_is_refused(tmp_path: Path, case: str) -> None:
    index, fault = HOSTILE[case]
    zipped(tmp_path / "w.pth", index)
    check_refused(tmp_path / "w.pth", fault)


@pytest.mark.parametrize("costly", [b")", b"ccollections\nOrderedDict\n"])
def test_the_number_of_instructions_is_limited(tmp_path: Path, costly: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = 0
    follow = pickled._Machine.follow

    def counted(machine: pickled._Machine, name: str, argument: object) -> None:
        nonlocal followed
        followed += 1
        follow(machine, name, argument)

    monkeypatch.setattr(pickled._Machine, "follow", counted)
    zipped(tmp_path / "w.pth", START + costly * 500_000 + b".")
    with pytest.raises(DamagedWeightsError, match="more than 300000 instructions"):
        load_state(tmp_path / "w.pth")
    assert followed == 300_000


def test_training_states_are_within_the_limit() -> None:
    saved = io.BytesIO()
    torch.save({f"layer{index}.weight": torch.ones(1, 1, 3, 3) for index in range(5000)}, saved)
    with zipfile.ZipFile(saved) as archive, archive.open("archive/data.pkl") as index:
        assert check_pickle(index, lambda name: False, 5000 * 36) == set()


@pytest.mark.parametrize("case", LEGACY_HOSTILE)
def test_an_index_of_the_old_container_is_refused(tmp_path: Path, case: str) -> None:
    index, fault = LEGACY_HOSTILE[case]
    legacy(tmp_path / "w.pth", index)
    check_refused(tmp_path / "w.pth", fault)


@pytest.mark.parametrize("make", [zipped, legacy])
def test_the_means_of_these_tests_make_whole_files(tmp_path: Path, make: Callable[[Path, bytes], None]) -> None:
    after = b"N" if make is legacy else b""
    make(tmp_path / "w.pth", entry(tensor(storage(1, after=after), (1,), (1,))))
    assert load_state(tmp_path / "w.pth") == {"gain": torch.ones(1)}


@pytest.mark.parametrize("new", [True, False])
def test_what_honest_checkpoints_hold_is_read(tmp_path: Path, new: bool) -> None:
    layer = nn.Linear(2, 3)
    tagged = torch.ones(2)
    tagged.note = "kept"  # type: ignore[attr-defined]
    shared = torch.arange(12.0)
    state = {
        **layer.state_dict(),
        "parameter": nn.Parameter(torch.ones(2, dtype=torch.bfloat16)),
        "tagged": tagged,
        "part": shared[2:8:2],
        "turned": shared.view(3, 4).t(),
        "empty": torch.zeros(3, 0),
        "one": torch.tensor(1.0),
        "expanded": torch.ones(1).expand(3, 4),
        "double": torch.ones(2, dtype=torch.float64),
    }
    if new:  # the old container does not know these
        state |= {"float8": torch.ones(2).to(torch.float8_e4m3fn), "unsigned": torch.ones(2, dtype=torch.uint16)}
    beside = {
        "optimiser": {"state": {0: {"step": 1, "betas": (0.9, 0.99)}}, "milestones": Counter({5: 1})},
        "set": {1, 2},
        "bytes": bytearray(b"\xff\x00"),
        "size": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "pairs": OrderedDict([(("a", 1), None)]),
    }
    torch.save({"state_dict": state, **beside}, tmp_path / "w.pth", _use_new_zipfile_serialization=new)
    found = load_state(tmp_path / "w.pth")
    assert list(found) == list(state)
    for key, value in state.items():
        assert torch.equal(found[key].double(), value.double())


def test_a_directory_that_readers_would_find_at_two_places_is_refused(tmp_path: Path) -> None:
    """zipfile takes the directory before the end, torch the one at the offset.

    What was checked would then not be what is read.
    """
    bomb, harmless = tmp_path / "bomb", tmp_path / "harmless"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", entry(tensor(storage(5 << 20), (5 << 20,), (1,))))
        archive.writestr("w/version", "3\n")
        archive.writestr("w/data/0", bytes(20 << 20))
    zipped(harmless, entry(ONE))
    content = bomb.read_bytes()
    lengths = [struct.unpack("<L", path.read_bytes()[-6:-2])[0] for path in (bomb, harmless)]
    harmless.write_bytes(bytes(lengths[0] - lengths[1]))  # in front, so that zipfile finds what comes after
    zipped(harmless, entry(ONE), "a")
    (tmp_path / "w.pth").write_bytes(content[:-22] + harmless.read_bytes()[:-22] + content[-22:])
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        assert archive.getinfo("w/data/0").file_size == 4  # or this test shows nothing
    check_refused(tmp_path / "w.pth", "directory is not where it says")


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    zipped(tmp_path / "w.pth", entry(ONE))
    with zipfile.ZipFile(tmp_path / "w.pth", "a") as archive:
        archive.writestr("W/DATA/0", bytes(4))
    check_refused(tmp_path / "w.pth", "several entries of one name")


def test_a_zip_inside_a_zip_stays_closed(tmp_path: Path) -> None:
    zipped(tmp_path / "inner", entry(ONE))
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.write(tmp_path / "inner", "w/data.pkl")
    check_refused(tmp_path / "w.pth", "truncated or altered")


@pytest.mark.parametrize(("order", "fault"), [(b"middle", "truncated or altered"), (b"\xff" * 9, "truncated or alter")])
def test_an_unknown_order_of_bytes_is_refused(tmp_path: Path, order: bytes, fault: str) -> None:
    zipped(tmp_path / "w.pth", entry(ONE))
    with zipfile.ZipFile(tmp_path / "w.pth", "a") as archive:
        archive.writestr("w/byteorder", order)
    check_refused(tmp_path / "w.pth", fault)


def test_numbers_of_a_machine_of_the_other_order_are_turned(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("w/data.pkl", entry(ONE))
        archive.writestr("w/version", "3\n")
        archive.writestr("w/byteorder", b"big")
        archive.writestr("w/data/0", struct.pack(">f", 1.0))
    assert load_state(tmp_path / "w.pth") == {"gain": torch.ones(1)}
