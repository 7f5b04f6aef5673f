"""The user's own video: decoded once to disk, split into scenes, still and flashing parts left out.

Whole scenes are kept apart for validation. Disk is bounded: of long video, every n-th part of a few seconds is kept.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scripts.train.augment import Clip, crop, reduce
from scripts.train.batch import Batch
from scripts.train.checkpoint import replace_file, write_text
from scripts.train.sources.source import Source, of_clip
from vsvfi.media.probe import first_video, open_container
from vsvfi.media.pyav import pyav

PART = 64
"""Frames of the parts that are kept together where disk is limited."""

HELD = 10
"""Every so many-th scene is kept apart, at least one."""

GAP = 8
"""Frames left out between training and validation where there is one scene only."""

STILL = 0.6 / 255
"""Mean difference of a window's ends below which nothing moves."""

FLASH = 0.06
"""Change of the mean brightness of an inner frame against both ends, in the same direction."""

HIGH_RATE = 47
"""Frames per second from which footage shows finer motion than it will be interpolated from."""

CANDIDATES = 4
"""Random crops of which one is chosen, in proportion to its motion."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A video on disk.

    Attributes:
        file: raw frames, uint8 RGB [count, height, width, 3].
        count, height, width: its shape.
        rate: frames per second.
        parts: first kept frame of each part that is contiguous.
        means: mean brightness of every kept frame, 0 to 1.
        steps: mean absolute difference of every kept frame to the next one, 0 to 1.
        cuts: kept frames after which a scene ends.
    """

    file: str
    count: int
    height: int
    width: int
    rate: float
    parts: list[int]
    means: list[float]
    steps: list[float]
    cuts: list[int]

    def frames(self) -> NDArray[np.uint8]:
        """Map the frames into memory, without reading them."""
        shape = (self.count, self.height, self.width, 3)
        return np.memmap(self.file, dtype=np.uint8, mode="r", shape=shape)


@dataclass(frozen=True, slots=True)
class Window:
    """Equally spaced frames of one scene: `file`, first frame, spacing, number of inner frames (1, 3 or 5)."""

    file: int
    start: int
    spacing: int
    inner: int


def decode(path: Path, folder: Path, limit: int) -> Decoded:
    """Decode a video to disk, at most `limit` bytes, and find its scenes; what was decoded before is kept.

    Raises:
        ValueError: it has no frames.
    """
    name = hashlib.sha256(f"{path.resolve()} {path.stat().st_size} {limit}".encode()).hexdigest()[:16]
    described = folder / f"{name}.json"
    if described.is_file():
        return Decoded(**json.loads(described.read_text(encoding="utf-8")))
    folder.mkdir(parents=True, exist_ok=True)
    raw = folder / f"{name}.rgb"
    facts: dict[str, object] = {}

    def write(draft: Path) -> None:
        facts.update(_write_frames(path, draft, limit))

    replace_file(raw, write)
    decoded = Decoded(file=str(raw), cuts=[], **facts)  # type: ignore[arg-type]
    decoded = Decoded(**{**asdict(decoded), "cuts": _cuts(decoded)})
    replace_file(described, lambda draft: write_text(draft, json.dumps(asdict(decoded))))
    return decoded


def _write_frames(path: Path, draft: Path, limit: int) -> dict[str, object]:
    """Decode the frames to a file; returns their facts."""
    av = pyav()
    parts: list[int] = []
    means: list[float] = []
    steps: list[float] = []
    shape = (0, 0)
    with open_container(av, path) as container, draft.open("wb") as out:
        stream = first_video(container, path)
        stream.thread_type = "AUTO"
        rate = float(Fraction(stream.average_rate or stream.base_rate or 24))
        every, before = 1, None
        for number, frame in enumerate(container.decode(stream)):
            if number == 0:
                shape = (frame.height, frame.width)
                expected = stream.frames or int(float((container.duration or 0) / 1e6) * rate) or 1
                every = -(-expected * frame.height * frame.width * 3 // max(1, limit))
            if (number // PART) % every:
                before = None
                continue
            if (frame.height, frame.width) != shape or out.tell() + 3 * shape[0] * shape[1] > limit:
                break
            pixels = frame.to_ndarray(format="rgb24")
            out.write(pixels.tobytes())
            small = pixels[::4, ::4].astype(np.float32).mean(2) / 255
            if before is None:
                parts.append(len(means))
            if means:
                steps.append(1.0 if before is None else float(np.abs(small - before).mean()))
            means.append(float(small.mean()))
            before = small
    if len(means) < 3:
        raise ValueError(
            f"train: video={path}, has {len(means)} frames that fit; give a longer one, or more --cache-gib"
        )
    return {
        "count": len(means),
        "height": shape[0],
        "width": shape[1],
        "rate": rate,
        "parts": parts,
        "means": means,
        "steps": [*steps, 1.0],
    }


def _cuts(decoded: Decoded) -> list[int]:
    """Find the frames after which a scene ends, with the plugin's own detection."""
    import vapoursynth as vs

    from vsvfi.clip import scenes

    frames = decoded.frames()
    cuts = [start - 1 for start in decoded.parts[1:]]
    for begin, end in pairwise([*decoded.parts, decoded.count]):
        blank = vs.core.std.BlankClip(
            width=decoded.width, height=decoded.height, format=vs.RGB24, length=end - begin, keep=True
        )

        def paint(n: int, f: vs.VideoFrame | list[vs.VideoFrame], begin: int = begin) -> vs.VideoFrame:
            assert isinstance(f, vs.VideoFrame)
            out = f.copy()
            for plane in range(3):
                np.asarray(out[plane])[:] = frames[begin + n, :, :, plane]
            return out

        clip = blank.std.ModifyFrame(blank, paint).resize.Bicubic(format=vs.YUV420P8, matrix=vs.MATRIX_BT709)
        facts = scenes.facts(clip, scene="auto", threshold=None, duplicates=False)
        cuts += [begin + n for n, frame in enumerate(facts.frames()) if n < end - begin - 1 and scenes.read(frame).cut]
    return sorted(cuts)


def decode_all(paths: list[Path], folder: Path, limit: int, workers: int) -> list[Decoded]:
    """Decode all files in worker processes, which share the limit of the disk."""
    share = limit // len(paths)
    if workers < 1:
        return [decode(path, folder, share) for path in paths]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(paths), os.cpu_count() or 1), mp_context=context) as pool:
        return list(pool.map(decode, paths, [folder] * len(paths), [share] * len(paths)))


def scenes_of(video: Decoded) -> list[tuple[int, int]]:
    """Return (first, end) of every scene of three frames or more."""
    ends = [cut + 1 for cut in video.cuts] + [video.count]
    return [(begin, end) for begin, end in pairwise([0, *ends]) if end - begin >= 3]


def windows_of(video: Decoded, file: int, scene: tuple[int, int], inner: tuple[int, ...]) -> Iterator[Window]:
    """Yield the windows of a scene that show steady motion: no held frames, stillness or flashes."""
    begin, end = scene
    spacings = (1, 2) if video.rate >= HIGH_RATE else (1,)
    for count in inner:
        for spacing in spacings:
            span = (count + 1) * spacing
            for start in range(begin, end - span):
                moves = video.steps[start : start + span]
                first, *between, last = video.means[start : start + span + 1 : spacing]
                flashes = any(
                    (mean - first) * (mean - last) > 0 and min(abs(mean - first), abs(mean - last)) > FLASH
                    for mean in between
                )
                if min(moves) > STILL / 2 and sum(moves) > STILL and not flashes:
                    yield Window(file, start, spacing, count)


class Video(Source):
    """Windows of the user's own video.

    Args:
        paths: of the files.
        folder: for decoded frames.
        size: side of the crops.
        middle_only: the model knows t = 1/2 only.
        limit: bytes of decoded frames on disk.
        workers: processes that decode.

    Raises:
        ValueError: nothing in them moves.
    """

    def __init__(
        self, paths: list[Path], folder: Path, size: int, *, middle_only: bool, limit: int, workers: int = 0
    ) -> None:
        self.paths, self.size, self.middle_only = paths, size, middle_only
        self.videos = decode_all(paths, folder, limit, workers)
        small = [path for path, video in zip(paths, self.videos, strict=True) if min(video.height, video.width) < size]
        if small:
            raise ValueError(f"train: --crop={size}, {small[0]} is smaller; pass a smaller --crop")
        scenes = [(index, scene) for index, video in enumerate(self.videos) for scene in scenes_of(video)]
        self.scenes, self.held = _divided(scenes)
        inner = (1,) if middle_only else (1, 3, 5)
        found = [w for file, scene in self.scenes for w in windows_of(self.videos[file], file, scene, inner)]
        self.windows = _favoured(found, [video.rate for video in self.videos])
        if not self.windows:
            raise ValueError(f"train: video={[str(path) for path in paths]}, nothing moves in it; give other video")

    def __len__(self) -> int:
        return len(self.windows)

    def draw(self, index: int, epoch: int, random: np.random.Generator) -> Clip:
        window = self.windows[index]
        inner = 1 + int(random.integers(window.inner)) if not self.middle_only else (window.inner + 1) // 2
        clip = self._clip(window, inner)
        # Frames two apart show twice the motion that the model will see; at half size they show as much.
        if random.random() < 0.5 and min(clip.frames.shape[-2:]) >= 2 * self.size:
            clip = reduce(clip)
        found = [crop(clip, self.size, random) for _ in range(CANDIDATES)]
        motion = np.array([float((part.frames[0] - part.frames[-1]).abs().mean()) for part in found]) + 1e-3
        return found[int(random.choice(CANDIDATES, p=motion / motion.sum()))]

    def _clip(self, window: Window, inner: int) -> Clip:
        frames = self.videos[window.file].frames()
        last = window.inner + 1
        chosen = [frames[window.start + k * window.spacing] for k in (0, inner, last)]
        return Clip(_images(chosen), (inner / last,))

    def identity(self) -> dict[str, object]:
        digests = []
        for path in self.paths:
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        return {
            "set": "video",
            "files": [path.name for path in self.paths],
            "sha256": digests,
            "scenes": len(self.scenes),
            "held_scenes": len(self.held),
            "windows": len(self.windows),
        }

    def validation(self, limit: int) -> list[Batch]:
        inner = (1,) if self.middle_only else (1, 3)
        found = [w for file, scene in self.held for w in windows_of(self.videos[file], file, scene, inner)]
        count = min(limit, len(found))
        chosen = [found[index * len(found) // count] for index in range(count)]
        return [of_clip(self._clip(window, (window.inner + 1) // 2)) for window in chosen]


def _images(frames: list[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255


def _divided(
    scenes: list[tuple[int, tuple[int, int]]],
) -> tuple[list[tuple[int, tuple[int, int]]], list[tuple[int, tuple[int, int]]]]:
    """Divide scenes into those for training and those kept apart; one scene alone is divided in time.

    Raises:
        ValueError: there is no scene, or the only one is too short.
    """
    if len(scenes) > 1:
        held = [scene for index, scene in enumerate(scenes) if index % HELD == min(HELD, len(scenes)) - 1]
        return [scene for scene in scenes if scene not in held], held
    if not scenes or scenes[0][1][1] - scenes[0][1][0] < 4 * GAP:
        raise ValueError(f"train: --data video, has no scene of {4 * GAP} frames; give longer video")
    ((file, (begin, end)),) = scenes
    border = end - max(GAP, (end - begin) // 5)
    return [(file, (begin, border - GAP))], [(file, (border, end))]


def _favoured(windows: list[Window], rates: list[float]) -> list[Window]:
    """Repeat the windows of high rate footage until they are three quarters of all, where there is other footage."""
    high = [window for window in windows if rates[window.file] >= HIGH_RATE]
    low = len(windows) - len(high)
    repeats = max(1, round(3 * low / len(high))) if high else 1
    return windows + high * (repeats - 1)
