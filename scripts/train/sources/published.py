"""Loaders of the published training sets; their layouts are those of the original downloads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scripts.evaluate.datasets.folders import entries, find_folder, find_list, folders, images
from scripts.evaluate.datasets.gopro import GOPRO_TEST
from scripts.evaluate.flow_files import read_flow
from scripts.evaluate.images import read_image
from scripts.train.augment import Clip
from scripts.train.batch import Batch
from scripts.train.sources.source import Source, of_clip

GOPRO_TRAIN = tuple(
    f"GOPR{name}"
    for name in (
        "0372_07_00",
        "0372_07_01",
        "0374_11_00",
        "0374_11_01",
        "0374_11_02",
        "0374_11_03",
        "0378_13_00",
        "0379_11_00",
        "0380_11_00",
        "0384_11_01",
        "0384_11_02",
        "0384_11_03",
        "0384_11_04",
        "0385_11_00",
        "0386_11_00",
        "0477_11_00",
        "0857_11_00",
        "0868_11_01",
        "0868_11_02",
        "0871_11_01",
        "0881_11_00",
        "0884_11_00",
    )
)


def frames_of(paths: list[Path]) -> Tensor:
    """Read images as [N, 3, H, W] in [0, 1]."""
    return torch.stack([read_image(path) for path in paths]).float() / 255


TEACHER = "teacher.json"
"""File in a folder of flows that says how they were made."""


def made_by(folder: Path) -> object:
    """Describe the estimator of stored flows; None where there are none."""
    path = folder / TEACHER
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    return "not stated" if folder.is_dir() else None


class Vimeo(Source):
    """Triplets of `tri_trainlist.txt`, with a teacher's flows where there is a folder `flow/`.

    Raises:
        ValueError: some of the flows are missing.
    """

    FOLDER = "flow"

    def __init__(self, root: Path) -> None:
        self.root = find_folder(root, ("vimeo_triplet",))
        self.clips = entries(find_list(self.root, "tri_trainlist.txt"))
        self.taught = (self.root / self.FOLDER).is_dir()
        lacking = [path for entry in self.clips for path in self.flows(self.root, entry) if not path.is_file()]
        if self.taught and lacking:
            raise ValueError(
                f"train: data={root}, {len(lacking)} teacher flows are missing: {lacking[0]} ...; make them with "
                f"scripts.train.teacher, or rename {self.root / self.FOLDER} to train without a teacher"
            )

    @classmethod
    def flows(cls, root: Path, entry: str) -> tuple[Path, Path]:
        """Return the files of a triplet's flows from the middle frame to the first and to the last."""
        return root / cls.FOLDER / entry / "flow_t0.flo", root / cls.FOLDER / entry / "flow_t1.flo"

    def __len__(self) -> int:
        return len(self.clips)

    def draw(self, index: int, epoch: int, random: np.random.Generator) -> Clip:
        entry = self.clips[index]
        flow = torch.cat([read_flow(path)[0] for path in self.flows(self.root, entry)]) if self.taught else None
        return Clip(_triplet(self.root, entry), (0.5,), flow)

    def identity(self) -> dict[str, object]:
        return {"set": "Vimeo90K triplets", "clips": len(self), "teacher": made_by(self.root / self.FOLDER)}

    def validation(self, limit: int) -> list[Batch]:
        listed = entries(find_list(self.root, "tri_testlist.txt"))
        return [of_clip(Clip(_triplet(self.root, entry), (0.5,))) for entry in _spread(listed, limit)]


def _triplet(root: Path, entry: str) -> Tensor:
    return frames_of([root / "sequences" / entry / f"im{k}.png" for k in (1, 2, 3)])


def _spread[T](items: list[T], limit: int) -> list[T]:
    """Return up to `limit` items, evenly spaced."""
    count = min(limit, len(items))
    return [items[index * len(items) // count] for index in range(count)]


class Septuplets(Source):
    """Septuplets of `sep_trainlist.txt`: three of seven frames in order, or the middle three."""

    def __init__(self, root: Path, *, middle: bool = False) -> None:
        self.root = find_folder(root, ("vimeo_septuplet",))
        self.clips, self.middle = entries(find_list(self.root, "sep_trainlist.txt")), middle

    def __len__(self) -> int:
        return len(self.clips)

    def draw(self, index: int, epoch: int, random: np.random.Generator) -> Clip:
        a, b, c = (3, 4, 5) if self.middle else sorted(int(k) + 1 for k in random.choice(7, 3, replace=False))
        return self._clip(self.clips[index], a, b, c)

    def _clip(self, entry: str, a: int, b: int, c: int) -> Clip:
        folder = self.root / "sequences" / entry
        return Clip(frames_of([folder / f"im{k}.png" for k in (a, b, c)]), ((b - a) / (c - a),))

    def identity(self) -> dict[str, object]:
        return {"set": "Vimeo90K septuplets", "clips": len(self), "frames": "3 to 5" if self.middle else "any three"}

    def validation(self, limit: int) -> list[Batch]:
        chosen = _spread(entries(find_list(self.root, "sep_testlist.txt")), limit)
        ends = [(3, 4, 5)] if self.middle else [(1, 4, 7), (1, 2, 7), (3, 4, 5), (2, 6, 7)]
        return [of_clip(self._clip(entry, *ends[index % len(ends)])) for index, entry in enumerate(chosen)]


class GoPro(Source):
    """Groups of nine frames of GoPro's training folders, one every eight frames; seven targets each."""

    def __init__(self, root: Path) -> None:
        self.groups = self._groups(root, GOPRO_TRAIN)
        self.held = self._groups(root, GOPRO_TEST)
        if not self.groups:
            raise ValueError(f"train: data={root}, holds none of GoPro's training folders (GOPR0372_07_00 ...)")

    @staticmethod
    def _groups(root: Path, names: Iterable[str]) -> list[list[Path]]:
        found = []
        for folder in (root / name for name in names):
            shown = images(folder) if folder.is_dir() else []
            found += [shown[8 * i : 8 * i + 9] for i in range((len(shown) - 9) // 8 + 1)]
        return found

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def targets(self) -> int:
        return 7

    def draw(self, index: int, epoch: int, random: np.random.Generator) -> Clip:
        return Clip(frames_of(self.groups[index]), tuple(k / 8 for k in range(1, 8)))

    def identity(self) -> dict[str, object]:
        return {"set": "GoPro", "clips": len(self), "frames": 9}

    def validation(self, limit: int) -> list[Batch]:
        found = []
        for group in _spread(self.held, limit):
            frames = frames_of([group[k] for k in (0, 4, 8)])
            top, left = ((side - 512) // 2 for side in frames.shape[-2:])
            found.append(of_clip(Clip(frames[..., max(0, top) :, max(0, left) :][..., :512, :512], (0.5,))))
        return found


class XTrain(Source):
    """Triplets of X-TRAIN, equally spaced, at most `distance(epoch)` frames apart.

    Args:
        root: with folders SCENE/CLIP/*.png of 65 frames.
        distance: the largest half distance by epoch; None for any.
        side: to which the images are resized by epoch; None for a random reduction by 1, 2 or 4.
    """

    def __init__(
        self, root: Path, distance: Callable[[int], int] | None = None, side: Callable[[int], int] | None = None
    ) -> None:
        self.clips = [clip for scene in folders(root) for clip in folders(scene)]
        self.distance, self.side = distance, side
        if not self.clips:
            raise ValueError(f"train: data={root}, has no folders SCENE/CLIP; give the folder of X-TRAIN")

    def __len__(self) -> int:
        return len(self.clips)

    def draw(self, index: int, epoch: int, random: np.random.Generator) -> Clip:
        shown = images(self.clips[index])
        start = int(random.integers(len(shown) - 2))
        most = (len(shown) - 1 - start) // 2
        if self.distance is not None:
            most = min(most, self.distance(epoch))
        step = int(random.integers(1, most + 1))
        frames = frames_of([shown[start + k * step] for k in range(3)])
        if self.side is not None:
            size = (self.side(epoch),) * 2
        else:
            factor = (1, 1, 2, 4)[int(random.integers(4))]
            size = (frames.shape[2] // factor, frames.shape[3] // factor)
        if size != tuple(frames.shape[2:]):
            frames = functional.interpolate(frames, size=size, mode="bilinear", align_corners=False)
        return Clip(frames, (0.5,))

    def identity(self) -> dict[str, object]:
        return {"set": "X-TRAIN", "clips": len(self)}


def stage(epoch: int) -> int:
    """Return the stage of our curriculum for VFIMamba, 0 to 5."""
    return min(epoch // 50, 5)


def _distance(epoch: int) -> int:
    return 1 << max(1, stage(epoch))


def _side(epoch: int) -> int:
    return int(256 * (1, 1.5, 2, 2.5, 3)[max(1, stage(epoch)) - 1])


class Curriculum(Source):
    """Our curriculum for VFIMamba: Vimeo90K alone, then two samples of it to one of X-TRAIN with growing motion."""

    def __init__(self, vimeo: Path, xtrain: Path) -> None:
        self.vimeo = Vimeo(vimeo)
        self.xtrain = XTrain(xtrain, _distance, _side)

    def __len__(self) -> int:
        return len(self.vimeo)

    def draw(self, index: int, epoch: int, random: np.random.Generator) -> Clip:
        if stage(epoch) and random.random() < 1 / 3:
            return self.xtrain.draw(int(random.integers(len(self.xtrain))), epoch, random)
        drawn = self.vimeo.draw(index, epoch, random)
        return Clip(drawn.frames, drawn.t)

    def identity(self) -> dict[str, object]:
        return {"set": "Vimeo90K triplets and X-TRAIN, our curriculum", "clips": len(self)}

    def validation(self, limit: int) -> list[Batch]:
        return self.vimeo.validation(limit)


class Quintuplets(Source):
    """LDMVFI's data: BVI-DVC quintuplets (five tiles: frames 1, 3, 5, 7, 4), and the septuplets' middle frames."""

    def __init__(self, root: Path) -> None:
        self.files = sorted((root / "bvidvc" / "quintuplets").glob("*/quintuplet.png"))
        septuplets = root / "vimeo_septuplet"
        self.septuplets = Septuplets(septuplets, middle=True) if septuplets.is_dir() else None
        if not self.files:
            raise ValueError(f"train: data={root}, has no bvidvc/quintuplets/*/quintuplet.png; give their folder")

    def __len__(self) -> int:
        return len(self.files) + (len(self.septuplets) if self.septuplets else 0)

    def draw(self, index: int, epoch: int, random: np.random.Generator) -> Clip:
        if index >= len(self.files):
            assert self.septuplets is not None
            return self.septuplets.draw(index - len(self.files), epoch, random)
        tiles = (read_image(self.files[index]).float() / 255).chunk(5, 2)
        return Clip(torch.stack((tiles[1], tiles[4], tiles[2])), (0.5,))

    def identity(self) -> dict[str, object]:
        return {"set": "BVI-DVC quintuplets and Vimeo90K septuplets", "clips": len(self)}

    def validation(self, limit: int) -> list[Batch]:
        return self.septuplets.validation(limit) if self.septuplets else []


class Flows(Source):
    """Stored flows of Vimeo90K triplets for GIMM's first stage: `flow_sequences/ENTRY/imA_imB.flo`.

    Raises:
        ValueError: some of them are missing.
    """

    FOLDER = "flow_sequences"
    NAMES = ("im2_im1", "im2_im3", "im1_im3", "im3_im1")

    def __init__(self, root: Path) -> None:
        self.root = find_folder(root, ("vimeo_triplet",))
        self.lists = {part: entries(find_list(self.root, f"tri_{part}list.txt")) for part in ("train", "test")}
        listed = [path for part in self.lists.values() for entry in part for path in self._files(entry)]
        lacking = [path for path in listed if not path.is_file()]
        if lacking:
            raise ValueError(
                f"train: data={root}, {len(lacking)} flows are missing: {lacking[0]} ...; make them with "
                "python -m scripts.train.teacher gimm"
            )

    def __len__(self) -> int:
        return len(self.lists["train"])

    def draw(self, index: int, epoch: int, random: np.random.Generator) -> Clip:
        return self._clip(self.lists["train"][index])

    def _files(self, entry: str) -> list[Path]:
        return [self.root / self.FOLDER / entry / f"{name}.flo" for name in self.NAMES]

    def _clip(self, entry: str) -> Clip:
        fields = [read_flow(path)[0] for path in self._files(entry)]
        frames = torch.zeros(3, 3, *fields[0].shape[1:])  # stage 1 sees no frames
        return Clip(frames, (0.5,), torch.cat(fields[:2]), torch.cat(fields[2:]))

    def identity(self) -> dict[str, object]:
        return {"set": "flows of Vimeo90K triplets", "clips": len(self), "teacher": made_by(self.root / self.FOLDER)}

    def validation(self, limit: int) -> list[Batch]:
        return [of_clip(self._clip(entry)) for entry in _spread(self.lists["test"], limit)]
