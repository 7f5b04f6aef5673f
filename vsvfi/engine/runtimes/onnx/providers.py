"""The execution providers of ONNX Runtime: what each needs, and how it is set up."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vsvfi.packages import load


@dataclass(frozen=True, slots=True)
class Provider:
    """One execution provider.

    Attributes:
        title: its name in ONNX Runtime.
        extra: of our package, which brings an ONNX Runtime with it.
        devices: kinds of torch's devices whose tensors it takes.
    """

    title: str
    extra: str
    devices: tuple[str, ...]


PROVIDERS = {
    "tensorrt": Provider("TensorrtExecutionProvider", "onnx-gpu", ("cuda", "cpu")),
    "cuda": Provider("CUDAExecutionProvider", "onnx-gpu", ("cuda", "cpu")),
    "dml": Provider("DmlExecutionProvider", "onnx-directml", ("cpu",)),
    "openvino": Provider("OpenVINOExecutionProvider", "onnx-openvino", ("cpu",)),
    "cpu": Provider("CPUExecutionProvider", "onnx", ("cpu",)),
}
"""All providers that can be named, fastest first."""

OPENVINO_DEVICE = "VSVFI_OPENVINO_DEVICE"
"""Environment variable: the device of OpenVINO, such as GPU or NPU; CPU by default."""


def obstacle(device: str, name: str) -> str | None:
    """Why a provider cannot be used with tensors on this kind of device, or None."""
    provider = PROVIDERS[name]
    if device not in provider.devices:
        return f"the provider takes tensors of the CPU alone; use device='cpu' with 'onnx:{name}'"
    runtime = load("onnxruntime")
    install = f"pip install 'vsvfi[{provider.extra}]'"
    if isinstance(runtime, str):
        return f"onnxruntime cannot be imported ({runtime}); {install}"
    if provider.title not in runtime.get_available_providers():
        return (
            f"onnxruntime {runtime.__version__} was built without {provider.title}; {install}, and no other onnxruntime"
        )
    return None


def chosen(device: str) -> str | None:
    """The best provider for tensors on this kind of device, or None if there is none."""
    return next((name for name in PROVIDERS if obstacle(device, name) is None), None)


def options(name: str, dtype: torch.dtype, device: torch.device, folder: Path, threads: int) -> dict[str, str]:
    """Return the provider's options.

    Args:
        name: a key of `PROVIDERS`.
        dtype: the network's type.
        device: of the tensors.
        folder: for engines and timings of this graph, which take minutes to make; it is created if needed.
        threads: to compute with on the CPU.
    """
    if name in ("openvino", "tensorrt"):
        folder.mkdir(parents=True, exist_ok=True)
    if name == "openvino":
        return _openvino(dtype, folder, threads)
    found: dict[str, str] = {}
    if name in ("cuda", "tensorrt"):
        found["device_id"] = str(device.index or 0)
        if device.type == "cuda":  # so that nothing waits between torch's kernels and the graph's
            found["user_compute_stream"] = str(torch.cuda.current_stream(device).cuda_stream)
    if name == "cuda":  # the search of "EXHAUSTIVE" gives other bits in every process
        found |= {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "do_copy_in_default_stream": "1"}
    if name == "tensorrt":
        # trt_fp16_enable stays off: the graph's own types then hold, and flow and sampling remain float32
        found |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(folder.parent),
        }
    return found


def _openvino(dtype: torch.dtype, folder: Path, threads: int) -> dict[str, str]:
    device = os.environ.get(OPENVINO_DEVICE) or "CPU"
    hint = {torch.float16: "f16", torch.bfloat16: "bf16"}.get(dtype, "f32")
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint}
    if device == "CPU":
        settings["INFERENCE_NUM_THREADS"] = str(threads)
    return {"device_type": device, "cache_dir": str(folder), "load_config": json.dumps({device: settings})}
