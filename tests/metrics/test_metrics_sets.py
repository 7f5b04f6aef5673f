"""What the published programs do around their metrics: which frames they take, how they halve, pad and colour."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")

from scripts.evaluate.datasets import SETS, Item, Request, View
from scripts.evaluate.images import viewed
from scripts.evaluate.motion_model import MotionPredictor
from scripts.evaluate.predict import paddings
from scripts.evaluate.protocols import Canvas, protocol_for
from tests.evaluate import layouts
from tests.metrics.goldens import cases, needs_goldens, section, tensors
from vsvfi.engine.padding import Padding
from vsvfi.media.flow_images import flow_colours
from vsvfi.models.family import BuildConfig, SizeRule
from vsvfi.models.ldmvfi.spec import padded_size
from vsvfi.models.registry import find
from vsvfi.models.uprnet.spec import default_scale, levels_for
from vsvfi.plan.bisection import bisection_path, nearest

pytestmark = needs_goldens

RULES = {
    "ifrnet snu-film": (("ifrnet", "snu_film", "hard"), ("ifrnet_l", "snu_film", "easy")),
    "vfimamba snu-film, x-test; gimmvfi all": (
        ("vfimamba", "snu_film", "easy"),
        ("vfimamba_s", "xtest", "4k"),
        ("vfimamba_s", "xtest_l", "2k"),
        ("gimmvfi_r", "snu_film_arb", "hard"),
        ("gimmvfi_f", "xtest", "4k"),
    ),
    "vfimamba xiph": (("vfimamba", "xiph", "2k"), ("vfimamba_s", "xiph", "4k")),
    "uprnet snu-film": (("uprnet_base", "snu_film", "easy"),),
    "uprnet x-test": (("uprnet_large", "xtest", "4k"),),
    "ifrnet middlebury": (("ifrnet_l", "middlebury", "all"),),
}
"""Rules of the stored cases that are settings of the benchmark: (model, set, split)."""

INDICES: dict[str, Any] = cases().get("indices", {})
PADDING: list[dict[str, Any]] = cases().get("padding", [])


def index(key: str) -> Any:
    if key not in INDICES:
        pytest.skip(f"the reference data of the metrics have no lists of {key}")
    return INDICES[key]


def numbers(item: Item) -> list[int]:
    """First input, second input and targets by the numbers in their file names."""
    paths = [*item.inputs, *(target.truth[0] for target in item.targets)]
    return [int(path.stem.rpartition("-")[2]) for path in paths]


def empty(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


@pytest.mark.parametrize("case", PADDING, ids=lambda case: f"{case['rule']} {case['width']}x{case['height']}")
def test_golden_padding(case: dict[str, Any]) -> None:
    width, height = case["width"], case["height"]
    border = case["border"] if case["border"] in ("replicate", "reflect") else "constant"
    value = float(case["border"]) if border == "constant" else 0.0
    wanted = Padding(width, height, case["left"], case["right"], case["top"], case["bottom"], border, value)
    if case["rule"] == "ldmvfi":  # inside its network
        sides = case["left"], case["top"], width + case["right"], height + case["bottom"]
        assert sides == (0, 0, *reversed(padded_size(height, width)))
    elif case["rule"] == "uprnet demo":
        family, _ = find("uprnet_base")
        scale = default_scale(width, height)
        build = family.build_config(width, height, scale, {**family.option_defaults, "levels": case["levels"]})
        assert Padding.of(build, width, height) == wanted
        assert levels_for(width, height) == case["levels"] or height > width
    else:
        for model, data, split in RULES[case["rule"]]:
            padding = protocol_for(find(model)[0].name, model, data, split).padding
            if isinstance(padding, Canvas) and (width > padding.width or height > padding.height):
                pytest.skip("the set has no images larger than its canvas")
            assert paddings(padding, BuildConfig(Fraction(1), SizeRule(multiple=1), {}), width, height)[0] == wanted


@pytest.mark.parametrize(("name", "key"), [("xtest", "xtest_8x"), ("xtest_l", "xtest_2x")])
def test_golden_frames_of_xtest(name: str, key: str, tmp_path: Path) -> None:
    stored = index(key)
    last = max(int(Path(line[1]).stem) for line in stored)
    for scene in {str(Path(line[0]).parent) for line in stored}:
        empty(tmp_path / scene, *(f"{number:04d}.png" for number in range(last + 1)))
    for split in SETS[name].load(Request(tmp_path)):
        found = [
            [path.relative_to(tmp_path).as_posix() for path in (*item.inputs, *target.truth)] + [float(target.time)]
            for item in split.items
            for target in item.targets
        ]
        assert found == stored


@pytest.mark.parametrize(("factor", "times"), INDICES.get("halving", {}).items())
def test_golden_times_of_bisection(factor: str, times: list[float]) -> None:
    """Bisection reaches each timestep of the published program without rounding it.

    For factors that are no power of two, that program produces fewer frames.
    """
    for number in times[1:]:
        t = Fraction(number)
        assert nearest(t) == t
        path = bisection_path(t)
        assert sum(path[-1]) / 2 == t
        assert len(path) <= int(factor).bit_length() - 1
    assert [b - a for a, b in pairwise(times)] == [1 / len(times)] * (len(times) - 1)


@pytest.mark.parametrize(
    ("name", "key", "origin", "digits", "suffix"),
    [("davis", "davis90", 0, 5, "jpg"), ("vfitex", "vfitex", 1, 3, "png"), ("adobe240", "gopro", 0, 4, "png")],
)
def test_golden_frames_of_sequences(name: str, key: str, origin: int, digits: int, suffix: str, tmp_path: Path) -> None:
    for count, stored in index(key).items():
        root = tmp_path / count
        empty(root / "clip", *(f"{origin + number:0{digits}d}.{suffix}" for number in range(int(count))))
        (split,) = SETS[name].load(Request(root, settings={"keep_last": True}))
        found = [numbers(item) for item in split.items]
        if key == "gopro":
            found = [[first, *targets, second] for first, second, *targets in found]
        assert found == stored


def test_golden_frames_of_xiph(tmp_path: Path) -> None:
    layouts.xiph_clips(tmp_path)
    for split in SETS["xiph"].load(Request(tmp_path)):
        stored = index("xiph")
        assert [numbers(item) for item in split.items[: len(stored)]] == stored
        assert len(split.items) == 8 * len(stored)


def test_golden_targets_of_snu_film_arb(tmp_path: Path) -> None:
    stored = dict(index("snufilm_arb_targets"))
    first = stored.pop("first")
    number, width = int(Path(first).stem), len(Path(first).stem)
    for level, targets in stored.items():
        names = [first, targets[0][0], f"{number + len(targets) + 1:0{width}d}.png"]
        (tmp_path / f"test-{level}.txt").write_text(" ".join(f"data/SNU-FILM/test/clip/{name}" for name in names))
        empty(tmp_path / "test" / "clip", *names)
        (split,) = SETS["snu_film_arb"].load(Request(tmp_path, (level,)))
        assert [[target.truth[0].name, float(target.time)] for target in split.items[0].targets] == targets


def test_golden_times_of_vsf(tmp_path: Path) -> None:
    stored = index("vsf_times")
    layouts.flows(tmp_path, len(stored) + 2)
    (split,) = SETS["vsf"].load(Request(tmp_path, settings={"keep_last": True}))
    asked: list[tuple[float, float]] = []

    def model(forth: object, back: object, times: list[tuple[float, float]]) -> list[torch.Tensor]:
        asked.extend(times)
        return []

    flow = torch.zeros(1, 2, 4, 4)
    MotionPredictor(model, torch.device("cpu"), late=1)(split.items[0], flow, flow, 0)  # type: ignore[arg-type]
    assert asked == [(case["coordinate"], case["splatting"]) for case in stored]
    assert [target.name[-1] for target in split.items[0].targets] == [str(case["target"]) for case in stored]


def test_golden_halving_by_area() -> None:
    section("area")
    stored = tensors("area")
    halved = viewed(stored["input"], View(reduce="bytes"))[0] * 255
    assert torch.equal(halved.round().to(torch.uint8), stored["of_uint8"])
    assert float((halved - stored["of_uint8"]).abs().max()) < 1e-4
    assert float((viewed(stored["input"], View(reduce="float"))[0] - stored["of_float"]).abs().max()) < 2e-7


def test_golden_colours_of_flow() -> None:
    section("colour")
    stored = {name: tensor.numpy() for name, tensor in tensors("colour").items()}
    for name, longest in (("rgb", None), ("rgb_max5", 5.0)):
        assert np.array_equal(flow_colours(stored["flow"], longest).transpose(2, 0, 1), stored[name])
    still = np.zeros((2, *stored["zero_rgb"].shape[1:]), np.float32)
    assert np.array_equal(flow_colours(still).transpose(2, 0, 1), stored["zero_rgb"])
