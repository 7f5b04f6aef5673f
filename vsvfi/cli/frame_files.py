"""Write the files of `vsvfi frames`: only complete ones, and none over an existing one unless requested."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from vsvfi.cli.output import Output
from vsvfi.cli.programs import find_ffmpeg
from vsvfi.errors import ArgumentError, VsvfiError
from vsvfi.media.animation import ENDINGS, animation_arguments
from vsvfi.media.flow_images import flo, flow_colours
from vsvfi.media.stills import Still, eight_bits, write_new, write_png


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be written.

    Attributes:
        images: how many images there are.
        times: of the new frames of a pair.
        new_only: the images themselves are not written.
        overlay, strip, flow: which of these are written in addition to the frames.
        bits: of the files; None for those of the images.
    """

    images: int
    times: Sequence[Fraction]
    new_only: bool = False
    overlay: bool = False
    strip: bool = False
    flow: bool = False
    bits: int | None = None

    def names(self) -> list[str]:
        """Names of the files that are known beforehand."""
        pairs, new = self.images - 1, len(self.times)
        count = pairs * new if self.new_only else pairs * (new + 1) + 1
        names = [frame_name(index) for index in range(count)]
        names += [f"overlay-{pair:05d}.png" for pair in range(pairs) if self.overlay]
        names += [f"strip-{pair:05d}.png" for pair in range(pairs) if self.strip]
        return names


@dataclass(frozen=True, slots=True)
class Shows:
    """Animations and videos to write.

    Attributes:
        frames: files of all frames in a row.
        beside: such files with the previous source image on the left.
        moving: files of the motion of all new frames in a row, as colours.
        rate: of these, in frames per second.
        crf: quality of videos.
    """

    frames: Sequence[Path] = ()
    beside: Sequence[Path] = ()
    moving: Sequence[Path] = ()
    rate: Fraction = Fraction(24)
    crf: int = 12

    def by_kind(self) -> list[tuple[str, Path]]:
        """Every file with what it shows."""
        kinds = {"frames": self.frames, "beside": self.beside, "moving": self.moving}
        return [(kind, path) for kind, paths in kinds.items() for path in paths]


def frame_name(index: int) -> str:
    """The name of a frame's file."""
    return f"{index:05d}.png"


class FrameFiles:
    """Writes frames into a folder, and into animations; used as a context manager.

    Args:
        folder: made where it does not exist.
        wanted: what is to be written.
        shows: animations of them.
        sources: files that must not be written over.
        overwrite: other files of the same names may be replaced.

    Attributes:
        written: the files, in order.

    Raises:
        VsvfiError: on entering, where a file of the same name exists, or the folder cannot be made.

    A failure leaves no folder behind that was created for it and is empty.
    """

    def __init__(
        self,
        folder: Path,
        wanted: Wanted,
        shows: Shows,
        sources: Sequence[Path],
        *,
        overwrite: bool = False,
    ) -> None:
        self.written: list[Path] = []
        self._folder, self._wanted, self._shows = folder, wanted, shows
        self._sources, self._overwrite = sources, overwrite
        self._stack = contextlib.ExitStack()
        self._created: list[Path] = []
        for _, path in shows.by_kind():
            if path.suffix.lower() not in ENDINGS:
                raise ArgumentError("animation", str(path), f"must end in {', '.join(ENDINGS)}", "choose one of these")
        self._animations: list[tuple[str, _Animation]] = []
        self._shown = 0
        self._held: Still | None = None

    def __enter__(self) -> Self:
        if self._folder.exists() and not self._folder.is_dir():
            raise VsvfiError(f"output {str(self._folder)!r} is a file; give the name of a folder")
        try:
            self._make_folder()
            for name in self._wanted.names():
                self._check(self._folder / name)
            for kind, path in self._shows.by_kind():
                output = self._stack.enter_context(Output(path, self._sources, overwrite=self._overwrite))
                self._animations.append((kind, _Animation(path, output, self._shows.rate, self._shows.crf)))
        except BaseException:
            self._stack.close()
            self._remove_folders()
            raise
        return self

    def _make_folder(self) -> None:
        absolute = self._folder.absolute()
        self._created = [folder for folder in (absolute, *absolute.parents) if not folder.exists()]
        absolute.mkdir(parents=True, exist_ok=True)

    def _remove_folders(self) -> None:
        """Remove the folders that were created, unless something is in them."""
        with contextlib.suppress(OSError):
            for folder in self._created:
                folder.rmdir()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for _, animation in self._animations:
                if kind is None:
                    animation.finish()
                    self.written.append(animation.path)
                else:
                    animation.give_up()
        finally:
            self._stack.close()
            if kind is not None:
                self._remove_folders()

    def image(self, still: Still) -> None:
        """Add a given image, in its place among the frames."""
        self._held = still
        self._show(still, write=not self._wanted.new_only)

    def new(self, still: Still) -> None:
        """Add a new frame."""
        self._show(still, write=True)

    def pair(self, index: int, first: Still, second: Still, made: Sequence[Still]) -> None:
        """Write the requested files of a whole pair."""
        if self._wanted.overlay:
            self._write(f"overlay-{index:05d}.png", _mean(first, second))
        if self._wanted.strip:
            self._write(f"strip-{index:05d}.png", _row([first, *made, second]))

    def flow(self, pair: int, number: int, t: Fraction, flows: dict[str, NDArray[np.float32]]) -> None:
        """Write the flow of a new frame; files that do not depend on its time are written once per pair."""
        colours = {name: Still(flow_colours(flow)) for name, flow in flows.items()}
        for kind, animation in self._animations:
            if kind == "moving":
                animation.add(_row(list(colours.values())))
        for name, flow in flows.items():
            if not self._wanted.flow or ("t" not in name and number):
                continue
            stem = f"flow-{pair:05d}-{name}" + (f"-{number:03d}" if "t" in name else "")
            self._write(f"{stem}.png", colours[name])
            path = self._folder / f"{stem}.flo"
            self._check(path)
            write_new(path, flo(flow), overwrite=self._overwrite)
            self.written.append(path)

    def _show(self, still: Still, *, write: bool) -> None:
        for kind, animation in self._animations:
            if kind == "frames":
                animation.add(still)
            elif kind == "beside":
                assert self._held is not None
                animation.add(_row([self._held, still]))
        if write:
            self._write(frame_name(self._shown), still)
            self._shown += 1

    def _write(self, name: str, still: Still) -> None:
        path = self._folder / name
        self._check(path)
        write_png(path, _of_bits(still, self._wanted.bits), overwrite=self._overwrite)
        self.written.append(path)

    def _check(self, path: Path) -> None:
        """Refuse to overwrite a source image, or any file unless requested."""
        if not os.path.lexists(path):
            return
        if path.exists() and any(path.samefile(source) for source in self._sources if source.exists()):
            raise VsvfiError(f"{path} is one of the images; choose another folder")
        if not self._overwrite:
            raise VsvfiError(f"{path} exists; choose another folder or pass --overwrite")


class _Animation:
    """All frames through ffmpeg into one file."""

    def __init__(self, path: Path, output: Output, rate: Fraction, crf: int) -> None:
        self.path = path
        self._output, self._rate, self._crf = output, rate, crf
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._deep = False

    def add(self, still: Still) -> None:
        """Add the next frame; transparency is blended over white."""
        if self._process is None:
            self._deep = still.bits == 16
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
            command = animation_arguments(
                self._output.begin(), self.path.suffix.lower(), still.size, self._rate, deep=self._deep, crf=self._crf
            )
            self._process = subprocess.Popen(
                [find_ffmpeg(), *command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._errors
            )
        assert self._process.stdin is not None
        pixels = _over_white(_of_bits(still, 16 if self._deep else 8))
        try:
            self._process.stdin.write(pixels.tobytes())
        except OSError:
            self._fail()

    def finish(self) -> None:
        """Wait until the file is complete, and give it its name."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if self._process.wait() != 0:
            self._fail()
        self._close()
        self._output.publish()

    def give_up(self) -> None:
        """Stop ffmpeg."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            with contextlib.suppress(OSError):
                assert self._process.stdin is not None
                self._process.stdin.close()
        self._close()

    def _fail(self) -> None:
        assert self._process is not None
        assert self._errors is not None
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        raise VsvfiError(
            f"ffmpeg could not write {self.path}: {lines[-1] if lines else 'it ended'}; try another ending"
        )

    def _close(self) -> None:
        if self._errors is not None:
            self._errors.close()


def _of_bits(still: Still, bits: int | None) -> Still:
    """Convert an image to samples of `bits` bits."""
    if bits is None or bits == still.bits:
        return still

    def converted(pixels: NDArray[Any]) -> NDArray[Any]:
        return pixels.astype(np.uint16) * 257 if bits == 16 else eight_bits(pixels)

    alpha = None if still.alpha is None else converted(still.alpha)
    return Still(converted(still.colour), alpha, still.grey)


def _over_white(still: Still) -> NDArray[Any]:
    """Blend transparency over white: [H, W, 3]."""
    if still.alpha is None:
        return still.colour
    peak = np.iinfo(still.colour.dtype).max
    part = still.alpha[..., None].astype(np.float32) / np.float32(peak)
    return (still.colour * part + peak * (1 - part)).round().astype(still.colour.dtype)


def _mean(first: Still, second: Still) -> Still:
    """Average both images."""
    bits = max(first.bits, second.bits)
    one, other = _of_bits(first, bits), _of_bits(second, bits)
    mixed = ((one.colour.astype(np.uint32) + other.colour + 1) // 2).astype(one.colour.dtype)
    return Still(mixed, None, first.grey and second.grey)


def _row(stills: Sequence[Still]) -> Still:
    """Put images side by side."""
    bits = max(still.bits for still in stills)
    same = [_of_bits(still, bits) for still in stills]
    peak = np.iinfo(same[0].colour.dtype).max
    alpha = None
    if any(still.alpha is not None for still in same):
        parts = [np.full_like(still.colour[..., 0], peak) if still.alpha is None else still.alpha for still in same]
        alpha = np.concatenate(parts, 1)
    return Still(np.concatenate([still.colour for still in same], 1), alpha, all(still.grey for still in same))
