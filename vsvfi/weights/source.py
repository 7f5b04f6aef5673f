"""Describe the sources of weight files and how to verify them.

`fetch` downloads the files, `load` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """A file in a repository on the Hugging Face hub.

    Attributes:
        repo: "owner/name".
        file: path inside the repository.
        revision: commit, tag or branch; a commit wherever one is known.
        sha256: hex digest of the file, or None if none is published: then the hub's own LFS digest is used.
        size: bytes, or None if unknown.
    """

    repo: str
    file: str
    revision: str = "main"
    sha256: str | None = None
    size: int | None = None

    def __str__(self) -> str:
        return f"hub:{self.repo}/{self.file}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """A file behind a plain HTTP(S) address.

    Attributes:
        url: the address.
        sha256: hex digest of the file, or its published prefix, if known.
        git_blob: git's object id of the file (SHA-1 of "blob", size, a zero byte and content), if it is in a git tree.
        size: bytes, or None if unknown.
    """

    url: str
    sha256: str | None = None
    git_blob: str | None = None
    size: int | None = None

    @property
    def file(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Builtin:
    """A file shipped inside the package, under `vsvfi/weights/builtin/`."""

    file: str
    sha256: str
    size: int | None = None

    def __str__(self) -> str:
        return f"packaged:{self.file}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manual:
    """A file that must be downloaded manually from a web page.

    Attributes:
        file: its published name, under which it is expected in the folder for manual downloads.
        page: where to download it.
        size: approximate, in bytes.
    """

    file: str
    page: str
    size: int

    def __str__(self) -> str:
        return f"by hand:{self.page}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelMember:
    """A file inside a wheel, which the user's pip downloads from its configured index.

    Nothing is installed or run.

    Attributes:
        package: name on the index.
        version: exact.
        member: path of the file in the archive.
        sha256: hex digest of the file.
        size: its bytes.
        wheel_sha256: hex digest of the wheel.
        wheel_size: its bytes.
    """

    package: str
    version: str
    member: str
    sha256: str
    size: int
    wheel_sha256: str
    wheel_size: int

    @property
    def file(self) -> str:
        return self.member.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return f"wheel:{self.package}=={self.version}/{self.member}"


type Source = Hub | Url | Builtin | Manual | WheelMember
