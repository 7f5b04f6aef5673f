"""Read frames of headerless planar YUV files, the format of many test sequences."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vsvfi.errors import ArgumentError, VsvfiError
from vsvfi.media.pyav import pyav
from vsvfi.media.stills import Still, eight_bits, exactly_converted

_SUBSAMPLING = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}
_PIXEL_FORMAT = re.compile(r"yuv(420|422|444)p(?:(9|10|12|14|16)le)?")


@dataclass(frozen=True, slots=True)
class RawYUV:
    """A headerless file.

    Attributes:
        path: the file.
        width, height: of its frames.
        pixel_format: ffmpeg's name of the pixel format: yuv420p, yuv444p10le ...
        matrix: "601" or "709".
        full_range: samples use all codes.
        frames: number of frames.
    """

    path: Path
    width: int
    height: int
    pixel_format: str
    matrix: str
    full_range: bool
    frames: int

    @classmethod
    def of(
        cls,
        path: Path,
        size: tuple[int, int],
        pixel_format: str | None = None,
        matrix: str = "601",
        *,
        full_range: bool = False,
    ) -> RawYUV:
        """Derive the number of frames from a file's length.

        Args:
            path: the file.
            size: width and height.
            pixel_format: None reads it off the name: "10bit", "16bit" or else 8 bits, "444", "422" or else 4:2:0.
            matrix: "601" or "709".
            full_range: samples use all codes.

        Raises:
            ArgumentError: the format is none of these, or the size does not fit the file.
        """
        pixel_format = pixel_format or pixel_format_of_name(path.name)
        if not _PIXEL_FORMAT.fullmatch(pixel_format):
            raise ArgumentError(
                "format", pixel_format, "must be planar YUV such as yuv420p, yuv422p10le", "give one of these"
            )
        found = cls(path, *size, pixel_format, matrix, full_range, 0)
        length = os.path.getsize(path)
        across, down = _SUBSAMPLING[pixel_format[3:6]]
        if size[0] % across or size[1] % down:
            rule = f"cannot be {pixel_format}, whose chroma is {across}x{down} times smaller"
            raise ArgumentError("size", f"{size[0]}x{size[1]}", rule, "give the size that the file was made with")
        if length == 0 or length % found.frame_bytes:
            raise ArgumentError(
                "size",
                f"{size[0]}x{size[1]}",
                f"does not fit {path.name}: its {length} bytes are no whole number of {pixel_format} frames of "
                f"{found.frame_bytes}",
                "give its size and --format",
            )
        return cls(path, *size, pixel_format, matrix, full_range, length // found.frame_bytes)

    @property
    def frame_bytes(self) -> int:
        """Size of a frame in bytes."""
        across, down = _SUBSAMPLING[self.pixel_format[3:6]]
        samples = self.width * self.height + 2 * (self.width // across) * (self.height // down)
        return samples * (2 if self.pixel_format.endswith("le") else 1)

    def read(self, index: int) -> Still:
        """Read a frame as RGB, of 16 bits if it has more than 8.

        Raises:
            VsvfiError: the file has become shorter.
        """
        with self.path.open("rb") as file:
            file.seek(index * self.frame_bytes)
            content = file.read(self.frame_bytes)
        if len(content) < self.frame_bytes:
            raise VsvfiError(f"{self.path} ends inside frame {index}; it was changed while it was read")
        av = pyav()
        frame = av.VideoFrame(self.width, self.height, self.pixel_format)
        deep = self.pixel_format.endswith("le")
        start = 0
        for plane in frame.planes:
            row = plane.width * (2 if deep else 1)
            rows = np.frombuffer(content, np.uint8, row * plane.height, start).reshape(plane.height, row)
            padded = np.zeros((plane.height, plane.line_size), np.uint8)
            padded[:, :row] = rows
            plane.update(padded.tobytes())
            start += row * plane.height
        converted = exactly_converted(frame, "rgb48le", self.matrix, limited=not self.full_range)
        pixels = converted.to_ndarray()
        return Still(pixels if deep else eight_bits(pixels))


def pixel_format_of_name(name: str) -> str:
    """Return the pixel format in a file's name, in the notation of data sets."""
    subsampling = next((kind for kind in ("444", "422") if kind in name), "420")
    bits = next((bits for bits in (16, 14, 12, 10, 9) if f"{bits}bit" in name), 8)
    return f"yuv{subsampling}p" + (f"{bits}le" if bits > 8 else "")
