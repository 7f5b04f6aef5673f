"""Check the directory of a zip file before anything in it is unpacked.

A few kilobytes can expand to gigabytes: by compression, by entries that share their bytes, or by a directory with
millions of names. torch stores checkpoints without compression, so a valid one unpacks to little more than its size.
"""

from __future__ import annotations

import errno
import io
import itertools
import os
import struct
import zipfile
from typing import BinaryIO

_MOST_ENTRIES = 100_000
_LONGEST_DIRECTORY = 32 << 20
_LONGEST_PICKLE = 16 << 20
_MOST_GROWTH = 4
_MOST_MORE = 16 << 20
_LOCAL_HEADER = 30


def zip_fault(file: BinaryIO) -> str | None:
    """Why a zip file must not be unpacked, or None. Only reads its directory."""
    size = os.fstat(file.fileno()).st_size
    directory = _directory(file, size)
    if directory is None:
        return "it is a zip file without its end: truncated or altered"
    count, length, is_one = directory
    if count > _MOST_ENTRIES or length > _LONGEST_DIRECTORY:
        return f"it is a zip file of {count} entries, more than any checkpoint has"
    if not is_one:
        return "it is a zip file whose directory is not where it says: altered"
    try:
        with zipfile.ZipFile(file) as archive:
            entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    except Exception:  # a damaged directory can raise anything
        return "it is a zip file without its end: truncated or altered"
    names = [entry.filename.lower() for entry in entries]
    if len(set(names)) < len(names):  # zip readers differ in which duplicate they use
        return "it is a zip file with several entries of one name"
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > _MOST_GROWTH * size + _MOST_MORE:
        return f"it is a zip file of {size} bytes that unpacks to {unpacked}, which no checkpoint does"
    for entry, following in itertools.pairwise(entries):
        if entry.header_offset + _LOCAL_HEADER + entry.compress_size > following.header_offset:
            return f"its entries overlap ({entry.filename[:80]!r} and {following.filename[:80]!r})"
    longest = max((entry.file_size for entry in entries if entry.filename.endswith(".pkl")), default=0)
    return (
        f"its index of tensors has {longest} bytes, more than any checkpoint's" if longest > _LONGEST_PICKLE else None
    )


def zipped_index(file: BinaryIO) -> tuple[BinaryIO, dict[str, int]]:
    """Return the pickle of a torch checkpoint that passed `zip_fault`, and the size in bytes of each storage by key.

    Raises:
        Exception: the checkpoint has no pickle or is damaged.
    """
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry.file_size for entry in archive.infolist()}
        folder = next(iter(entries)).partition("/")[0]  # like torch, use the folder of the first entry
        start = f"{folder}/data/"
        sizes = {name.removeprefix(start): size for name, size in entries.items() if name.startswith(start)}
        try:
            return io.BytesIO(archive.read(f"{folder}/data.pkl")), sizes
        except OSError as error:
            if error.errno == errno.EINVAL:  # the directory points to a place before the file
                raise zipfile.BadZipFile("an entry lies outside of the file") from error
            raise


def _directory(file: BinaryIO, size: int) -> tuple[int, int, bool] | None:
    """Number of entries and bytes of a zip file's directory, and whether it ends where its end record begins.

    None if there is no directory. If it does not end there, readers differ in which directory they use: the one before
    the record, or the one at the offset in the record.
    """
    reach = min(size, 22 + 65535 + 20)
    file.seek(size - reach)
    tail = file.read(reach)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + 22:
        return None
    count, length, start = struct.unpack("<HLL", tail[at + 10 : at + 20])
    end = size - reach + at
    locator = tail[at - 20 : at] if at >= 20 else b""
    if locator.startswith(b"PK\6\7"):
        (end,) = struct.unpack("<Q", locator[8:16])
        if end + 56 > size:
            return None
        file.seek(end)
        record = file.read(56)
        if not record.startswith(b"PK\6\6"):
            return None
        count, length, start = struct.unpack("<QQQ", record[32:56])
    return count, length, start + length == end
