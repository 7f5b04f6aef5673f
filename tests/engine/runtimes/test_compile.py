"""Compilation: pieces of a real network through torch.compile, and when it is not available."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import torch

from tests.building import EXACT, build_config, loaded
from tests.fakes import Recorder
from tests.models.small import CASES
from vsvfi.engine.device import inference
from vsvfi.engine.placement import AUTO, EAGER, RuntimeChoice
from vsvfi.engine.runtimes import registry
from vsvfi.engine.runtimes.compile import runtime as module
from vsvfi.engine.runtimes.compile.runtime import CompileRuntime
from vsvfi.engine.runtimes.interface import Piece
from vsvfi.engine.runtimes.signature import split
from vsvfi.errors import ArgumentError
from vsvfi.models.registry import find

pytestmark = pytest.mark.filterwarnings("ignore:Guards may run slower on Python:RuntimeWarning")

COMPILED = dataclasses.replace(EXACT, runtime=RuntimeChoice("compile"))


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))


def test_a_phase_is_traced() -> None:
    """The backend "eager" runs what was traced, so that tracing alone is tested."""
    (case,) = (case for case in CASES if case.family == "uprnet" and not case.note)
    network, (family, variant) = case.network(), find("uprnet_base")
    build = family.build_config(*case.size, family.scales[0], family.option_defaults, variant)  # type: ignore[index]
    images = [torch.rand(1, 3, *case.size, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    with inference(torch.device("cpu")):
        encode = CompileRuntime("eager").specialise(
            Piece(network, "encode_frame", family, variant, build, COMPILED), (images[0],), {}
        )
        for image in images:
            found, expected = split(encode(image)), split(network.encode_frame(image))
            assert found[0] == expected[0]
            assert all(map(torch.equal, found[1], expected[1]))
    torch._dynamo.reset()


@pytest.mark.slow
def test_a_session_is_compiled(fake_family: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    if registry.find("compile").obstacle("cpu"):
        pytest.skip("there is no C++ compiler")
    model = loaded("fake", fake_family.weights)
    network = model.network(build_config(model, 16, 16), COMPILED)
    images = [torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    with inference(torch.device("cpu")):
        for first, second in (images[:2], images[2:], images[1:3]):
            assert torch.allclose(network(first, second, torch.tensor([0.25])), 0.75 * first + 0.25 * second, atol=1e-6)
    assert not [record for record in caplog.records if record.name.startswith("vsvfi")]
    torch._dynamo.reset()


def test_compilation_is_off_by_default_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    family, variant = find("builtin")
    assert registry.choose(AUTO, "cpu", family, variant) == EAGER
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(module.sys, "platform", "linux")
    with pytest.raises(ArgumentError, match=r"not available on cpu: it needs a C\+\+ compiler"):
        registry.choose(RuntimeChoice("compile"), "cpu", family, variant)
    monkeypatch.setattr(module, "is_installed", lambda name: False)
    assert "triton" in str(CompileRuntime().obstacle("cuda"))
    assert CompileRuntime().obstacle("mps")


def test_what_is_compiled_is_kept_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cache_directory", lambda: tmp_path)
    module._keep_compiled()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    module._keep_compiled()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "compiled")
