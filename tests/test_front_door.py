"""What a newcomer and other programs read first: badges, the animation, vsrepo's entry, the Dockerfile."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vsvfi
from scripts import badges, dockerfile
from scripts.evaluate import animation

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_badges_are_those_of_the_project() -> None:
    for name, content in badges.badges().items():
        assert (badges.FOLDER / name).read_text(encoding="utf-8") == content, "run python -m scripts.badges"
    assert "3.12 and newer" in badges.badges()["python.svg"]


def test_the_readme_is_short_and_its_animation_light() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 120
    (path,) = re.findall(r"\((\S+\.webp)\)", text)
    content = (ROOT / path).read_bytes()
    assert content[:4] == b"RIFF"
    assert content[8:12] == b"WEBP"
    assert b"ANIM" in content[:64]
    assert len(content) < 1_500_000


def test_the_animation_holds_left_and_interpolates_right() -> None:
    frames = [torch.full((3, 4, 6), value) for value in (0.0, 0.4, 0.8)]
    shown = list(animation.beside(frames, lambda first, second, t: first + t * (second - first)))
    assert [image.shape for image in shown] == [(4, 16, 3)] * 8
    assert [int(image[0, 0, 0]) for image in shown] == [0] * 4 + [102] * 4
    right = [float(image[0, 12, 0]) for image in shown]
    assert right == pytest.approx([0, 25.5, 51, 76.5, 102, 127.5, 153, 178.5], abs=0.6)
    assert np.all(shown[0][:, 6:10] == 255)


def faults(entry: dict[str, Any]) -> list[str]:
    """Check an entry of vsrepo as its program reads one of the type PyWheel."""
    found = [f"{key} is missing" for key in ("name", "type", "description", "identifier", "modulename", "wheelname")
             if not isinstance(entry.get(key), str)]  # fmt: skip
    if entry.get("type") != "PyWheel":
        found.append("type is not PyWheel")
    if not isinstance(entry.get("dependencies"), list):
        found.append("dependencies is no list")
    for release in entry.get("releases", [{}]):
        wheel = release.get("wheel", {})
        if not re.fullmatch(r"\d+(\.\d+)+\S*", str(release.get("version"))):
            found.append("a release has no version")
        if not re.match(r"\d{4}-\d\d-\d\d", str(release.get("published"))):
            found.append("a release has no date")
        if not str(wheel.get("url")).endswith("-py3-none-any.whl"):
            found.append("a release has no wheel")
        if not re.fullmatch(r"[0-9a-f]{64}", str(wheel.get("hash"))):
            found.append("a wheel has no SHA-256")
    return found


def test_vsrepos_entry_is_one() -> None:
    entry = json.loads((ROOT / "scripts/vsrepo.json").read_text(encoding="utf-8"))
    assert faults(entry) == []
    assert entry["wheelname"] == PROJECT["name"]
    assert entry["modulename"] == vsvfi.__name__
    wheel = {"url": f"https://example.org/vsvfi-{vsvfi.__version__}-py3-none-any.whl", "hash": "0" * 64}
    release = {"version": vsvfi.__version__, "published": "2026-11-27T00:00:00Z", "wheel": wheel}
    assert faults({**entry, "releases": [release]}) == []
    for missing in release:
        assert faults({**entry, "releases": [{key: release[key] for key in release if key != missing}]})
    assert faults({**entry, "type": "VSPlugin"}) == ["type is not PyWheel"]


def test_the_dockerfile_copies_what_the_build_reads() -> None:
    steps = list(dockerfile.steps((ROOT / "Dockerfile").read_text(encoding="utf-8")))
    copied = {name for instruction, rest in steps if instruction == "COPY" for name in rest.split()[:-1]}
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    read = {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], *build["wheel"]["packages"]}
    read |= {path.split("/")[0] for path in build["wheel"]["shared-data"]}
    assert copied == read
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == read


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ('uv pip install --system --torch-backend "$TORCH" "/source[video]"', ["uv pip install --python /p/environment "
         '--torch-backend cpu "/p/source[video]"']),
        ("apt-get update && apt-get install -y ffmpeg && rm -rf /var/lib/apt/lists/*", []),
        ("pip install uv && rm -rf /source", ["pip install uv", "rm -rf /p/source"]),
    ],
)  # fmt: skip
def test_steps_of_the_dockerfile_stay_below_the_folder(run: str, expected: list[str]) -> None:
    assert list(dockerfile.commands(run, Path("/p"), "cpu")) == expected
    usual = [command.replace(" --torch-backend cpu", "") for command in expected]
    assert list(dockerfile.commands(run, Path("/p"), "usual")) == usual
