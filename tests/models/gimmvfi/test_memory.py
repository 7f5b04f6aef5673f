"""Peak memory of GIMM-VFI, counted on fake tensors: below the published program's, and as docs/benchmarks.md states."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from tests.models.live_bytes import LiveBytes, pretend_weights, pretending
from vsvfi.models.gimmvfi.network import GIMMVFI
from vsvfi.models.gimmvfi.spec import FAMILY
from vsvfi.ops.lookup.op import LOOKUP
from vsvfi.ops.probe import Backend

MIB = 1 << 20
PUBLISHED = {"2048x1080": 7932, "4096x2160": 10922}
"""Peak MiB of the published program in fp32, at 1/2 and 1/4."""

RESULT = Path(__file__).parents[3] / "scripts" / "benchmark" / "results" / "gimmvfi_memory.json"


def test_bytes_are_counted_while_they_live() -> None:
    with pretending() as live, live:
        first = torch.empty(MIB, dtype=torch.uint8)
        view = first[10:]
        assert live.now == MIB
        del first
        second = view + 1
        assert live.now == live.peak == 2 * MIB - 10
        del view, second
        assert (live.now, live.peak) == (0, 2 * MIB - 10)


def peak(estimator: str, size: str, scale: Fraction, dtype: torch.dtype) -> int:
    """Return the peak MiB of encoding two frames and interpolating one, frames and weights included."""
    width, height = map(int, size.split("x"))
    left, right, top, bottom = FAMILY.build_config(width, height, scale, FAMILY.option_defaults).size_rule.padding(
        width, height, scale
    )
    shape = (1, 3, height + top + bottom, width + left + right)
    with torch.device("meta"):
        network = GIMMVFI(estimator, scale=scale).eval()
    network.flow_estimator.iterations = 2  # type: ignore[assignment]  # more iterations need no more memory
    with pretending() as live:
        pretend_weights(
            network,
            lambda place: torch.float32 if f"{place}.".startswith(network.full_precision) or not place else dtype,
            "cuda:0",
        )
        images = [torch.empty(shape, device="cuda:0").contiguous(memory_format=torch.channels_last) for _ in range(2)]
        return (measured(live, network, images) + sum(tensor.nbytes for tensor in network.state_dict().values())) // MIB


def measured(live: LiveBytes, network: GIMMVFI, images: list[torch.Tensor]) -> int:
    with live:
        for image in images:
            live.count(image)
        pair = network.prepare_pair(*(network.encode_frame(image) for image in images))
        network.synthesise(pair, torch.full((1,), 0.5, device="cuda:0"))
    return live.peak


def documented() -> dict[tuple[str, str], list[int]]:
    """Return the benchmarks' table: size and scale -> MiB of fp32 and fp16 for RAFT, then for FlowFormer."""
    rows = json.loads(RESULT.read_text(encoding="utf-8"))["rows"]
    return {
        (size, scale): [int(number.replace(",", "")) for number in numbers if number] for size, scale, *numbers in rows
    }


@pytest.mark.parametrize(("size", "scale"), [("2048x1080", "0.5"), ("4096x2160", "0.25")])
@pytest.mark.parametrize("precision", [torch.float32, torch.float16])
def test_peak_memory_is_as_documented_and_below_the_published(
    size: str, scale: str, precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOOKUP, "choice", lambda device: Backend("cupy", True, "as on a GPU"))
    found = peak("raft", size, Fraction(scale), precision)
    half = precision == torch.float16
    assert found < PUBLISHED[size] / (2 if half else 1)
    assert found == pytest.approx(documented()[size, scale][half], rel=0.02)
