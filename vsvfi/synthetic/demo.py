"""Render the demo clip: three scenes, two cuts, one scene on twos, with ground truth at fractional positions.

Scene one is textured (hills, a balloon, a rolling wheel), scene two a cel-shaded cartoon on twos, scene three a night
street with fast motion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vsvfi.errors import ArgumentError
from vsvfi.synthetic.demo_scenes import Stage, cartoon, hills, street
from vsvfi.synthetic.scene import Scene
from vsvfi.synthetic.texture import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Scenes one after another.

    Attributes:
        scenes: in order.
        starts: index of each one's first frame, and the clip's length at the end.
        twos: for each scene, whether its drawings are held for two frames.
    """

    scenes: tuple[Scene, ...]
    starts: tuple[int, ...]
    twos: tuple[bool, ...]

    @property
    def length(self) -> int:
        """Number of frames."""
        return self.starts[-1]

    @property
    def cuts(self) -> tuple[int, ...]:
        """Index of the first frame of each scene but the first."""
        return self.starts[1:-1]

    @property
    def held(self) -> tuple[range, ...]:
        """Ranges of frames on twos, where frames 2i and 2i + 1 are identical."""
        return tuple(range(start, end) for start, end, twos in zip(self.starts, self.starts[1:], self.twos) if twos)

    def frame(self, position: float) -> Array:
        """The image at a position from 0 to length - 1, possibly fractional: [3, H, W] float32 RGB in [0, 1].

        Within a scene that is not held, a fractional position shows the scene at exactly that time; in a held part it
        shows the drawing held there.
        """
        if not 0 <= position <= self.length - 1:
            raise ArgumentError(
                "position", position, f"must lie between 0 and {self.length - 1}", "ask for a frame of the clip"
            )
        index = next(i for i, end in enumerate(self.starts[1:]) if position < end)
        # the last frame of a scene is held until the cut
        inside = min(position - self.starts[index], self.starts[index + 1] - self.starts[index] - 1)
        if self.twos[index]:
            inside = 2 * (math.floor(inside) // 2)
        return self.scenes[index].frame(float(inside))

    def truth(self, position: float) -> Array:
        """The ideal interpolation result at a position.

        The same as `frame`, so scenes are not blended across a cut and held drawings stay unchanged.
        """
        return self.frame(position)


def demo_clip(width: int = 640, height: int = 360, length: int = 48, seed: int = 0) -> Clip:
    """Build the demo clip in any size and length (at least 12 frames); the seed varies textures and positions."""
    if length < 12:
        raise ArgumentError("length", length, "must be at least 12 frames", "take a longer clip")
    if min(width, height) < 16:
        raise ArgumentError("size", (width, height), "must be at least 16x16", "take a larger image")
    starts = (0, length * 3 // 8 // 2 * 2, length * 2 // 3 // 2 * 2, length)
    stage = Stage(width, height, seed)
    return Clip(scenes=(hills(stage), cartoon(stage), street(stage)), starts=starts, twos=(False, True, False))
