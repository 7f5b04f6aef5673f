"""Download one file from an HTTP(S) address: resumable, verified and moved into place atomically.

Data is written to `<target>.incomplete`, and what is needed to resume after a crash to `<target>.incomplete.json`. The
target only ever exists as a whole. Progress goes to stderr.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import logging
import os
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from vsvfi.files import replace
from vsvfi.weights import limits
from vsvfi.weights.http import build_opener
from vsvfi.weights.limits import LARGEST, AnswerTimer, InterruptedTransferError, Pace, SourceError

_log = logging.getLogger(__name__)

PAUSES = (0.5, 1.0, 2.0)  # seconds before each new attempt; an attempt with much progress resets them
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_WORTHWHILE = 1 << 20  # bytes
_CHUNK = 1 << 16
_TIMEOUT = 30.0  # seconds without a byte
_FULL = (errno.ENOSPC, errno.EDQUOT)


def download[T](
    url: str,
    target: Path,
    check: Callable[[Path], T],
    *,
    size: int | None = None,
    pinned: bool = False,
    headers: Mapping[str, str] | None = None,
) -> T:
    """Download `url` to `target`, and return the result of `check`.

    An attempt is aborted if it receives more bytes than expected, or receives them too slowly (see `limits`). A partial
    file is kept for the next run, but deleted after an interrupt (Ctrl-C) or on a full disk.

    Args:
        url: an http or https address.
        target: destination in an existing folder; the caller holds any lock needed.
        check: verifies the complete file before it is moved into place; raises SourceError with the reason if wrong.
        size: bytes, if known.
        pinned: whether `check` verifies the content, so that earlier data may be resumed without a validator.
        headers: sent with the request; credentials only to the host of `url`.

    Raises:
        SourceError: the download failed; includes the reason.
    """
    partial = target.with_name(target.name + ".incomplete")
    try:
        return _download(url, target, partial, check, size=size, pinned=pinned, headers=headers or {})
    except (KeyboardInterrupt, SystemExit):
        with contextlib.suppress(OSError):
            _discard(partial)
        raise


def _download[T](
    url: str,
    target: Path,
    partial: Path,
    check: Callable[[Path], T],
    *,
    size: int | None,
    pinned: bool,
    headers: Mapping[str, str],
) -> T:
    """Retry until the file is complete or attempts make no more progress."""
    if size is not None and _length(partial) > size:
        _discard(partial)
    inherited = _length(partial) > 0
    pauses, furthest = iter(PAUSES), _length(partial)
    while True:
        try:
            if size is None or not pinned or _length(partial) != size:
                _transfer(url, partial, size=size, pinned=pinned, headers=headers)
        except InterruptedTransferError as error:
            # Compare with the furthest point so far: a transfer that restarts each time would otherwise never end.
            if _length(partial) - furthest >= _WORTHWHILE:
                pauses, furthest = iter(PAUSES), _length(partial)
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
            inherited = False  # the earlier run's data may be of another file: start over once
            continue
        try:
            replace(partial, target)
        except OSError as error:
            raise SourceError(disk_reason(error, target.parent)) from error
        _discard(partial)
        return result


def _transfer(url: str, partial: Path, *, size: int | None, pinned: bool, headers: Mapping[str, str]) -> None:
    """One request: the rest of `partial`, or all of it."""
    start, validator = _length(partial), _validator(partial)
    if validator is None and not pinned:
        start = 0
    asked = {**headers, "User-Agent": "vsvfi", "Accept-Encoding": "identity"}
    if start:
        asked["Range"] = f"bytes={start}-"
        if validator is not None:
            asked["If-Range"] = validator
    timer = AnswerTimer()
    try:
        with (
            timer.running() as answered,
            build_opener(timer).open(urllib.request.Request(url, headers=asked), timeout=_TIMEOUT) as response,
        ):
            answered()
            if timer.expired:  # a header that was cut off looks complete
                raise InterruptedTransferError(f"the server did not answer within {limits.ANSWER:.0f} s")
            _receive(response, partial, start, validator, size=size, pinned=pinned)
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"HTTP {error.code} {error.reason}"
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            _discard(partial)
        elif error.code not in TRANSIENT:
            raise SourceError(reason) from error
        raise InterruptedTransferError(reason) from error
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        if timer.expired:
            raise InterruptedTransferError(f"the server did not answer within {limits.ANSWER:.0f} s") from error
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        raise InterruptedTransferError(f"the connection failed ({cause or type(cause).__name__})") from error
    except OSError as error:
        if error.errno in _FULL:
            _discard(partial)
        raise SourceError(disk_reason(error, partial.parent)) from error


def _receive(
    response: http.client.HTTPResponse,
    partial: Path,
    start: int,
    validator: str | None,
    *,
    size: int | None,
    pinned: bool,
) -> None:
    """Write the response body to `partial`, from `start` on if the server resumes there."""
    if response.headers.get_content_type() == "text/html":
        raise SourceError("the server sent a web page instead of the file")
    tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
    body = _integer(response.headers.get("Content-Length"))
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        if not (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-") or (
            validator is not None and tag not in (None, validator)
        ):
            _discard(partial)
            raise InterruptedTransferError("the server continued another file than the one begun")
    else:
        start = 0
    total = None if body is None else start + body
    if total is None and size is None and not pinned and not response.chunked:
        raise SourceError("the server reports no file size, and there is no checksum to detect a partial download")
    if size is not None and total is not None and total != size:
        _discard(partial)
        raise SourceError(f"the server offers {total} bytes, the published file has {size}")
    limit = size if size is not None else total if total is not None else LARGEST
    if limit > LARGEST:
        raise SourceError(f"the server offers {limit} bytes, and a file of weights has at most {LARGEST}")
    needed = limit - start if limit < LARGEST else 0
    if shutil.disk_usage(partial.parent).free < needed:
        raise SourceError(disk_reason(OSError(errno.ENOSPC, f"{needed} bytes are needed"), partial.parent))
    with (
        partial.open("r+b" if start else "wb") as file,
        _progress(partial.name.removesuffix(".incomplete"), total) as show,
    ):
        if not start:
            _remember(partial, tag)
        file.seek(start)
        pace = Pace(start)
        while chunk := response.read1(_CHUNK):  # returns what is available; `read` would wait for a whole chunk
            start += len(chunk)
            if start > limit:
                break
            file.write(chunk)
            show(start)
            if start != total and start != size:
                pace.check(start)
        file.flush()
        os.fsync(file.fileno())
    if start > limit:
        _discard(partial)
        raise SourceError(f"the server sends more than the {limit} bytes that the file may have")
    total = size if total is None else total
    if total is not None and start < total:
        raise InterruptedTransferError(f"the connection ended after {start} of {total} bytes")


def disk_reason(error: OSError, folder: Path) -> str:
    """Explain a disk error to the user."""
    if error.errno in _FULL:
        return f"no space is left in {folder} ({error.strerror}); free some, or set VSVFI_CACHE to another folder"
    return f"{folder} cannot be written ({error.strerror or error}); set VSVFI_CACHE to another folder"


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _beside(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


def _remember(partial: Path, validator: str | None) -> None:
    """Store the validator (ETag or Last-Modified) of the partial data; weak ETags do not guarantee identical bytes."""
    strong = validator if validator is not None and not validator.startswith("W/") else None
    _beside(partial).write_text(json.dumps({"validator": strong}), encoding="utf-8")


def _validator(partial: Path) -> str | None:
    try:
        validator = json.loads(_beside(partial).read_text(encoding="utf-8"))["validator"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # then the download is not resumed, unless the content is pinned
    return validator if isinstance(validator, str) else None


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _beside(partial).unlink(missing_ok=True)


@contextlib.contextmanager
def _progress(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress line on stderr if it is a terminal."""
    watched = sys.stderr is not None and sys.stderr.isatty() and _log.isEnabledFor(logging.WARNING)
    shown, latest = 0.0, 0

    def show(done: int, last: bool = False) -> None:
        nonlocal shown, latest
        latest = done
        now = time.monotonic()
        if watched and (last or now - shown > 0.1):
            shown = now
            share = f"{done / total:4.0%} of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
            print(f"\r{name}: {share}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if watched:
            show(latest, last=True)
            print(file=sys.stderr, flush=True)
