"""Read 8-bit images of data sets, apply a set's view, and write predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from scripts.evaluate.datasets.item import View
from scripts.png import save_png
from vsvfi.errors import ArgumentError

_MODES = ("RGB", "RGBA", "L", "P")
"""Kinds of images of at most 8 bits that are RGB after conversion; alpha is dropped."""

_ENDS = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}
_TAIL = 1 << 12
"""Bytes at the end of a file that are searched for the mark that ends its format."""


def image_size(path: Path) -> tuple[int, int]:
    """Read (width, height) from an image's header; its end is looked at, its pixels are not.

    Raises:
        ArgumentError: it is no image of 8 bits, or its end is missing.
    """
    with _opened(path) as image:
        size, end = image.size, _ENDS.get(image.format or "", b"")
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        if end not in file.read():
            raise ArgumentError("data", str(path), "cannot be decoded (its end is missing)", "fetch the file again")
    return size


def read_image(path: Path) -> Tensor:
    """Read an image as uint8 RGB [3, H, W].

    Raises:
        ArgumentError: it is no image of 8 bits, or is damaged.
    """
    with _opened(path) as image:
        try:
            pixels = np.array(image.convert("RGB"))
        except (OSError, SyntaxError) as error:  # Pillow's errors for truncated and damaged files
            raise ArgumentError("data", str(path), f"cannot be decoded ({error})", "fetch the file again") from error
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def viewed(image: Tensor, view: View) -> Tensor:
    """A uint8 image [3, H, W] as a set shows it: float32 [1, 3, h, w] in [0, 1]."""
    image = cropped(image, view)
    if view.reduce == "bytes":
        parts = functional.avg_pool2d(image[None].to(torch.float64), 2, divisor_override=1)
        return ((parts + 2) / 4).floor().to(torch.float32) / 255
    image = image[None].to(torch.float32) / 255
    return functional.avg_pool2d(image, 2) if view.reduce == "float" else image


def cropped(image: Tensor, view: View) -> Tensor:
    """Return the part of [.., H, W] inside a view."""
    if view.crop is None:
        return image
    height, width = image.shape[-2:]
    rows, columns = (height // 2, width // 2) if view.crop == "half" else (view.crop, view.crop)
    top, left = (height - rows) // 2, (width - columns) // 2
    return image[..., top : top + rows, left : left + columns]


def write_image(path: Path, image: Tensor) -> None:
    """Write [1, 3, H, W] in [0, 1] as an 8-bit PNG, see `save_png`."""
    save_png(path, image[0].float().cpu().numpy())


def _opened(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
    except UnidentifiedImageError:
        raise ArgumentError("data", str(path), "is not an image", "fetch the file again") from None
    if image.mode not in _MODES:
        image.close()
        raise ArgumentError("data", str(path), f"is of mode {image.mode}, must be 8 bits", "convert it to 8-bit RGB")
    return image
