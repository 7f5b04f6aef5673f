"""A file of the Hugging Face hub, brought into the hub's own cache under our limits of size and time.

huggingface_hub's transfer checks the size only at the end, and its timeouts start again with every byte. So the bytes
come through `download`, into the place where that library keeps them (`blobs`), and it only adds its links to a file
that is there already. Its lock is held meanwhile: other programs wait for us.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from vsvfi.weights.download import disk_reason, download
from vsvfi.weights.limits import SourceError
from vsvfi.weights.lock import hold
from vsvfi.weights.source import Hub

_SHA256 = re.compile("[0-9a-f]{64}")


def fetch_blob[T](source: Hub, check: Callable[[Path, str | None], T]) -> T:
    """Bring the file's content to the hub's cache, unless it is there; returns what `check` said of it.

    Args:
        source: the file.
        check: takes the complete file and the SHA-256 that the hub gives, where it gives one; raises SourceError if it
        is not the right one.

    Raises:
        SourceError: it could not be had.
        Exception: the hub did not answer; its library's and its HTTP client's own errors.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(source.repo, source.file, revision=source.revision)
    told = get_hf_file_metadata(url)
    if told.etag is None or not re.fullmatch(r"\w[\w.-]*", told.etag):
        raise SourceError(f"the hub gives the file no usable tag ({told.etag!r:.100})")
    if source.size is not None and told.size is not None and told.size != source.size:
        raise SourceError(f"the server offers {told.size} bytes, the published file has {source.size}")
    published = (
        told.etag if _SHA256.fullmatch(told.etag) else None
    )  # LFS files are tagged with their SHA-256, others with something else
    repository = repo_folder_name(repo_id=source.repo, repo_type="model")
    blob = Path(constants.HF_HUB_CACHE) / repository / "blobs" / told.etag
    lock = Path(constants.HF_HUB_CACHE) / ".locks" / repository / f"{told.etag}.lock"
    try:
        for folder in (blob.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with hold(lock, blob.parent):
            if blob.is_file():
                try:
                    return check(blob, published)
                except SourceError:
                    blob.unlink()
            draft = blob.with_name(blob.name + ".vsvfi")
            found = download(
                url,
                draft,
                lambda path: check(path, published),
                size=source.size if source.size is not None else told.size,
                pinned=bool(source.sha256 or published),
                headers={name: value for name, value in build_hf_headers().items() if name.lower() == "authorization"},
            )
            os.replace(draft, blob)
    except OSError as error:
        raise SourceError(disk_reason(error, blob.parent)) from error
    return found


def link(source: Hub) -> Path:
    """Let huggingface_hub show the content that is in its cache under the file's name."""
    from huggingface_hub import hf_hub_download

    with (
        contextlib.redirect_stderr(io.StringIO()) if sys.stderr is None else contextlib.nullcontext()
    ):  # it may want to print
        return Path(hf_hub_download(source.repo, source.file, revision=source.revision))
