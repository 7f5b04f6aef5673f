"""Create every data set in miniature, in its published layout: few clips, tiny images, original list files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scripts.evaluate.datasets import gopro, middlebury, xiph
from scripts.evaluate.flow_files import write_flow

type Pixels = NDArray[np.uint8]

WIDTH, HEIGHT = 24, 16


def image(seed: str, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """An image [H, W, 3] that follows from its seed."""
    generator = np.random.default_rng(list(seed.encode()))
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, width: int = WIDTH, height: int = HEIGHT) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image(path.stem + path.parent.name, width, height)).save(path, quality=95)


def load(path: Path) -> Pixels:
    """The pixels that a file holds."""
    return np.array(Image.open(path).convert("RGB"))


def triplets(root: Path) -> None:
    (root / "tri_testlist.txt").parent.mkdir(parents=True, exist_ok=True)
    (root / "tri_testlist.txt").write_bytes(b"00001/0389\r\n00001/0402\r\n\r\n\r\n")
    for entry in ("00001/0389", "00001/0402"):
        for k in (1, 2, 3):
            save(root / "sequences" / entry / f"im{k}.png")


def septuplets(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "sep_testlist.txt").write_text("00001/0266\n00001/0268\n")
    for entry in ("00001/0266", "00001/0268"):
        for k in range(1, 8):
            save(root / "sequences" / entry / f"im{k}.png")


def ucf101_dvf(root: Path) -> None:
    for sample in ("1", "10", "101"):
        for name in ("frame_00.png", "frame_01_gt.png", "frame_02.png"):
            save(root / "ucf101_interp_ours" / sample / name)


def ucf101_qvi(root: Path) -> None:
    for sample in ("0", "1"):
        for name in ("frame1.png", "framet.png", "frame2.png"):
            save(root / "ucf101" / sample / name)


def snu_film(root: Path, *, lists: str = "", prefix: str = "data/SNU-FILM/test/") -> None:
    """One clip of 17 frames, and lists with one line each."""
    clip = root / "test" / "GOPRO_test" / "GOPR0384_11_00"
    for number in range(1, 18):
        save(clip / f"{number:06d}.png")
    (root / lists).mkdir(parents=True, exist_ok=True)
    for level, step in (("easy", 2), ("medium", 4), ("hard", 8), ("extreme", 16)):
        names = (f"{prefix}GOPRO_test/GOPR0384_11_00/{1 + offset:06d}.png" for offset in (0, step // 2, step))
        (root / lists / f"test-{level}.txt").write_text(" ".join(names) + "\n\n")


def xtest(root: Path) -> None:
    for scene in ("Type1/TEST01_a", "Type2/TEST06_b"):
        for number in range(33):
            save(root / "test" / scene / f"{number:04d}.png", 32, 24)


def xiph_clips(root: Path) -> None:
    for clip in xiph.CLIPS:
        for number in range(1, 101):
            if clip in xiph.CLIPS[:1] or number < 4:
                save(root / f"{clip}-{number:03d}.png", 32, 24)


def middlebury_ifrnet(root: Path) -> None:
    for name in middlebury.SEQUENCES:
        size = (18, 12) if name == "Venus" else (WIDTH, HEIGHT)
        for number in (10, 11):
            save(root / "other-data" / name / f"frame{number}.png", *size)
        save(root / "other-gt-interp" / name / "frame10i11.png", *size)


def middlebury_ldmvfi(root: Path) -> None:
    for name in middlebury.SEQUENCES:
        for number in (10, 11):
            save(root / "middlebury_others" / "input" / name / f"frame{number}.png")
        save(root / "middlebury_others" / "gt" / name / "frame10i11.png")


def gopro_videos(root: Path) -> None:
    """25 frames make three groups of nine, and the odd last one is dropped."""
    for number in range(25):
        save(root / gopro.GOPRO_TEST[0] / f"{number:06d}.png", 40, 32)


def adobe_videos(root: Path) -> None:
    for video in ("720p_240fps_1", "720p_240fps_2"):
        for number in range(9):
            save(root / video / f"{number:05d}.png", 40, 32)


def davis(root: Path) -> None:
    for sequence, count in (("bear", 10), ("camel", 8)):
        for number in range(count):
            save(root / "davis90" / sequence / f"{number:05d}.jpg")


def vfitex(root: Path) -> None:
    for sequence, size in (("beach", (WIDTH, HEIGHT)), ("waves_4K", (48, 32))):
        for number in range(1, 10):
            save(root / "vfitex" / sequence / f"{number:03d}.png", *size)


def flows(root: Path, last: int, entry: str = "00001/0389") -> None:
    """A clip and all of its flows, whose list has an unused line."""
    import torch

    root.mkdir(parents=True, exist_ok=True)
    name = "tri_testlist.txt" if last == 3 else "sep_testlist.txt"
    (root / name).write_text(f"{entry}\n00009/9999\n")
    pairs = [(1, last), (last, 1)] + [(k, end) for k in range(2, last) for end in (1, last)]
    for source, target in pairs:
        generator = torch.Generator().manual_seed(10 * source + target)
        path = root / "flow_sequences" / entry / f"im{source}_im{target}.flo"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_flow(path, 3 * torch.randn((1, 2, HEIGHT, WIDTH), generator=generator))


DRAWN: dict[str, Callable[[Path], None]] = {
    "vimeo90k": triplets,
    "vimeo90k_septuplet": septuplets,
    "ucf101": ucf101_dvf,
    "snu_film": snu_film,
    "snu_film_arb": snu_film,
    "xtest": xtest,
    "xtest_l": xtest,
    "xiph": xiph_clips,
    "middlebury": middlebury_ifrnet,
    "gopro": gopro_videos,
    "adobe240": adobe_videos,
    "davis": davis,
    "vfitex": vfitex,
    "vtf": lambda root: flows(root, 3),
    "vsf": lambda root: flows(root, 7),
}
