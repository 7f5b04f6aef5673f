"""Download a file of the Hugging Face hub into the hub's own cache, with limits on size and time.

huggingface_hub checks the size only at the end, and its timeouts restart with every byte. So `download` transfers the
data to the library's own location (`blobs`), and the library only adds its links to the existing file. Its lock is held
meanwhile, so other programs wait.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

from vsvfi.files import replace
from vsvfi.weights.download import disk_reason, download
from vsvfi.weights.limits import SourceError
from vsvfi.weights.lock import hold
from vsvfi.weights.source import Hub

_SHA256 = re.compile("[0-9a-f]{64}")


def fetch_blob[T](source: Hub, check: Callable[[Path, str | None], T]) -> T:
    """Download the file's content to the hub's cache unless it exists, and return the result of `check`.

    Args:
        source: the file.
        check: takes the complete file and the hub's SHA-256, if any; raises SourceError if the file is wrong.

    Raises:
        SourceError: the download failed.
        Exception: the hub did not respond; errors of its library and its HTTP client.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(source.repo, source.file, revision=source.revision)
    metadata = get_hf_file_metadata(url)
    if metadata.etag is None or not re.fullmatch(r"\w[\w.-]*", metadata.etag):
        raise SourceError(f"the hub gives the file no usable tag ({metadata.etag!r:.100})")
    if source.size is not None and metadata.size is not None and metadata.size != source.size:
        raise SourceError(f"the server offers {metadata.size} bytes, the published file has {source.size}")
    # LFS files are tagged with their SHA-256, others with something else
    published = metadata.etag if _SHA256.fullmatch(metadata.etag) else None
    repository = repo_folder_name(repo_id=source.repo, repo_type="model")
    blob = Path(constants.HF_HUB_CACHE) / repository / "blobs" / metadata.etag
    lock = Path(constants.HF_HUB_CACHE) / ".locks" / repository / f"{metadata.etag}.lock"
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
                size=source.size if source.size is not None else metadata.size,
                pinned=bool(source.sha256 or published),
                headers={name: value for name, value in build_hf_headers().items() if name.lower() == "authorization"},
            )
            replace(draft, blob)
    except OSError as error:
        raise SourceError(disk_reason(error, blob.parent)) from error
    return found


def link(source: Hub) -> Path:
    """Let huggingface_hub link the cached content under the file's name."""
    from huggingface_hub import hf_hub_download

    # It may want to print
    with contextlib.redirect_stderr(io.StringIO()) if sys.stderr is None else contextlib.nullcontext():
        return Path(hf_hub_download(source.repo, source.file, revision=source.revision))
