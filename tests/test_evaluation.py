"""The scoring programs: their measures on cases with known answers, and one small run."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from scripts.evaluate import temporal
from scripts.evaluate.minterpolate import minterpolate
from vsvfi.synthetic import scene


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (1.5, -0.75), (-4.0, 2.0)])
def test_optical_flow_finds_a_shift(x: float, y: float) -> None:
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(80.0), indexing="ij")

    def picture(left: float, top: float) -> torch.Tensor:
        return (0.5 + 0.2 * torch.sin((columns - left) / 4) + 0.2 * torch.cos((rows - top) / 5) + 0.1 * torch.sin((columns - left + rows - top) / 7))[None, None]

    flow = temporal.optical_flow(picture(0, 0), picture(x, y))[0, :, 12:-12, 12:-12]
    assert float((flow - torch.tensor([x, y])[:, None, None]).abs().mean()) < 0.05


def test_minterpolate_lines_up() -> None:
    pytest.importorskip("imageio_ffmpeg", reason="needs the extra `video`")
    shown = scene(5, 96, 64, kind="mixed")
    drawn = [np.ascontiguousarray(shown.frame(3.0 + step / 2)) for step in range(9)]
    made = minterpolate(drawn[::2], 2)
    assert len(made) == len(drawn)
    for index in range(0, 9, 2):
        assert float(np.abs(made[index] - drawn[index]).mean()) < 2 / 255
    assert all(float(np.abs(made[index] - drawn[index]).mean()) < 0.05 for index in range(1, 9, 2))


def test_methods_are_scored_over_time(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("imageio_ffmpeg", reason="needs the extra `video`")
    assert temporal.main(["--scenes", "1", "--sources", "2", "--size", "96", "64", "--device", "cpu"]) == 0
    methods = json.loads(capsys.readouterr().out.splitlines()[-1])["methods"]
    assert set(methods) == {"repeat", "blend", "minterpolate", "model"}
    assert all(len(found["psnr"]) == 7 for found in methods.values())
    assert methods["model"]["flicker"] < methods["repeat"]["flicker"]
    assert methods["model"]["psnr"][3] > methods["blend"]["psnr"][3]
