"""Find or download a weight file, and verify it before its first use.

Hub files are stored in the hub's own cache (HF_HOME), shared with other programs; others under `cache_directory()`.
Each verified file has a record (its SHA-256, size and times), so that it is only hashed again after a change, and a
file without a published digest is recognised after its first use. Does not import torch; `load` reads the file.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.resources
import os
import re
import sys
import time
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path

from vsvfi.errors import ArgumentError, DamagedWeightsError, DownloadError, MissingWeightsError
from vsvfi.packages import one_line
from vsvfi.user_cache import cache_directory
from vsvfi.weights.download import PAUSES, TRANSIENT, disk_reason, download
from vsvfi.weights.hub import fetch_blob, link
from vsvfi.weights.integrity import Digests, Record, container, digests, mismatch, verify
from vsvfi.weights.limits import SourceError
from vsvfi.weights.lock import hold
from vsvfi.weights.source import Builtin, Hub, Manual, Source, Url, WheelMember
from vsvfi.weights.wheel import obtain

_SHA256 = re.compile("[0-9a-f]{64}")


def fetch(
    model: str, sources: Sequence[Source], *, licence: str, licence_notice: str = "", listed: bool = True
) -> Path:
    """Return the verified weight file of a model: from the first installed source, else the first that downloads.

    Downloads can be disabled with VSVFI_OFFLINE or HF_HUB_OFFLINE.

    Args:
        model: name for messages.
        sources: best first; the others are mirrors.
        licence: of the weights; shown on stderr before a download.
        licence_notice: shown in full before a download, if there is one.
        listed: `vsvfi models` lists the model, which messages then advise.

    Raises:
        MissingWeightsError: not installed, and downloads are disabled or there is no source to download from.
        DownloadError: every source failed; names each with its reason.
        DamagedWeightsError: the installed file is not, or is no longer, the published one.
    """
    for source in sources:
        try:
            path = _find(source)
        except OSError as error:
            raise ArgumentError(
                "VSVFI_CACHE",
                os.environ.get("VSVFI_CACHE"),
                one_line(error),
                "set it to a folder that can be read and written",
            ) from error
        if path is not None:
            try:
                _verify_installed(path, source)
            except OSError as error:
                raise DamagedWeightsError(path, f"it cannot be read ({error.strerror or error})") from error
            return path
    _check_reachable(model, sources, listed=listed)
    attempts: list[tuple[str, str]] = []
    for source in sources:
        if isinstance(source, Builtin | Manual):
            continue
        if attempts:
            _say(f"vsvfi: {attempts[-1][0]} failed ({attempts[-1][1]})")
        _say(f"vsvfi: downloading the weights of {model!r} from {source}; licence: {licence}")
        if licence_notice and not attempts:
            _say(licence_notice)
        try:
            return _obtained(source)
        except SourceError as error:
            attempts.append((str(source), str(error)))
    raise DownloadError(model, attempts, listed=listed)


def installed(sources: Sequence[Source]) -> Path | None:
    """The path of the weights on this machine, or None.

    Only checks that the file exists, without network access or hashing (`fetch` verifies).
    """
    for source in sources:
        # Treat an unreadable cache folder as empty; `fetch` reports the reason
        with contextlib.suppress(OSError, ArgumentError):
            path = _find(source)
            if path is not None:
                return path
    return None


def _check_reachable(model: str, sources: Sequence[Source], *, listed: bool) -> None:
    """Check that there is a source to download from, and that downloads are enabled."""
    if sources and all(isinstance(source, Builtin) for source in sources):
        raise MissingWeightsError(model, f"the installed package lacks {sources[0].file} (install vsvfi again)")
    if not sources:
        raise MissingWeightsError(model, "they are published nowhere that vsvfi can fetch from", "", listed=listed)
    if all(isinstance(source, Manual) for source in sources):
        (source, *_) = sources
        assert isinstance(source, Manual)
        size = f"{source.size / 1e9:.1f} GB"
        place = _by_hand(source)
        remedy = f"download {source.file} ({size}) from {source.page} and put it at {place}"
        raise MissingWeightsError(
            model,
            "their authors publish them behind a web page alone, which vsvfi does not go through",
            remedy,
            listed=listed,
        )
    for variable in ("VSVFI_OFFLINE", "HF_HUB_OFFLINE"):
        if os.environ.get(variable, "").strip().lower() not in ("", "0", "no", "off", "false"):
            reason = f"downloads are off ({variable}={os.environ[variable]})"
            raise MissingWeightsError(model, reason, listed=listed)


def _find(source: Source) -> Path | None:
    """The path of a source's file on this machine, whether valid or not; None if missing."""
    match source:
        case Builtin():
            path = Path(str(importlib.resources.files("vsvfi.weights"))) / "builtin" / source.file
            return path if path.is_file() else None
        case Url():
            path = _place(source)
            return path if path.is_file() else None
        case Manual():
            path = _by_hand(source)
            return path if path.is_file() else None
        case WheelMember():
            path = _out_of_wheel(source)
            return path if path.is_file() else None
        case Hub():
            from huggingface_hub import try_to_load_from_cache

            cached = try_to_load_from_cache(source.repo, source.file, revision=source.revision)
            return Path(cached) if isinstance(cached, str) else None


def _place(source: Url) -> Path:
    """The cache path of an address: its host and path, so that no two addresses share a file."""
    parts = urllib.parse.urlsplit(source.url)
    folders = [re.sub(r"[^\w.%+-]", "_", part) for part in (parts.netloc, *parts.path.split("/")) if part.strip(".")]
    if parts.query:
        folders.insert(-1, hashlib.sha256(parts.query.encode()).hexdigest()[:12])
    return cache_directory().joinpath(*folders)


def _by_hand(source: Manual) -> Path:
    """The path for a manually downloaded file."""
    return cache_directory() / "by-hand" / source.file


def _out_of_wheel(source: WheelMember) -> Path:
    """The cache path of a file from a wheel."""
    return cache_directory() / "wheels" / f"{source.package}-{source.version}" / source.member


def _record_place(path: Path) -> Path:
    """The path of a file's record: beside the file, or in our cache for hub files, whose folders the hub manages."""
    cache = cache_directory()
    if path.is_relative_to(cache):
        return path.with_name(path.name + ".json")
    return cache / "records" / f"{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]}-{path.name}.json"


def _verify_installed(path: Path, source: Source) -> None:
    """Verify that an installed file is the published one and unchanged; only hashes it if it was touched."""
    if isinstance(source, Builtin):
        _verify_packaged(path, source.sha256)
        return
    blob = Path(os.path.realpath(path))  # what the user has to delete; the hub's cache shows a link to it
    place = _record_place(path)
    record = Record.read(place)
    if record is not None and record.is_fresh(path):
        found, fault = record.found, None
    else:
        found = digests(path)
        if record is not None:
            fault = (
                None
                if record.found == found
                else "it has changed since it was verified: "
                f"its SHA-256 is {found.sha256}, it was {record.found.sha256}"
            )
        else:
            named = blob.name if isinstance(source, Hub) and _SHA256.fullmatch(blob.name) else None
            fault = _content_fault(path, found, named)
    fault = fault or _pinned_fault(found, source)
    if fault is not None:
        raise DamagedWeightsError(blob, fault)
    if record is None or found is not record.found:
        Record.of(path, found).write(place)


@functools.cache
def _verify_packaged(path: Path, sha256: str) -> None:
    """Verify a packaged file, once per process."""
    verify(path, sha256=sha256)


def _pinned_fault(found: Digests, source: Hub | Url | Manual | WheelMember) -> str | None:
    if isinstance(source, Manual):
        return None  # it has no published digest
    return mismatch(
        found, sha256=source.sha256, git_blob=source.git_blob if isinstance(source, Url) else None, size=source.size
    )


def _content_fault(path: Path, found: Digests, sha256: str | None) -> str | None:
    """Why a file does not match the sender's digest or is not a complete checkpoint, or None."""
    fault = mismatch(found, sha256=sha256)
    if fault is None:
        kind = container(path)
        fault = kind if isinstance(kind, str) else None
    return fault


def _check_arrived(path: Path, source: Hub | Url, sha256: str | None = None) -> Digests:
    """Return the digests of a downloaded file, or raise SourceError if it is the wrong file."""
    found = digests(path)
    fault = _pinned_fault(found, source) or _content_fault(path, found, sha256)
    if fault is not None:
        raise SourceError(f"what came is not the published file: {fault}")
    return found


def _obtained(source: Hub | Url | WheelMember) -> Path:
    """Download a source's file."""
    match source:
        case Hub():
            return _from_hub(source)
        case Url():
            return _from_url(source)
        case WheelMember():
            return _from_wheel(source)


def _from_wheel(source: WheelMember) -> Path:
    """Download with pip to our cache; one process at a time, the others wait and use its file."""
    target = _out_of_wheel(source)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with hold(target.with_name(target.name + ".lock"), target.parent):
            if not target.is_file():
                obtain(source, target)
            _verify_installed(target, source)
    except OSError as error:
        raise SourceError(disk_reason(error, target.parent)) from error
    return target


def _from_url(source: Url) -> Path:
    """Download to our cache; one process at a time, the others wait and use its file."""
    target = _place(source)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with hold(target.with_name(target.name + ".lock"), target.parent):
            if target.is_file():
                _verify_installed(target, source)
                return target
            check: Callable[[Path], Digests] = functools.partial(_check_arrived, source=source)
            found = download(source.url, target, check, size=source.size, pinned=bool(source.sha256 or source.git_blob))
            Record.of(target, found).write(_record_place(target))
    except OSError as error:
        raise SourceError(disk_reason(error, target.parent)) from error
    return target


def _from_hub(source: Hub) -> Path:
    """Download to the hub's cache, which other programs share."""

    def check(path: Path, published: str | None) -> Digests:
        return _check_arrived(path, source, published)

    found = _with_retries(lambda: fetch_blob(source, check))
    path = _with_retries(lambda: link(source))
    if not path.is_symlink():  # a copy, where links are not supported
        found = _check_arrived(path, source)
    Record.of(path, found).write(_record_place(path))
    return path


def _with_retries[T](action: Callable[[], T]) -> T:
    """Run `action`, and retry after transient failures with pauses in between."""
    pauses = iter(PAUSES)
    while True:
        try:
            return action()
        except SourceError:
            raise
        # The hub's library, its HTTP client and its transfer engine have unrelated exception types.
        except Exception as error:
            reason, may_pass = _hub_reason(error)
            pause = next(pauses, None)
            if pause is None or not may_pass:
                raise SourceError(reason) from error
        time.sleep(pause)


def _hub_reason(error: BaseException) -> tuple[str, bool]:
    """Summarise an error in one line, and tell whether a retry may help."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(status, int):
        return (
            f"HTTP {status} {getattr(response, 'reason_phrase', None) or getattr(response, 'reason', '')}".strip(),
            status in TRANSIENT,
        )
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return disk_reason(error, Path(str(error.filename)).parent), False
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__), not isinstance(error, ValueError)


def _say(text: str) -> None:
    """Print a line to stderr, since stdout may carry video."""
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)
