"""ncnn models as its converter writes them, from tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

FLOAT16 = 0x01306B47


def write(
    folder: Path, layers: Sequence[tuple[str, Tensor, Tensor | None]], *, half: bool = False, name: str = "flownet"
) -> Path:
    """`layers`: (ncnn's type, weight as torch has it, bias).

    Between them stand layers without values, as in a real file.
    """
    folder.mkdir(exist_ok=True)
    lines = ["Input in0 0 1 in0"]
    data = b""
    for number, (kind, weight, bias) in enumerate(layers):
        values = weight.float().numpy()
        if kind == "PReLU":
            lines.append(f"PReLU prelu_{number} 1 1 a b 0={values.size}")
            data += values.astype("<f4").tobytes()
            continue
        stride = 2
        if kind == "Deconvolution":
            values = values.swapaxes(0, 1)
        lines.append(
            f"{kind} layer_{number} 1 1 a b 0={values.shape[0]} 1={values.shape[-1]} 3={stride} 4=1 "
            f"5={int(bias is not None)} 6={values.size} 9=2 "
            "-23310=1,2.000000e-01"
        )
        lines.append(f"BinaryOp add_{number} 2 1 a b c 0=0")
        if half:
            packed = values.astype("<f2").tobytes()
            data += FLOAT16.to_bytes(4, "little") + packed + bytes(-len(packed) % 4)
        else:
            data += bytes(4) + values.astype("<f4").tobytes()
        if bias is not None:
            data += bias.float().numpy().astype("<f4").tobytes()
    (folder / f"{name}.param").write_text("\n".join(["7767517", f"{len(lines)} {2 * len(lines)}", *lines]) + "\n")
    (folder / f"{name}.bin").write_bytes(data)
    return folder


def of_float16(values: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Round a tensor to half precision."""
    return values.half().float().numpy()
