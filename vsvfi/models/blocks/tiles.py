"""Run convolutional parts of a network in tiles, so that their activations do not grow with the picture.

A part whose receptive field is `halo` gives the same result on a window as on the whole picture, once the halo is
cropped; zero padding then only enters where the window ends with the picture. All windows of a picture have one shape,
so that a runtime specialises once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Part:
    """A convolutional part of a network, and what has to be known to run it in tiles.

    Attributes:
        method: the network's method that computes it from windows; a piece of runtimes while there are tiles.
        halo: pixels of the part's grid around a tile that the tile depends on, beyond what is warped or splatted.
        multiple: bounds of windows are multiples of this many pixels.
    """

    method: str
    halo: int
    multiple: int


@dataclass(frozen=True, slots=True)
class Window:
    """A window of a grid, and the tile in it; all in pixels of the grid.

    Attributes:
        grid: (height, width) of the whole grid.
        top, left, height, width: of the window, halo included.
        rows, columns: (begin, end) of the tile.
    """

    grid: tuple[int, int]
    top: int
    left: int
    height: int
    width: int
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def whole(self) -> bool:
        """Whether the window is the whole grid."""
        return (self.height, self.width) == self.grid

    def start(self, values: Tensor) -> tuple[int, int]:
        """The upper left corner in pixels of values [B, C, h, w], which cover the whole grid at any resolution."""
        return self.top * values.shape[-2] // self.grid[0], self.left * values.shape[-1] // self.grid[1]

    def size(self, values: Tensor) -> tuple[int, int]:
        """Height and width of the window in pixels of values."""
        return self.height * values.shape[-2] // self.grid[0], self.width * values.shape[-1] // self.grid[1]

    def of(self, values: Tensor) -> Tensor:
        """The window of values [B, C, h, w], which cover the whole grid at any resolution."""
        if self.whole:
            return values
        (top, left), (height, width) = self.start(values), self.size(values)
        return compact(values[..., top : top + height, left : left + width], values)

    def place(self, made: Tensor, whole: Tensor) -> None:
        """Copy the tile out of a result [B, C, h, w] for the window into a tensor for the whole grid."""
        rows, columns = (
            [bound * made.shape[axis] // length for bound in bounds]
            for bounds, axis, length in ((self.rows, -2, self.height), (self.columns, -1, self.width))
        )
        top, left = self.start(whole)
        tile = made[..., rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]
        whole[..., rows[0] : rows[1], columns[0] : columns[1]] = tile


def windows(grid: Sequence[int], part: Part, tile: int | None) -> list[Window]:
    """Cover a grid with windows of one shape.

    Args:
        grid: its height and width, multiples of `part.multiple`.
        part: what runs in them.
        tile: largest edge of a tile, halo excluded; None for one window.
    """
    height, width = grid
    rows, columns = (list(_spans(length, part, tile or max(height, width))) for length in (height, width))
    return [
        Window((height, width), top, left, tall, wide, (begin, end), (first, last))
        for top, tall, begin, end in rows
        for left, wide, first, last in columns
    ]


def in_windows(cut: Sequence[Window], compute: Callable[[Window], Sequence[Tensor]]) -> list[Tensor]:
    """Compute every window, and put the tiles together.

    Args:
        cut: of `windows`.
        compute: returns tensors [B, C, h, w] for a window, each of any resolution.
    """
    if len(cut) == 1:
        return list(compute(cut[0]))
    found: list[Tensor] = []
    for window in cut:
        made = compute(window)
        if not found:
            found = [_whole(tensor, window) for tensor in made]
        for tensor, whole in zip(made, found, strict=True):
            window.place(tensor, whole)
    return found


def compact(view: Tensor, like: Tensor) -> Tensor:
    """A copy of a view in the memory format of `like`: runtimes keep as much memory as the strides of a view span."""
    last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    return view.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def _spans(length: int, part: Part, tile: int) -> Iterator[tuple[int, int, int, int]]:
    """Windows of one axis: start and length, and begin and end of the tile."""
    count = -(-length // max(tile, part.multiple))
    step = -(-length // (count * part.multiple)) * part.multiple
    halo = -(-part.halo // part.multiple) * part.multiple
    extent = min(length, step + 2 * halo)
    for begin in range(0, length, step):
        yield min(max(begin - halo, 0), length - extent), extent, begin, min(begin + step, length)


def _whole(made: Tensor, window: Window) -> Tensor:
    """An uninitialised tensor for the whole grid, like the result of a window."""
    height, width = (
        size * length // extent
        for size, length, extent in zip(made.shape[-2:], window.grid, (window.height, window.width), strict=True)
    )
    last = made.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.empty((*made.shape[:-2], height, width), dtype=made.dtype, device=made.device, memory_format=layout)
