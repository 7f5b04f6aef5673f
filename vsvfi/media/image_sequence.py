"""Find the images of a folder or a pattern in order, and check that they make a video: one size, no gaps."""

from __future__ import annotations

import glob
import io
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from vsvfi.errors import ArgumentError, VsvfiError
from vsvfi.media.exif import turn_and_profile
from vsvfi.media.pixels import Pixels, carrier, parse
from vsvfi.media.probe import Media, Stream
from vsvfi.media.pyav import pyav
from vsvfi.media.stills import ENDINGS

SUFFIXES = (*ENDINGS, ".exr", ".jp2", ".tga")
"""Suffixes of the images that are looked for in a folder."""

type Gaps = Literal["refuse", "close", "fill"]
"""What to do where numbers are missing: refuse, treat neighbours as consecutive, or leave time for what is missing."""

_HEAD = 1 << 16
"""Bytes in which most formats have their header; the others are read whole."""

_NUMBERED = re.compile(r"%0?(\d*)d")


@dataclass(frozen=True, slots=True)
class ImageSequence:
    """Images in order.

    Attributes:
        files: of the images.
        numbers: position of each on the timeline, in frames; they differ by one where nothing is missing.
    """

    files: tuple[Path, ...]
    numbers: tuple[int, ...]


def is_sequence(given: Path) -> bool:
    """Return whether a name stands for several images: a folder or a pattern."""
    return given.is_dir() or (not given.is_file() and bool(re.search(r"[*?\[]", given.name) or _numbered(given)))


def list_images(given: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Return the images of a folder, or those that match a pattern such as `shot/*.png` or `shot/%04d.png`.

    They are in natural order: 9 precedes 10.
    """
    if given.is_dir():
        found = [path for path in given.iterdir() if path.suffix.lower() in suffixes and path.is_file()]
    elif match := _numbered(given):
        name = re.compile(
            re.escape(given.name[: match.start()])
            + rf"\d{{{int(match[1] or 1)},}}"
            + re.escape(given.name[match.end() :])
        )
        folder = given.parent
        found = [path for path in folder.iterdir() if name.fullmatch(path.name)] if folder.is_dir() else []
    else:
        found = [path for name in glob.glob(str(given)) if (path := Path(name)).is_file()]
    return sorted((path for path in found if not path.name.startswith(".")), key=natural)


def natural(path: Path) -> list[tuple[int, str]]:
    """Sort key by which 9 comes before 10."""
    parts = re.split(r"(\d+)", os.fspath(path))
    return [(int(part), part) if index % 2 else (0, part) for index, part in enumerate(parts)]


def find_images(given: Path, gaps: Gaps) -> ImageSequence:
    """Return the images that a folder or a pattern stands for.

    Raises:
        VsvfiError: there are fewer than two, they are of several kinds or sequences, or some are missing.
    """
    files = list_images(given)
    if len(files) < 2:
        raise VsvfiError(
            f"{given} holds {len(files)} images ({' '.join(SUFFIXES)}); give a folder or a pattern with two or more"
        )
    kinds = Counter(path.suffix.lower() for path in files)
    if len(kinds) > 1:
        raise VsvfiError(
            f"{given} holds images of several kinds ({', '.join(kinds)}); choose one with a pattern: "
            f"'{(given if given.is_dir() else given.parent) / ('*' + next(iter(kinds)))}'"
        )
    names = Counter(re.sub(r"\d+", "#", path.name) for path in files)
    if len([name for name, count in names.items() if count > 1]) > 1:
        raise VsvfiError(
            f"{given} holds several sequences ({', '.join(list(names)[:4])}); choose one with a pattern such as "
            f"'{files[0].parent / (re.split(r'[0-9]', files[0].name)[0] + '*' + files[0].suffix)}'"
        )
    numbers, first, step = _positions(files)
    missing = _missing([first + number * step for number in numbers], step)
    if missing and gaps == "refuse":
        raise VsvfiError(
            f"{given} lacks the numbers {missing} from {files[0].name} on; add these images, or give --gaps fill to "
            "interpolate over them, or --gaps close to take their neighbours as consecutive"
        )
    if gaps != "fill":
        numbers = range(len(files))
    return ImageSequence(tuple(Path(os.path.abspath(path)) for path in files), tuple(numbers))


def probe_images(images: ImageSequence, rate: Fraction) -> Media:
    """Read the headers of all images.

    Args:
        rate: images per second.

    Returns:
        Its `pixels` name the planar format that all images are converted to.

    Raises:
        VsvfiError: one cannot be read, or sizes differ.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        heads = list(pool.map(_head, images.files))
    for (first, size), (path, other) in pairwise(
        (path, (head.width, head.height)) for path, head in zip(images.files, heads, strict=True)
    ):
        if size != other:
            raise VsvfiError(
                f"{first} has {size[0]}x{size[1]} pixels and {path} {other[0]}x{other[1]}; give images of one size"
            )
    constant = images.numbers == tuple(range(len(images.files)))
    times = tuple(number / rate for number in (*images.numbers, images.numbers[-1] + 1))
    pixels = common_format({head.pixels for head in heads})
    return Media(
        path=images.files[0],
        frames=len(images.files),
        start=Fraction(0),
        rate=rate,
        constant=constant,
        video=Stream(0, "video", ""),
        decoded=len(images.files),
        times=() if constant else times,
        stamps=times,
        width=heads[0].width,
        height=heads[0].height,
        pixels=pixels,
        alpha="gbrap" in pixels,
        bare=True,
    )


def common_format(names: set[str]) -> str:
    """Return ffmpeg's name of a planar format that keeps everything of images in these formats.

    YUV (JPEG, WebP) is kept if all images have the same one; mixed with others it becomes RGB of 16 bits.
    """
    formats = [pyav().VideoFormat(name) for name in names]
    parsed = [parse(name) for name in names]
    if any(re.search(r"f(16|32)(le|be)?$", name) for name in names):
        return "gbrapf32le" if any(_transparent(found) for found in formats) else "gbrpf32le"
    if len(names) == 1 and parsed[0] is not None and parsed[0].family == "yuv" and not parsed[0].alpha:
        return carrier(parsed[0]).name
    alpha = any(_transparent(found) for found in formats)
    depth = max(max(component.bits for component in found.components) for found in formats)
    if any(pixels is not None and pixels.family == "yuv" for pixels in parsed):
        depth = 16
    family = "gray" if not alpha and all(_grey(found) for found in formats) else "rgb"
    bits = next(bits for bits in (8, 10, 12, 16) if bits >= min(depth, 16))
    return carrier(Pixels(family, bits, alpha=alpha)).name


def _transparent(found: Any) -> bool:
    return any(component.is_alpha for component in found.components)


def _grey(found: Any) -> bool:
    return len([component for component in found.components if not component.is_alpha]) == 1


@dataclass(frozen=True, slots=True)
class _Head:
    width: int
    height: int
    pixels: str


def _head(path: Path) -> _Head:
    """Return the size of an image as it is shown, and its pixel format.

    Raises:
        VsvfiError: it cannot be read.
    """
    av = pyav()
    try:
        with open(path, "rb") as file:
            content = file.read(_HEAD)
            for _ in range(2):
                with av.open(io.BytesIO(content)) as container:
                    context = container.streams.video[0].codec_context
                    if context.name == "mjpeg" and str(context.pix_fmt).startswith("gbra"):
                        raise VsvfiError(f"{path} is a CMYK image; convert it to RGB first")
                    if context.width and context.pix_fmt:
                        across = "t" in turn_and_profile(content)[0]
                        size = (context.width, context.height)
                        return _Head(*(size[::-1] if across else size), _without_palette(context.pix_fmt, content))
                content += file.read()
    except (av.FFmpegError, IndexError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not an image"
        raise VsvfiError(f"{path} cannot be read as an image: {reason}") from None
    except OSError as error:
        raise VsvfiError(f"{path} cannot be read ({error.strerror or error}); check the file") from error
    raise VsvfiError(f"{path} cannot be read as an image: its size is unknown; save it as PNG")


def _without_palette(name: str, content: bytes) -> str:
    """Return the format of what a palette stands for; only PNG has transparent entries."""
    if name != "pal8":
        return name
    return "rgba" if content.startswith(b"\x89PNG") and b"tRNS" in content else "rgb24"


def _numbered(given: Path) -> re.Match[str] | None:
    return _NUMBERED.search(given.name)


def _positions(files: Sequence[Path]) -> tuple[Sequence[int], int, int]:
    """Return the position of each image: by the number in its name if names differ in one number, else consecutive.

    Numbers in equal steps (a render of every second frame) are consecutive.

    Returns:
        The positions, the number of the first image, and the step from one number to the next.
    """
    parts = [re.split(r"(\d+)", path.name) for path in files]
    if len({len(one) for one in parts}) > 1:
        return range(len(files)), 0, 1
    varying = [index for index in range(len(parts[0])) if len({one[index] for one in parts}) > 1]
    if len(varying) != 1 or varying[0] % 2 == 0:
        return range(len(files)), 0, 1
    numbers = [int(one[varying[0]]) for one in parts]
    for (first, earlier), (second, later) in pairwise(zip(files, numbers, strict=True)):
        if earlier == later:
            raise VsvfiError(f"{first} and {second} have the same number; remove one of them")
    step = math.gcd(*(later - earlier for earlier, later in pairwise(numbers)))
    return [(number - numbers[0]) // step for number in numbers], numbers[0], step


def _missing(numbers: Sequence[int], step: int) -> str:
    """Return the missing numbers in words, "" for none."""
    holes = [(earlier + step, later - step) for earlier, later in pairwise(numbers) if later - earlier > step]
    shown = [str(first) if first == last else f"{first} to {last}" for first, last in holes[:5]]
    return ", ".join(shown) + (f" and {len(holes) - 5} more gaps" if len(holes) > 5 else "")


def parse_rate(text: str) -> Fraction:
    """Parse --rate.

    Raises:
        ArgumentError: it is no rate.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not Fraction(1, 1000) <= rate <= 1000:
        raise ArgumentError("rate", text, "must be a number of images per second", "use for example 24 or 30000/1001")
    return rate
