"""Flow as colours and as files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from vsvfi.media.flow_images import flo, flow_colours


def test_directions_have_the_colours_of_the_wheel() -> None:
    flow = np.zeros((2, 1, 5), np.float32)
    flow[0, 0, :2] = 1, -1
    flow[1, 0, 2:4] = 1, -1
    right, left, down, up, still = flow_colours(flow)[0].tolist()
    assert still == [255, 255, 255]
    assert right[0] == 255
    assert max(right[1:]) < 10
    assert left[2] > 200
    assert left[0] < 40
    assert down[1] > 180
    assert down[2] < 40
    assert up[2] > 200
    assert up[1] < 40


def test_golden_colours(shared: Path) -> None:
    from safetensors.numpy import load_file

    golden = load_file(shared / "goldens" / "metrics" / "metrics.safetensors")
    for name, longest in (("rgb", None), ("rgb_max5", 5.0)):
        made = flow_colours(golden["colour/flow"], longest).transpose(2, 0, 1)
        assert np.array_equal(made, golden[f"colour/{name}"])
    assert np.array_equal(flow_colours(np.zeros((2, 2, 3), np.float32)).transpose(2, 0, 1), golden["colour/zero_rgb"])


def test_flo_files_are_those_of_the_field() -> None:
    flow = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    content = flo(flow)
    assert struct.unpack("<fii", content[:12]) == (pytest.approx(202021.25), 3, 2)
    assert content[:4] == b"PIEH"
    assert np.frombuffer(content[12:], "<f4").reshape(2, 3, 2)[1, 2].tolist() == [5.0, 11.0]
