"""Run a graph with ONNX Runtime on torch's tensors, without copies where the provider can read their memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from vsvfi.engine.runtimes.onnx.providers import PROVIDERS
from vsvfi.errors import ExportError

_ELEMENTS = {
    "tensor(float)": (np.float32, torch.float32),
    "tensor(float16)": (np.float16, torch.float16),
    "tensor(int64)": (np.int64, torch.int64),
}


class GraphSession:
    """One graph, loaded by one provider. May be called by several threads.

    Args:
        graph: the file.
        provider: a key of `PROVIDERS`.
        options: of the provider.
        device: of the tensors.
        threads: to compute with on the CPU.

    Raises:
        ExportError: the provider cannot run the whole graph.
    """

    def __init__(self, graph: Path, provider: str, options: dict[str, str], device: torch.device, threads: int) -> None:
        title = PROVIDERS[provider].title
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
        settings.log_severity_level = 3
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if provider != "cpu":  # a node on the CPU would be slow and go unnoticed
            settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        if provider == "dml":
            settings.enable_mem_pattern = False
        self._session = onnxruntime.InferenceSession(graph, settings, providers=[(title, options)], enable_fallback=0)
        used = self._session.get_providers()
        if used[:1] != [title]:
            raise ExportError(
                f"onnxruntime runs the graph with {used[0]} instead of {title}", "see the log for what is missing"
            )
        self._device = device
        self._inputs = [(value.name, *_ELEMENTS[value.type]) for value in self._session.get_inputs()]
        self._outputs = [
            (value.name, *_ELEMENTS[value.type], tuple(value.shape)) for value in self._session.get_outputs()
        ]

    @property
    def inputs(self) -> list[str]:
        """Names of the tensors that the graph uses."""
        return [name for name, *_ in self._inputs]

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Run the graph: tensors of `inputs` in, new tensors of all outputs out, in order, in the graph's types."""
        binding = self._session.io_binding()
        place = self._device.type, self._device.index or 0
        held: list[Any] = []  # until the graph has run
        for (name, element, dtype), tensor in zip(self._inputs, tensors, strict=True):
            given = tensor.detach().to(dtype).contiguous()
            held.append(given)
            binding.bind_input(name, *place, element, tuple(given.shape), given.data_ptr())
        results = []
        for name, element, dtype, shape in self._outputs:
            result = torch.empty(shape, dtype=dtype, device=self._device)
            binding.bind_output(name, *place, element, shape, result.data_ptr())
            results.append(result)
        self._session.run_with_iobinding(binding)
        return results
