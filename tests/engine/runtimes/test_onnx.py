"""The runtime `onnx` against torch, on the CPU: through `load_model` and `interpolate`, its caches and its refusals."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import vapoursynth as vs
from safetensors.torch import load_file
from torch import Tensor

import vsvfi
from tests.fakes import arrays
from tests.models.small import CASES, Case
from vsvfi.engine.build import AnyInterpolator, LoadedModel
from vsvfi.engine.placement import Placement, RuntimeChoice
from vsvfi.engine.runtimes.onnx import providers, store
from vsvfi.engine.runtimes.onnx.runtime import RUNTIME
from vsvfi.errors import ArgumentError, ExportError
from vsvfi.models.family import BuildConfig
from vsvfi.models.registry import families
from vsvfi.packages import is_installed

pytestmark = pytest.mark.skipif(not is_installed("onnxruntime"), reason="onnxruntime is not installed (extra `onnx`)")
SIZE = (64, 48)
TIMES = (0.3, 0.5, 0.8)


def images(count: int = 2) -> list[Tensor]:
    coarse = torch.rand((count, 3, 6, 8), generator=torch.Generator().manual_seed(3))
    return list(torch.nn.functional.interpolate(coarse, size=SIZE[::-1], mode="bicubic").clamp(0, 1).split(1))


def psnr(found: Any, wanted: Any) -> float:
    error = float(np.square(np.asarray(found, np.float64) - np.asarray(wanted, np.float64)).mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def fallbacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "replaces it" in record.getMessage()]


def provider(name: str) -> Any:
    reason = providers.obstacle("cpu", name)
    return pytest.param(name, marks=pytest.mark.skipif(reason is not None, reason=str(reason)))


def loaded(case: Case) -> LoadedModel:
    family = next(family for family in families() if family.name == case.family)
    variant = dataclasses.replace(family.variants[0], config=case.config or family.variants[0].config)
    return LoadedModel(family, variant, case.network().state_dict())


@pytest.mark.usefixtures("graphs")
class TestAgainstTorch:
    @pytest.mark.parametrize("name", [provider("cpu"), provider("openvino")])
    def test_ifrnet_as_a_function(self, name: str, ifrnet_weights: Path, caplog: pytest.LogCaptureFixture) -> None:
        given: dict[str, Any] = {"weights": ifrnet_weights, "device": "cpu", "precision": "fp32"}
        exact = vsvfi.load_model("ifrnet_s", **given)
        model = vsvfi.load_model("ifrnet_s", runtime=f"onnx:{name}", **given)
        first, second = images()
        for t in TIMES:
            found, wanted = model(first, second, t), exact(first, second, t)
            assert float((found - wanted).norm() / wanted.norm()) < 1e-4
            assert psnr(found, wanted) > 60
        assert not fallbacks(caplog)

    def test_ifrnet_in_a_clip(self, ifrnet_weights: Path, caplog: pytest.LogCaptureFixture) -> None:
        clip = vs.core.std.BlankClip(format=vs.RGBS, width=SIZE[0], height=SIZE[1], length=4)
        given = [image[0].numpy() for image in images(4)]

        def paint(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
            frame = f.copy()
            for plane in range(3):
                np.asarray(frame[plane])[:] = given[n][plane]
            return frame

        clip = clip.std.ModifyFrame(clip, paint)
        common: dict[str, Any] = {
            "model": "ifrnet_s", "weights": ifrnet_weights, "device": "cpu", "precision": "fp32", "scene": "off",
        }  # fmt: skip
        exact = vsvfi.interpolate(clip, multi=3, **common)
        found = vsvfi.interpolate(clip, multi=3, runtime="onnx:cpu", **common)
        assert found.num_frames == 12
        for n in range(found.num_frames):
            with found.get_frame(n) as one, exact.get_frame(n) as other:
                for plane, wanted in zip(arrays(one), arrays(other), strict=True):
                    assert psnr(plane, wanted) > 60
        assert not fallbacks(caplog)

    def test_rife_by_phases(self, caplog: pytest.LogCaptureFixture) -> None:
        """The version whose course depends on the motion: a graph computes both courses and chooses."""
        case = next(case for case in CASES if case.family == "rife" and "4.0" in case.note)
        exact, run = networks(case, torch.float32)
        with torch.inference_mode():
            found, wanted = (network(*case.images[:2], torch.tensor([0.3])) for network in (run, exact))
        assert psnr(found, wanted) > 60
        assert not fallbacks(caplog)

    def test_bfloat16_is_kept_at_the_interface(self, caplog: pytest.LogCaptureFixture) -> None:
        """ONNX Runtime cannot run such networks on the CPU, so the graph computes in float32."""
        case = next(case for case in CASES if case.family == "ifrnet")
        exact, run = networks(case, torch.bfloat16)
        with torch.inference_mode():
            frames = [exact.encode_frame(image) for image in case.images[:2]]
            found, wanted = run.prepare_pair(*frames), exact.prepare_pair(*frames)
        assert found.coarse.dtype == torch.bfloat16
        assert float((found.coarse - wanted.coarse).norm() / wanted.coarse.norm()) < 2e-2
        assert not fallbacks(caplog)


def networks(case: Case, dtype: torch.dtype) -> list[AnyInterpolator]:
    """The same network, run by torch and by ONNX Runtime."""
    model = loaded(case)
    build = BuildConfig(Fraction(1), model.family.size_rule, {})
    choices = (RuntimeChoice("eager"), RuntimeChoice("onnx", "cpu"))
    return [model.network(build, Placement(torch.device("cpu"), dtype, choice)) for choice in choices]


def test_a_graph_is_written_once(
    graphs: Path, ifrnet_weights: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Later models, also of other processes, find the files of earlier ones; other weights are other files."""
    common: dict[str, Any] = {"device": "cpu", "precision": "fp32", "runtime": "onnx:cpu"}
    first, second = images()
    wanted = vsvfi.load_model("ifrnet_s", weights=ifrnet_weights, **common)(first, second)
    before = sorted(graphs.glob("*.onnx"))
    assert len(before) >= 2  # "prepare" and "synthesise"; "encode" has no convolution

    def refuse(*_: object, **__: object) -> None:
        raise ExportError("written again", "never")

    monkeypatch.setattr("vsvfi.engine.runtimes.onnx.runtime.export_method", refuse)
    assert torch.equal(vsvfi.load_model("ifrnet_s", weights=ifrnet_weights, **common)(first, second), wanted)
    assert not fallbacks(caplog)
    state = {key: 2 * tensor for key, tensor in load_file(ifrnet_weights).items()}
    vsvfi.load_model("ifrnet_s", weights=state, **common)(first, second)
    assert "written again" in fallbacks(caplog)[0]
    assert sorted(graphs.glob("*.onnx")) == before


def test_graphs_and_engines_do_not_fill_the_disk(graphs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VSVFI_CACHE", str(tmp_path))
    monkeypatch.setattr(store, "_MOST_BYTES", 250)
    for key in "abcd":
        store.graph(key, lambda: bytes(100))
    assert len(list((tmp_path / "onnx").iterdir())) == 2
    assert (tmp_path / "onnx" / "d.onnx").stat().st_size == 100


def test_a_provider_that_gives_way_to_another_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from vsvfi.engine.runtimes.onnx import session

    made: dict[str, Any] = {}

    def fake(graph: object, settings: Any, **given: Any) -> Any:
        made.update(given)
        return SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])

    monkeypatch.setattr(session.onnxruntime, "InferenceSession", fake)
    with pytest.raises(ExportError, match="runs the graph with CPUExecutionProvider instead of CUDAExecutionProvider"):
        session.GraphSession(tmp_path / "g.onnx", "cuda", {}, torch.device("cpu"), 1)
    assert made == {"providers": [("CUDAExecutionProvider", {})], "enable_fallback": 0}


def test_providers_say_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    assert providers.obstacle("cpu", "cpu") is None
    assert providers.chosen("cpu") in ("openvino", "cpu")
    assert "takes tensors of the CPU" in str(providers.obstacle("cuda", "dml"))
    assert "vsvfi[onnx-directml]" in str(providers.obstacle("cpu", "dml"))
    monkeypatch.setattr(providers, "load", lambda name: "ModuleNotFoundError: No module named 'onnxruntime'")
    assert "pip install 'vsvfi[onnx]'" in str(RUNTIME.obstacle("cpu"))
    assert "vsvfi[onnx-gpu]" in str(RUNTIME.obstacle("cuda", "tensorrt"))
    monkeypatch.setattr("vsvfi.engine.runtimes.onnx.runtime.is_installed", lambda name: False)
    assert "the package onnx is not installed" in str(RUNTIME.obstacle("cpu", "cpu"))


def test_engines_are_kept_and_types_hold(tmp_path: Path) -> None:
    """TensorRT must not choose float16 for flow and sampling; OpenVINO must not choose bfloat16 by itself."""
    cpu = torch.device("cpu")
    tensorrt = providers.options("tensorrt", torch.float16, cpu, tmp_path / "key", 2)
    assert tensorrt["trt_engine_cache_path"] == str(tmp_path / "key")
    assert tensorrt["trt_timing_cache_enable"] == "1"
    assert "trt_fp16_enable" not in tensorrt
    openvino = providers.options("openvino", torch.float32, cpu, tmp_path / "other", 2)
    assert '"INFERENCE_PRECISION_HINT": "f32"' in openvino["load_config"]
    assert openvino["cache_dir"] == str(tmp_path / "other")
    assert (tmp_path / "other").is_dir()
    assert providers.options("cuda", torch.float32, cpu, tmp_path, 2)["use_tf32"] == "0"


def test_models_without_a_graph_say_why() -> None:
    with pytest.raises(ArgumentError, match=r"cannot run vfimamba_s: its selective scan .*; use runtime='auto'"):
        vsvfi.load_model("vfimamba_s", device="cpu", runtime="onnx:cpu")
    with pytest.raises(ArgumentError, match="names an unknown provider; use 'onnx:tensorrt'"):
        vsvfi.load_model("ifrnet_s", device="cpu", runtime="onnx:coreml")
