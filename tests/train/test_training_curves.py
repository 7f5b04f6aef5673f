"""Training from scratch gives the reference curves of `scripts/train/curves`."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
import torch

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")

from scripts.train import __main__ as program

CURVES = Path(program.__file__).parent / "curves"

# The bank of textures, batch and crop of docs/train.md; --held 0 leaves out scores, which training does not depend on
COMMAND = ["--data", "procedural", "8", "12", "--steps", "300", "--total-batch", "4", "--crop", "64", "--threads", "1"]


@pytest.fixture(autouse=True)
def threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def _rows(path: Path) -> dict[int, dict[str, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        return {
            int(row["step"]): {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        }


@pytest.mark.parametrize("recipe", ["ifrnet_s", "uprnet_base", "gimm"])
def test_the_first_steps_are_those_of_the_reference(recipe: str, tmp_path: Path) -> None:
    assert program.main([recipe, *COMMAND, "--held", "0", "--until", "2", "--out", str(tmp_path)]) == 0
    made, reference = _rows(tmp_path / "curve.csv"), _rows(CURVES / f"{recipe}.csv")
    assert made[1].pop("heldout", None) is None
    assert made[1] == pytest.approx(reference[1], rel=2e-3)
    # Row 2 of the run is the mean of both steps, being its last
    for name, value in made[2].items():
        if name not in ("step", "rate", "heldout"):
            assert value == pytest.approx((reference[1][name] + reference[2][name]) / 2, rel=5e-3), name


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif("VSVFI_CURVES" not in os.environ, reason="takes minutes; set VSVFI_CURVES=1")
@pytest.mark.parametrize("recipe", ["ifrnet_s", "uprnet_base", "gimm"])
def test_all_steps_follow_the_reference(recipe: str, tmp_path: Path) -> None:
    assert program.main([recipe, *COMMAND, "--held", "8", "--every", "50", "--out", str(tmp_path)]) == 0
    made, reference = _rows(tmp_path / "curve.csv"), _rows(CURVES / f"{recipe}.csv")
    assert made.keys() == reference.keys()
    for step, row in reference.items():
        assert made[step]["total"] == pytest.approx(row["total"], rel=0.02 if step < 50 else 0.1), step
        if "heldout" in row:
            assert made[step]["heldout"] == pytest.approx(row["heldout"], abs=0.3), step
