"""The page of recipes: its code runs, and its pictures are those that its command draws."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
import vapoursynth as vs

import vsvfi
from scripts.evaluate.recipes import FOLDER, PICTURES
from scripts.site.pages import ROOT
from vsvfi.cli.scripting import sample_clip

PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def clip() -> vs.VideoNode:
    """Long enough for the ranges that are excluded."""
    return sample_clip(160, 90, 24).std.Loop(60)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: re.sub(r"\W+", "-", snippet.splitlines()[-1])[:60])
def test_code_runs(snippet: str, clip: vs.VideoNode) -> None:
    names = {"clip": clip, "core": vs.core, "vs": vs, "vsvfi": vsvfi, "Fraction": Fraction}
    exec(compile(snippet, "docs/recipes.md", "exec"), names)
    made = names[re.findall(r"^(\w+) = ", snippet, re.MULTILINE)[-1]]
    assert isinstance(made, vs.VideoNode)
    with made.get_frame(3) as frame:
        assert (frame.width, frame.height) == (160, 90)


def test_every_recipe_has_a_small_picture() -> None:
    pictures = re.findall(r"\]\(recipes/(\w+)\.webp\)", PAGE)
    assert sorted(pictures) == sorted(PICTURES) == sorted(path.stem for path in FOLDER.iterdir())
    sizes = [path.stat().st_size for path in FOLDER.iterdir()]
    assert max(sizes) < 80_000
    assert sum(sizes) < 500_000


@pytest.mark.parametrize("name", ["exclude", "repair"])
def test_a_picture_is_what_its_command_draws(name: str) -> None:
    """Within the losses of the file format and of other CPUs."""
    pillow = pytest.importorskip("PIL.Image", reason="pictures need Pillow (extra evaluate)")
    drawn = PICTURES[name]("builtin")
    with pillow.open(FOLDER / f"{name}.webp") as committed:
        stored = np.asarray(committed.convert("RGB"))
    assert stored.shape == drawn.shape
    error = np.square(stored.astype(np.float64) - drawn).mean()
    assert 10 * np.log10(255**2 / error) > 28
