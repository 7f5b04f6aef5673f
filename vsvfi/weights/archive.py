"""What a zip file says about itself, checked before anything in it is unpacked.

A few kilobytes can hold gigabytes: by compression, by entries that share their bytes, or by a directory of millions of
names. torch's own files are stored without compression, so that an honest checkpoint unpacks to hardly more than its
size.
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
    """Why a zip file is not to be unpacked, or None. Reads its directory alone."""
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
    except Exception:  # a damaged directory fails in whatever way its first wrong byte means
        return "it is a zip file without its end: truncated or altered"
    names = [entry.filename.lower() for entry in entries]
    if len(set(names)) < len(names):  # readers differ in which of them they take
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
    """The pickle of a torch checkpoint in which `zip_fault` finds no fault, and the bytes of its storages by their key.

    Raises:
        Exception: it has none, or it is damaged.
    """
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry.file_size for entry in archive.infolist()}
        folder = next(iter(entries)).partition("/")[0]  # that of the first entry, as torch takes it
        start = f"{folder}/data/"
        sizes = {name.removeprefix(start): size for name, size in entries.items() if name.startswith(start)}
        try:
            return io.BytesIO(archive.read(f"{folder}/data.pkl")), sizes
        except OSError as error:
            if error.errno == errno.EINVAL:  # the directory points to a place before the file
                raise zipfile.BadZipFile("an entry lies outside of the file") from error
            raise


def _directory(file: BinaryIO, size: int) -> tuple[int, int, bool] | None:
    """Entries and bytes of the directory at the end of a zip file, or None where there is none; and whether it ends
    where its record begins. Readers differ in which one they take where it does not: that before the record, or that
    at the offset in the record.
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
