"""The table of protocols against the specification's goldens, and what a predictor does with one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("PIL", reason="Pillow is not installed (extra `evaluate`)")

from scripts.evaluate import predict
from scripts.evaluate.datasets import SETS, Item, Target
from scripts.evaluate.predict import ModelPredictor, StoredPredictor, paddings
from scripts.evaluate.protocols import PLAIN, TABLE, Canvas, Pad, Protocol, protocol_for
from scripts.evaluate.published import APPROXIMATE, CONFIRMED, SECOND_HAND, figures, published
from scripts.evaluate.settings import overridden, parse
from tests.building import EXACT
from tests.evaluate import layouts
from vsvfi.engine.model_config import ModelConfig
from vsvfi.engine.placement import Placement
from vsvfi.errors import ArgumentError
from vsvfi.models.family import BuildConfig, Family, SizeRule, Timesteps, Variant
from vsvfi.models.registry import check_options, check_scale, families, find

SNU = 1280, 720


def cases() -> list[tuple[str, str, str]]:
    """(model, set, split) of every row, for every model that it is for."""
    found = []
    for family in families():
        for row in TABLE.get(family.name, ()):
            for variant in family.variants:
                if not row.models or variant.name in row.models:
                    found += [(variant.name, row.data, split) for split in row.splits or SETS[row.data].splits]
    return found


@pytest.mark.parametrize(("model", "data", "split"), cases())
def test_families_take_the_settings_of_every_row(model: str, data: str, split: str) -> None:
    family, variant = find(model)
    protocol = protocol_for(family.name, model, data, split)
    assert protocol.authors
    assert (protocol.precision, protocol.tf32) == ("fp32", False)
    width, height = (4096, 2160) if split == "4k" and data != "xiph" else (2048, 1080) if split in ("2k", "4k") else SNU
    scale = check_scale(family, protocol.scale, width, height)
    build = family.build_config(width, height, scale, check_options(family, dict(protocol.options)), variant)
    wanted, *own = paddings(protocol.padding, build, width, height)
    if isinstance(protocol.padding, Pad):
        assert not any(step.needed for step in own)  # the published padding is all that the network needs
    else:
        assert wanted.crop(wanted.pad(torch.zeros(1, 1, height, width))).shape == (1, 1, height, width)


@pytest.mark.parametrize(
    ("model", "data", "split", "rule"),
    [
        ("ifrnet", "snu_film", "hard", "ifrnet snu-film"),
        ("vfimamba", "snu_film", "easy", "vfimamba snu-film, x-test; gimmvfi all"),
        ("vfimamba_s", "xtest", "4k", "vfimamba snu-film, x-test; gimmvfi all"),
        ("gimmvfi_r", "snu_film_arb", "hard", "vfimamba snu-film, x-test; gimmvfi all"),
        ("vfimamba", "xiph", "2k", "vfimamba xiph"),
        ("uprnet_base", "snu_film", "easy", "uprnet snu-film"),
        ("uprnet_large", "xtest", "4k", "uprnet x-test"),
        ("ifrnet_l", "middlebury", "all", "ifrnet middlebury"),
    ],
)
def test_padding_is_that_of_the_published_programs(model: str, data: str, split: str, rule: str, shared: Path) -> None:
    path = shared / "goldens" / "metrics" / "cases.json"
    if not path.is_file():
        pytest.skip("the reference data of the metrics is not beside this clone")
    family, _ = find(model)
    padding = protocol_for(family.name, model, data, split).padding
    plain = BuildConfig(Fraction(1), SizeRule(multiple=1), {})
    for case in json.loads(path.read_text())["padding"]:
        if case["rule"] == rule and (not isinstance(padding, Canvas) or case["width"] <= 640 >= case["height"]):
            step = paddings(padding, plain, case["width"], case["height"])[0]
            sides = {name: getattr(step, name) for name in ("left", "right", "top", "bottom")}
            assert sides == {name: case[name] for name in sides}, case
            border = "replicate" if case["border"] == "replicate" else "constant"
            assert (step.border, step.value) == (border, 0.0 if border == "replicate" else float(case["border"]))


def test_what_the_specification_says_of_each_family() -> None:
    def of(model: str, data: str, split: str) -> Protocol:
        return protocol_for(find(model)[0].name, model, data, split)

    assert of("ifrnet", "snu_film", "easy").scale == Fraction(4, 5)
    assert of("ifrnet_gopro", "gopro", "all").times == "direct"
    assert of("uprnet_base", "vimeo90k", "all").options == {"levels": 3}
    assert of("uprnet_base", "xtest", "4k").options == {"levels": 7}
    assert of("uprnet_base", "xtest", "4k").scale == Fraction(1, 4)
    for split, local in (("medium", True), ("hard", False)):
        assert of("vfimamba", "snu_film", split).options == {"tta": True, "local": local, "hr": False}
        assert of("vfimamba_s", "snu_film", split).options == {"tta": False, "local": True, "hr": False}
        assert of("vfimamba", "snu_film", split).scale == Fraction(1, 2)
    assert of("vfimamba_s", "ucf101", "dvf").options == {"tta": False, "local": False, "hr": False}
    assert of("vfimamba", "ucf101", "dvf").rounding
    assert of("vfimamba", "xtest", "2k").options == {"tta": True, "local": True, "hr": True}
    assert of("vfimamba", "xtest", "2k").times == "bisection"
    assert of("vfimamba", "xiph", "4k").metrics == {"PSNR": "psnr_uint8", "SSIM": "ssim_uniform"}
    assert of("gimmvfi_f", "xtest", "4k").rounding
    assert not of("gimmvfi_f", "snu_film_arb", "hard").rounding
    assert of("ldmvfi", "davis", "all").per_sequence
    assert not of("ldmvfi", "snu_film", "hard").per_sequence
    assert not of("builtin", "vimeo90k", "all").authors
    assert not of("ifrnet_gopro", "xtest", "4k").authors
    assert not of("ifrnet_gopro", "vimeo90k", "all").authors  # measured with the other weights alone


@pytest.mark.parametrize(
    ("data", "changed", "same"),
    [
        ("gopro", ["--crop", "0"], ["--crop", "512"]),
        ("gopro", ["--keep-last"], []),
        ("vsf", ["--splat-times", "right"], ["--splat-times", "published"]),
    ],
)
def test_other_targets_and_times_are_not_the_authors_protocol(data: str, changed: list[str], same: list[str]) -> None:
    protocol = protocol_for(*(("ifrnet", "ifrnet_gopro") if data == "gopro" else ("gimm", "gimm")), data, "all")
    for arguments, authors in ((changed, False), (same, True)):
        given = parse([data, "--data", "anywhere", *arguments])
        assert overridden(protocol, given).authors is authors


def test_published_figures_carry_how_they_are_known() -> None:
    known = {(family.name, variant.name) for family in families() for variant in family.variants}
    names = {name for _, name in known}
    every = list(figures())
    assert {figure.model for figure in every} <= names
    assert {figure.status for figure in every} == {CONFIRMED, SECOND_HAND, APPROXIMATE}
    assert all(figure.split in SETS[figure.data].splits for figure in every)
    vimeo = published("uprnet_llarge", "vimeo90k", "all", Protocol(metrics=PLAIN))
    assert {name: figure.value for name, figure in vimeo.items()} == {"PSNR": 36.42, "SSIM": 0.9815}
    assert published("vfimamba", "vimeo90k", "all", Protocol(metrics=PLAIN))["PSNR"].status == SECOND_HAND
    skipping = protocol_for("uprnet", "uprnet_base", "xtest", "4k")
    every_level = dataclasses.replace(skipping, scale=Fraction(1))
    assert published("uprnet_base", "xtest", "4k", skipping)["PSNR"].value == 30.13
    assert published("uprnet_base", "xtest", "4k", every_level)["PSNR"].value == 29.27
    assert published("gimm", "vtf", "all", Protocol(metrics={})) == {}  # only recalled, never read


class Recording(nn.Module):
    """A network that blends, and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[Tensor] = []
        self.asked: list[float] = []
        self.positions: list[Fraction] = []

    def encode_frame(self, image: Tensor) -> Tensor:
        self.encoded.append(image)
        return image

    def prepare_pair(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        return first, second

    def random_inputs(self, pair: object, position: Fraction) -> dict[str, Tensor]:
        self.positions.append(position)
        return {}

    def synthesise(self, pair: tuple[Tensor, Tensor], t: Tensor, **inputs: Tensor) -> Tensor:
        self.asked.append(float(t))
        made = torch.lerp(pair[0], pair[1], float(t))
        made[..., 0, :] = 0.25  # what the network makes of the border is no edge repeated
        return made


class Loaded:
    """Stands for a model with its weights."""

    def __init__(self, *, bisects: bool = False) -> None:
        self.made = Recording()
        self.variant = Variant(
            name="x", config={}, sources=(), licence="", timesteps=Timesteps.HALF if bisects else Timesteps.ANY
        )
        self.family = Family(
            name="x", title="X", paper="", network="", size_rule=SizeRule(multiple=8), variants=(self.variant,)
        )

    def network(self, build: BuildConfig, placement: Placement) -> Recording:
        assert placement == EXACT
        return self.made


def predicted(loaded: Loaded, protocol: Protocol, times: Sequence[Fraction], size: tuple[int, int]) -> list[Tensor]:
    targets = tuple(Target(t, (), str(t)) for t in times)
    item = Item("x", (Path("a"), Path("b")), targets)
    given: Any = loaded
    first, second = torch.zeros(1, 3, *size), torch.ones(1, 3, *size)
    config = ModelConfig(loaded.family, loaded.variant, protocol.scale, protocol.options)
    return ModelPredictor(given, config, EXACT, protocol)(item, first, second, 3)


def test_a_canvas_is_black_at_the_right_and_below() -> None:
    loaded = Loaded()
    (image,) = predicted(loaded, Protocol(metrics={}, padding=Canvas(640, 480)), [Fraction(1, 2)], (388, 584))
    assert image.shape == (1, 3, 388, 584)
    second = loaded.made.encoded[1]
    assert second.shape == (1, 3, 480, 640)
    assert float(second[..., :388, :584].min()) == 1.0
    assert float(second[..., 388:, :].max()) == float(second[..., 584:].max()) == 0.0


def test_bisection_stays_on_padded_frames_and_computes_no_midpoint_twice() -> None:
    loaded = Loaded()
    protocol = Protocol(metrics={}, padding=Pad(32), times="bisection")
    times = [Fraction(k, 8) for k in range(1, 8)]
    made = predicted(loaded, protocol, times, (30, 32))
    assert loaded.made.asked == [0.5] * 7
    assert loaded.made.positions == [3 + Fraction(*t) for t in ((1, 2), (1, 4), (1, 8), (3, 8), (3, 4), (5, 8), (7, 8))]
    assert {tuple(image.shape) for image in loaded.made.encoded} == {(1, 3, 32, 32)}
    midpoint = loaded.made.encoded[2]
    assert float(midpoint[0, 0, 0, 0]) == 0.25  # the border that the network made, not a repeated edge
    assert [round(float(image[0, 0, 15, 15]), 6) for image in made] == [k / 8 for k in range(1, 8)]
    assert {tuple(image.shape) for image in made} == {(1, 3, 30, 32)}


def test_direct_times_share_one_preparation() -> None:
    loaded = Loaded()
    times = [Fraction(k, 6) for k in range(1, 6)]
    predicted(loaded, Protocol(metrics={}), times, (16, 16))
    assert len(loaded.made.encoded) == 2
    assert loaded.made.asked == pytest.approx([k / 6 for k in range(1, 6)])


def test_models_of_midpoints_bisect_unless_told_otherwise() -> None:
    for times, asked in ((None, [0.5, 0.5]), ("direct", [0.25])):
        loaded = Loaded(bisects=True)
        predicted(loaded, Protocol(metrics={}, times=times), [Fraction(1, 4)], (16, 16))  # type: ignore[arg-type]
        assert loaded.made.asked == asked


def test_tf32_is_allowed_on_request_alone() -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    parts: tuple[Any, ...] = (matmul, cudnn.conv, cudnn.rnn)
    found = [part.fp32_precision for part in parts]
    matmul.allow_tf32 = cudnn.allow_tf32 = False  # sets all of them; torch refuses to read it where they differ
    before = cudnn.allow_tf32, matmul.allow_tf32, [part.fp32_precision for part in parts]
    try:
        with predict._tf32(False):
            assert before == (cudnn.allow_tf32, matmul.allow_tf32, [part.fp32_precision for part in parts])
        matmul.allow_tf32 = cudnn.allow_tf32 = False
        with predict._tf32(True):
            assert matmul.allow_tf32
            assert cudnn.allow_tf32
            assert [part.fp32_precision for part in parts] == ["tf32"] * 3
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, _ = before
        for part, precision in zip(parts, found, strict=True):
            part.fp32_precision = precision


def test_stored_images_answer_in_place_of_a_model(tmp_path: Path) -> None:
    layouts.save(tmp_path / "a_1.png")
    item = Item("a", (Path("x"), Path("y")), (Target(Fraction(1, 2), (), "a_1"),))
    image = torch.zeros(1, 3, layouts.HEIGHT, layouts.WIDTH)
    (found,) = StoredPredictor(tmp_path)(item, image, image, 0)
    expected = torch.from_numpy(layouts.load(tmp_path / "a_1.png")).permute(2, 0, 1)[None] / 255
    assert float((found - expected).abs().max()) < 1e-6
    with pytest.raises(ArgumentError, match="is 24x16, must be 8x8"):
        StoredPredictor(tmp_path)(item, torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), 0)
    with pytest.raises(ArgumentError, match="cannot be read"):
        StoredPredictor(tmp_path / "nowhere")(item, image, image, 0)


def test_the_docs_hold_every_published_figure() -> None:
    text = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text(encoding="utf-8")
    rows: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("| "):
            rows.setdefault(line.split("|")[1].strip(" *"), line)
    for figure in figures():
        shown = [f"{figure.value:.{digits}f}" for digits in range(1, 5)]
        where = rows.get(figure.model, "") if figure.data in ("vimeo90k", "snu_film") else ""
        assert any(value in (where or text) for value in shown), figure
    assert all(f"`{name}`" in text for name in SETS)
