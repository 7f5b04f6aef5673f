"""`tile=`: what it resolves to, what memory it is chosen by, and who refuses it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scripts.benchmark.tiles import peak
from tests.building import EXACT, loaded
from tests.fake_graph import FakeGraphs
from vsvfi.engine import memory
from vsvfi.engine.model import Model
from vsvfi.engine.model_config import ModelConfig
from vsvfi.engine.placement import Placement, RuntimeChoice
from vsvfi.engine.run_config import ClipFacts, resolve
from vsvfi.engine.runtimes.graph.runtime import GraphRuntime
from vsvfi.errors import ArgumentError, ClipError
from vsvfi.options import Options, parse

SMALL = (1024, 768)
UHD = (3840, 2160)
GPU = Placement(torch.device("cuda"), torch.float16)


def test_a_family_that_gains_nothing_refuses_with_the_reason() -> None:
    with pytest.raises(ArgumentError, match=r"tile=512, is not possible with LDMVFI: .*the whole picture"):
        ModelConfig.of(parse(model="ldmvfi", tile=512))
    assert ModelConfig.of(parse(model="ldmvfi", tile="auto")).tile is None


def test_a_tile_as_large_as_the_picture_is_none() -> None:
    model = ModelConfig.of(parse(tile=512))
    assert "tile" not in model.build_config(500, 300).arguments
    assert model.build_config(513, 300).arguments["tile"] == 512


def test_auto_takes_the_largest_tile_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelConfig.of(parse(tile="auto"))
    needed = [memory.estimate_memory(replace(model, tile=tile), UHD, GPU) for tile in (None, *memory.TILES)]
    assert needed == sorted(needed, reverse=True)
    for index, tile in enumerate((None, *memory.TILES)):
        monkeypatch.setattr(memory, "memory", lambda device, most=needed[index]: most)
        assert memory.fitting_tile(model, UHD, (GPU,)).tile == next(
            other for other, bytes_ in zip((None, *memory.TILES), needed, strict=True) if bytes_ <= needed[index]
        )
        assert tile is None or needed[index] < needed[0]
    monkeypatch.setattr(memory, "memory", lambda device: needed[0])
    assert memory.fitting_tile(model, UHD, (GPU,), 2).tile is not None  # two frames at a time
    monkeypatch.setattr(memory, "memory", lambda device: 1)
    assert memory.fitting_tile(model, UHD, (GPU,)).tile == memory.TILES[-1]


def test_the_run_says_which_tile_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    options, clip = parse(device="cpu", precision="fp32", tile="auto", streams=1), ClipFacts(width=3840, height=2160)
    monkeypatch.setattr(memory, "memory", lambda device: 4 << 30)
    config = resolve(options, clip)
    assert config.tile is not None
    assert f"1 at a time, tiles of {config.tile} pixels" in config.describe()
    monkeypatch.setattr(memory, "memory", lambda device: 64 << 30)
    assert resolve(options, clip).tile is None
    assert resolve(parse(device="cpu", tile=640), clip).tile == 640


def test_where_memory_is_short_tiles_are_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory", lambda device: 1 << 30)
    monkeypatch.setattr(memory, "describe", str)
    for model, advised in (("builtin", True), ("rife", True), ("ldmvfi", False)):
        config = ModelConfig.of(Options(model=model))
        with pytest.raises(ClipError) as caught:
            memory.check_memory(config, UHD, GPU)
        assert ("tile='auto'" in str(caught.value)) == advised
        advice = memory.memory_advice(config, config.build_config(*UHD), GPU, 1)
        assert ("tile='auto'" in advice) == advised
    tiled = ModelConfig.of(parse(tile=1024))
    assert "a smaller tile=" in memory.memory_advice(tiled, tiled.build_config(*UHD), GPU, 1)


@pytest.mark.parametrize("name", ["builtin", "ifrnet", "vfimamba_s", "rife", "rife40", "gimmvfi_r"])
def test_estimates_of_tiles_are_close_to_what_is_counted(name: str) -> None:
    _check_estimate(name, SMALL, 256)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "tile"), [(SMALL, 256), ((3840, 2160), 512)])
@pytest.mark.parametrize(
    "name",
    [
        *("builtin", "builtin_hq", "uprnet_large", "ifrnet", "ifrnet_l", "vfimamba_s", "gimmvfi_r", "gimmvfi_f"),
        *("rife", "rife40", "rife46", "rife425_lite", "rife426_heavy"),
    ],
)
def test_estimates_of_tiles_of_more_variants_and_sizes(name: str, size: tuple[int, int], tile: int) -> None:
    _check_estimate(name, size, tile)


def _check_estimate(name: str, size: tuple[int, int], tile: int) -> None:
    config = replace(ModelConfig.of(Options(model=name)), tile=tile)
    estimate = memory.estimate_memory(config, size, GPU) - config.variant.parameters * 2
    counted = peak(name, size, tile)
    assert 0.97 * counted <= estimate <= 1.6 * counted
    whole = peak(name, size, None)
    searches = name.startswith("builtin")  # of the whole picture, which at this size takes more than a synthesis
    assert counted <= whole if searches and size == SMALL else counted < whole


def test_tiles_share_one_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """All windows of a grid have one shape, so that a runtime records once for each part and size."""
    graphs = FakeGraphs()
    monkeypatch.setattr("vsvfi.engine.runtimes.binding.find", lambda name: GraphRuntime(graphs))
    weights, images = loaded("builtin"), torch.rand(2, 1, 3, 144, 272, generator=torch.Generator().manual_seed(0))
    config = ModelConfig.of(parse(tile=128, scale=0.25))
    whole = Model(replace(config, tile=None), EXACT, weights)(*images)
    tiled = Model(config, replace(EXACT, runtime=RuntimeChoice("graph")), weights)
    assert float((tiled(*images) - whole).abs().max()) < 1e-4
    levels = 2  # at 1/4 of four levels: the finest and the two coarsest, which are one tile each
    assert graphs.recorded == 2 * (levels + 1) + 1
    assert graphs.replayed > graphs.recorded
