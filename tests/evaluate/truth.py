"""Expected results of the benchmark on a miniature, computed independently from its files by the specification."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.evaluate import layouts

type Floats = NDArray[np.float64]


def psnr(prediction: Floats, truth: Floats) -> float:
    return float(-10 * np.log10(np.mean((prediction - truth) ** 2)))


def halved(image: Floats) -> Floats:
    summed: Floats = image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]
    return summed


def shown(name: str, split: str, path: Path, crop: int = 0) -> Floats:
    """What a set shows of an image, [H, W, 3] in [0, 1]: written anew from the specification."""
    image = layouts.load(path).astype(np.float64)
    height, width, _ = image.shape
    if name in ("xtest", "xtest_l") and split == "2k":
        return halved(image) / 4 / 255
    if name == "xiph" and split == "2k":
        return (halved(image) + 2) // 4 / 255
    if (name == "xiph" and split == "4k") or "4K" in path.parent.name:
        return image[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] / 255
    if crop:
        top, left = (height - crop) // 2, (width - crop) // 2
        return image[top : top + crop, left : left + crop] / 255
    return image / 255


def expected(name: str, split: str, triplets: list[tuple[Path, Path, Path, float]], crop: int = 0) -> list[float]:
    """PSNR of blending for (first, second, truth, t)."""
    found = []
    for first, second, truth, t in triplets:
        before, after, true = (shown(name, split, path, crop) for path in (first, second, truth))
        found.append(psnr((1 - t) * before + t * after, true))
    return found


def listed(name: str, root: Path) -> dict[str, list[tuple[Path, Path, Path, float]]]:
    """(first, second, truth, t) of every split, by folder names alone."""
    if name == "vimeo90k":
        clips = [root / "sequences" / entry for entry in ("00001/0389", "00001/0402")]
        return {"all": [(clip / "im1.png", clip / "im3.png", clip / "im2.png", 0.5) for clip in clips]}
    if name == "vimeo90k_septuplet":
        clips = [root / "sequences" / entry for entry in ("00001/0266", "00001/0268")]
        return {
            "all": [
                (clip / "im1.png", clip / "im7.png", clip / f"im{k}.png", (k - 1) / 6)
                for clip in clips
                for k in range(2, 7)
            ]
        }
    if name == "ucf101":
        samples = [root / "ucf101_interp_ours" / sample for sample in ("1", "10", "101")]
        names = "frame_00.png", "frame_02.png", "frame_01_gt.png"
        return {"dvf": [(sample / names[0], sample / names[1], sample / names[2], 0.5) for sample in samples]}
    if name.startswith("snu_film"):
        clip = root / "test" / "GOPRO_test" / "GOPR0384_11_00"
        steps = {"easy": 2, "medium": 4, "hard": 8, "extreme": 16}

        def frame(number: int) -> Path:
            return clip / f"{number:06d}.png"

        if name == "snu_film":
            return {level: [(frame(1), frame(1 + s), frame(1 + s // 2), 0.5)] for level, s in steps.items()}
        return {
            level: [(frame(1), frame(1 + s), frame(1 + k), k / s) for k in range(1, s)]
            for level, s in steps.items()
            if level != "easy"
        }
    if name.startswith("xtest"):
        scenes = [root / "test" / scene for scene in ("Type1/TEST01_a", "Type2/TEST06_b")]
        offsets = range(4, 32, 4) if name == "xtest" else (16,)
        rows = [
            (scene / "0000.png", scene / "0032.png", scene / f"{k:04d}.png", k / 32)
            for scene in scenes
            for k in offsets
        ]
        return {"2k": rows, "4k": rows}
    if name == "xiph":
        clip = "BoxingPractice"
        rows = [
            (root / f"{clip}-{k - 1:03d}.png", root / f"{clip}-{k + 1:03d}.png", root / f"{clip}-{k:03d}.png", 0.5)
            for k in range(2, 99, 2)
        ]
        rows += [
            (root / f"{clip}-001.png", root / f"{clip}-003.png", root / f"{clip}-002.png", 0.5)
            for clip in sorted({path.stem[:-4] for path in root.iterdir()} - {clip})
        ]
        return {"2k": rows, "4k": rows}
    if name == "middlebury":
        return {
            "all": [
                (inputs / "frame10.png", inputs / "frame11.png", root / "other-gt-interp" / inputs.name / truth, 0.5)
                for inputs in (root / "other-data").iterdir()
                for truth in ("frame10i11.png",)
            ]
        }
    video = root / "GOPR0384_11_00"
    if name == "gopro":
        return {
            "all": [
                (video / f"{b:06d}.png", video / f"{b + 8:06d}.png", video / f"{b + k:06d}.png", k / 8)
                for b in (0, 8)
                for k in range(1, 8)
            ]
        }
    videos = [root / f"720p_240fps_{number}" for number in (1, 2)]
    return {
        "all": [
            (video / "00000.png", video / "00008.png", video / f"{k:05d}.png", k / 8)
            for video in videos
            for k in range(1, 8)
        ]
    }


def ssim(prediction: Floats, truth: Floats) -> float:
    """Of images [H, W, 3] as volumes: every side continued by 5, a Gaussian of 11 taps along each axis."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    taps /= taps.sum()

    def filtered(volume: Floats) -> Floats:
        volume = np.pad(volume, 5, mode="edge")
        for axis in range(3):
            volume = np.apply_along_axis(np.convolve, axis, volume, taps, "valid")
        return volume

    m, n = filtered(prediction), filtered(truth)
    vp, vg = filtered(prediction**2) - m * m, filtered(truth**2) - n * n
    above = (2 * m * n + 1e-4) * (2 * (filtered(prediction * truth) - m * n) + 9e-4)
    return float(np.mean(above / ((m * m + n * n + 1e-4) * (vp + vg + 9e-4))))
