"""Read a video for a comparison: frames, scene cuts, and the places where models can be compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from vsvfi.clip import scenes
from vsvfi.clip.colour import Colour
from vsvfi.clip.planes import planes_of
from vsvfi.clip.readable import readable
from vsvfi.compare.places import RUN, Place, positions, run_from
from vsvfi.plan.policy import Facts

type Image = NDArray[np.float32]
"""RGB [3, H, W], nominally 0 to 1."""

_LOOK = (16, 9)
_MANY = 1 << 20
"""Length of a clip of stored frames, more than are ever requested."""


class Shelf:
    """A clip whose frames are stored one by one.

    Args:
        like: the clip whose format, size and rate it has.
        length: number of frames.
    """

    def __init__(self, like: vs.VideoNode, length: int) -> None:
        self._frames: dict[int, vs.VideoFrame] = {}
        blank = like.std.BlankClip(length=length, keep=True)
        self.clip = blank.std.ModifyFrame(blank, lambda n, f: self._frames[n])

    def put(self, frames: Mapping[int, vs.VideoFrame]) -> None:
        """Replace all stored frames."""
        self._frames.clear()
        self._frames.update(frames)


class Conversion:
    """Convert frames of a format to RGB images and back like `interpolate()`.

    Args:
        clip: of the format and size.
    """

    def __init__(self, clip: vs.VideoNode) -> None:
        colour = Colour(clip, vs.RGBS, None)
        self._frames = Shelf(clip, _MANY)
        self._rgb = colour.to_rgb(self._frames.clip)
        self._images = Shelf(self._rgb, _MANY)
        images = self._images.clip
        self._back = colour.from_rgb(images, self._frames.clip, images, images)
        self._asked = 0

    def image(self, frame: vs.VideoFrame) -> Image:
        """The frame in RGB."""
        self._asked += 1  # each frame has its own number, so that no filter has an older one in its cache
        self._frames.put({self._asked: frame})
        with self._rgb.get_frame(self._asked) as converted:
            return np.stack(planes_of(converted)).astype(np.float32)

    def through(self, image: Image, like: vs.VideoFrame) -> Image:
        """The image as it looks in the format of the frame `like`, with its rounding and its chroma."""
        rgb = vs.core.core.create_video_frame(vs.core.core.get_video_format(vs.RGBS), like.width, like.height)
        for plane, values in zip(planes_of(rgb), image, strict=True):
            np.copyto(plane, values)
        self._asked += 1
        self._frames.put({self._asked: like})
        self._images.put({self._asked: rgb})
        with self._back.get_frame(self._asked) as frame:
            made = frame.copy()
        made.props.update(like.props)
        return self.image(made)


class Source:
    """A video to compare models on.

    Args:
        clip: the frames that a player shows, of constant format.
        times: when each frame begins, in seconds, and the end of the last; empty at a constant rate.
    """

    def __init__(self, clip: vs.VideoNode, times: Sequence[Fraction] = ()) -> None:
        self.clip = clip
        self.times = times
        self._facts = scenes.facts(readable(clip), scene="auto", threshold=None)
        self._seen: dict[int, Facts] = {}
        grey = clip if clip.format.color_family != vs.RGB else clip.std.ShufflePlanes(1, vs.GRAY)
        grey = grey.std.ShufflePlanes(0, vs.GRAY).std.RemoveFrameProps()
        self._grey = grey.resize.Point(format=vs.GRAYS)
        small = clip.std.RemoveFrameProps()
        video_format = {vs.GRAY: vs.GRAYS, vs.RGB: vs.RGBS}.get(clip.format.color_family, vs.YUV444PS)
        self._look = small.resize.Bilinear(*_LOOK, format=video_format)

    def step(self, n: int) -> Facts:
        """Facts about the step from frame n to the next."""
        if n not in self._seen:
            with self._facts.get_frame(n) as frame:
                self._seen[n] = scenes.read(frame)
        return self._seen[n]

    def candidates(
        self, wanted: int, seconds: float, report: Callable[[int, int], None] = lambda done, of: None
    ) -> list[Place]:
        """Find places spread over the whole video within the given time, but at least one if there is any.

        Args:
            wanted: how many to examine.
            seconds: time to look for them.
            report: called with the number examined and the number wanted.
        """
        last = self.clip.num_frames - 1
        spots = sorted({round(index * max(last - RUN + 1, 0) / max(wanted - 1, 1)) for index in range(wanted)})
        until = time.monotonic() + seconds
        found: list[Place] = []

        def step(n: int) -> Facts:
            if found and time.monotonic() > until:
                raise TimeoutError
            return self.step(n)

        for done, position in enumerate(positions(len(spots))):
            report(done, len(spots))
            try:
                run = run_from(spots[position], last, step, self.times)
            except TimeoutError:
                break
            if run is not None and not any(place.frames == run for place in found):
                found.append(self._place(run))
        return found

    def rate(self) -> Fraction:
        """Frames per second, the mean if it varies."""
        if not self.times:
            return Fraction(self.clip.fps)
        return (Fraction(self.clip.num_frames) / (self.times[-1] - self.times[0])).limit_denominator(1001)

    def frames(self, numbers: Iterable[int]) -> dict[int, vs.VideoFrame]:
        """Source frames by number."""
        return {n: self.clip.get_frame(n) for n in numbers}

    def _place(self, run: tuple[int, ...]) -> Place:
        middle = run[len(run) // 2]
        near = run[len(run) // 2 + 1]
        with self._grey.get_frame(middle) as frame:
            grey = np.asarray(frame[0])
            detail = (
                float(np.abs(np.diff(grey, axis=axis)).mean()) if grey.shape[axis] > 1 else 0.0 for axis in (0, 1)
            )
            sharpness = sum(detail)
            with self._grey.get_frame(near) as after:
                change = np.asarray(after[0]) - grey
        with self._look.get_frame(middle) as frame:
            look = np.concatenate([np.asarray(frame[plane]).ravel() for plane in range(frame.format.num_planes)])
        return Place(run, sharpness, float(np.abs(change - change.mean()).mean()), tuple(map(float, look)))
