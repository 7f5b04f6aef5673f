"""One file from one plain address: resumable, checked, and put in place in one step. Knows HTTP and the disk, nothing of models or of what a good file is.

The bytes gather in `<target>.incomplete`; what is needed to go on with them after a crash lies in `<target>.incomplete.json`. The target itself only
ever appears whole. Progress goes to stderr.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

PAUSES = (0.5, 1.0, 2.0)  # seconds before each new attempt; an attempt that brought much starts them again
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_WORTHWHILE = 1 << 20  # bytes
_CHUNK = 1 << 16
_TIMEOUT = 30.0  # seconds without a byte


class SourceError(Exception):
    """One source failed for good; its text is the reason. Never leaves `vsvfi.weights`."""


class _InterruptedError(Exception):
    """One attempt failed in a way that another may mend."""


def download[T](url: str, target: Path, check: Callable[[Path], T], *, size: int | None = None, pinned: bool = False) -> T:
    """Bring the file behind `url` to `target`, and return what `check` said of it.

    Args:
        url: an http or https address.
        target: where the file goes; its folder exists, and the caller holds whatever lock is needed.
        check: looks at the complete file before it is put in place; raises SourceError with the reason if it is not the right one.
        size: bytes, where known.
        pinned: whether `check` knows the content, so that bytes of an earlier run may be continued even if the server has no ETag.

    Raises:
        SourceError: the file could not be had; names the reason.
    """
    partial = target.with_name(target.name + ".incomplete")
    inherited = _length(partial) > 0
    pauses = iter(PAUSES)
    while True:
        before = _length(partial)
        try:
            _transfer(url, partial, size=size, pinned=pinned)
        except _InterruptedError as error:
            if _length(partial) - before >= _WORTHWHILE:
                pauses = iter(PAUSES)
            pause = next(pauses, None)
            if pause is None:
                raise SourceError(str(error)) from error
            time.sleep(pause)
            continue
        try:
            result = check(partial)
        except SourceError:
            _discard(partial)
            if not inherited:
                raise
            inherited = False  # the bytes of an earlier run may have been another file's: once more from the start
            continue
        try:
            os.replace(partial, target)
        except OSError as error:
            raise SourceError(disk_reason(error, target.parent)) from error
        _discard(partial)
        return result


def _transfer(url: str, partial: Path, *, size: int | None, pinned: bool) -> None:
    """One request: the rest of `partial`, or all of it."""
    start, validator = _length(partial), _validator(partial)
    if validator is None and not pinned:
        start = 0
    headers = {"User-Agent": "vsvfi", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator is not None:
            headers["If-Range"] = validator
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT) as response:
            _receive(response, partial, start, validator, size=size, pinned=pinned)
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"HTTP {error.code} {error.reason}"
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            _discard(partial)
        elif error.code not in TRANSIENT:
            raise SourceError(reason) from error
        raise _InterruptedError(reason) from error
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _InterruptedError(f"the connection failed ({cause or type(cause).__name__})") from error
    except OSError as error:
        raise SourceError(disk_reason(error, partial.parent)) from error


def _receive(response: http.client.HTTPResponse, partial: Path, start: int, validator: str | None, *, size: int | None, pinned: bool) -> None:
    """Write the body of an answer into `partial`, from `start` on if the server agrees."""
    if response.headers.get_content_type() == "text/html":
        raise SourceError("the server sent a web page instead of the file")
    tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
    body = _integer(response.headers.get("Content-Length"))
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        if not (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-") or (validator is not None and tag not in (None, validator)):
            _discard(partial)
            raise _InterruptedError("the server continued another file than the one begun")
    else:
        start = 0
    total = None if body is None else start + body
    if total is None and size is None and not pinned and not response.chunked:
        raise SourceError("the server does not say how long the file is, and nothing else would tell a part from the whole")
    if size is not None and total is not None and total != size:
        _discard(partial)
        raise SourceError(f"the server offers {total} bytes, the published file has {size}")
    if body is not None and shutil.disk_usage(partial.parent).free < body:
        raise OSError(errno.ENOSPC, f"{body} bytes are needed")
    with partial.open("r+b" if start else "wb") as file, _progress(partial.name.removesuffix(".incomplete"), total) as show:
        if not start:
            _remember(partial, tag)
        file.seek(start)
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            start += len(chunk)
            show(start)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and start < total:
        raise _InterruptedError(f"the connection ended after {start} of {total} bytes")


def disk_reason(error: OSError, folder: Path) -> str:
    """What a failure of the disk means for the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space is left in {folder} ({error.strerror}); free some, or set VSVFI_CACHE to another folder"
    return f"{folder} cannot be written ({error.strerror or error}); set VSVFI_CACHE to another folder"


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _beside(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


def _remember(partial: Path, validator: str | None) -> None:
    """Note which version of the file these bytes are of; weak tags promise nothing about bytes."""
    strong = validator if validator is not None and not validator.startswith("W/") else None
    _beside(partial).write_text(json.dumps({"validator": strong}), encoding="utf-8")


def _validator(partial: Path) -> str | None:
    try:
        validator = json.loads(_beside(partial).read_text(encoding="utf-8"))["validator"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # then the bytes are not continued, unless the content is pinned
    return validator if isinstance(validator, str) else None


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _beside(partial).unlink(missing_ok=True)


@contextlib.contextmanager
def _progress(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A line on stderr for a person who watches; nothing where stderr is a file or is not there at all."""
    watched = sys.stderr is not None and sys.stderr.isatty()
    shown = 0.0

    def show(done: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if watched and now - shown > 0.1:
            shown = now
            share = f"{done / total:4.0%} of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
            print(f"\r{name}: {share}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if watched:
            print(file=sys.stderr, flush=True)
