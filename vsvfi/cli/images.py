"""The images that `vsvfi frames` is given: files, a folder, a pattern, or a headerless YUV file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from vsvfi.cli.checks import parse_size
from vsvfi.errors import ArgumentError, VsvfiError
from vsvfi.media.image_sequence import list_images
from vsvfi.media.raw_yuv import RawYUV
from vsvfi.media.stills import ENDINGS, Still, read_still


class Images(Protocol):
    """Images in order."""

    @property
    def files(self) -> Sequence[Path]:
        """The files that they are in."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Return the name of an image in messages."""

    def read(self, index: int) -> Still:
        """An image."""


class Files:
    """Images in files of their own."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        return str(self.files[index])

    def read(self, index: int) -> Still:
        return read_still(self.files[index])


class RawFrames:
    """Frames of a headerless file."""

    def __init__(self, source: RawYUV) -> None:
        self._source = source
        self.files = [source.path]

    def __len__(self) -> int:
        return self._source.frames

    def name(self, index: int) -> str:
        return f"frame {index} of {self._source.path}"

    def read(self, index: int) -> Still:
        return self._source.read(index)


def opened(arguments: argparse.Namespace) -> Images:
    """The images that the command line names.

    Raises:
        ArgumentError, VsvfiError: there are fewer than two, or one does not exist.
    """
    given = arguments.images
    if len(given) == 1 and given[0].lower().endswith(".yuv"):
        path = Path(given[0])
        if not path.is_file():
            raise VsvfiError(f"{path} is not a file; give a headerless YUV file or images")
        size = parse_size(arguments.size or "1920x1080")
        raw = RawYUV.of(path, size, arguments.format, arguments.matrix, full_range=arguments.full_range)
        return _two_or_more(RawFrames(raw), str(path))
    for name in ("size", "format"):
        if getattr(arguments, name) is not None:
            raise ArgumentError(name, getattr(arguments, name), "is for one headerless .yuv file", "leave it out")
    return _two_or_more(Files(_found(given)), ", ".join(given))


def _found(given: Sequence[str]) -> list[Path]:
    if len(given) > 1:
        files = [Path(name) for name in given]
        for path in files:
            if not path.is_file():
                raise VsvfiError(f"{path} is not a file; give images, or one folder or pattern")
        return files
    path = Path(given[0])
    return [path] if path.is_file() else list_images(path, ENDINGS)


def _two_or_more[Kind: Images](images: Kind, given: str) -> Kind:
    if len(images) < 2:
        raise VsvfiError(f"{given} holds {len(images)} images; frames are made between two or more")
    return images
