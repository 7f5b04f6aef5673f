"""Selective scan on the CPU: a loop compiled by LLVM, run over blocks of channels and paths on all cores.

LLVM maps the vectors to the CPU's instructions (AVX-512, AVX2, SSE, NEON). The code runs without the GIL on threads
started for each call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vsvfi.ops.llvm import Code, F32Pointer, Float, Function, I32Pointer, Int, select
from vsvfi.ops.memory import Memory
from vsvfi.ops.threads import in_parts

LANES = 16
"""Channels of one vector."""

VECTORS = 4
"""Vectors of a block: enough independent dependency chains to hide the arithmetic's latency."""

WIDTH = LANES * VECTORS
"""Channels of a block."""

AHEAD = 2
"""How many positions ahead tokens are prefetched."""

LOG2E = 1.4426950408889634

_LN2_HIGH = 0.693359375
"""The upper bits of ln 2, few enough that integer multiples are exact."""
_LN2_LOW = float(np.log(2.0)) - _LN2_HIGH
_ROUND = 1.5 * 2**23
"""Adding it to a float32 of moderate size leaves the nearest integer in the low bits."""


def _polynomial(
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]], degree: int, low: float, high: float
) -> list[float]:
    """Coefficients for `function` on [low, high], highest power first."""
    fitted = np.polynomial.Chebyshev.interpolate(function, degree, domain=[low, high])
    return [float(coefficient) for coefficient in fitted.convert(kind=np.polynomial.Polynomial).coef[::-1]]


# 2^f = 1 + f * _EXP2(f) for |f| <= 1/2, exactly 1 at 0; log(1 + z) = z * _LOG1P(z) for 0 <= z <= 1. Both are off by
# less than 1e-8.
_EXP2 = _polynomial(lambda f: np.expm1(f * np.log(2.0)) / f, 5, -0.5, 0.5)
_LOG1P = _polynomial(lambda z: np.log1p(z) / z, 9, 0.0, 1.0)


@dataclass(frozen=True)
class Arguments:
    """Arguments of the code for one path and one block of channels.

    `stride` is the stride of tokens; everything else is contiguous.

    Tokens and steps [length, WIDTH of a token's channels]; rates [states, WIDTH], multiplied by log2(e); B and C
    [length, states]; D and the bias [WIDTH]; the orders [length]; memory for the states [states, WIDTH]; the result to
    add to, like the tokens.
    """

    u: F32Pointer
    delta: F32Pointer
    rates: F32Pointer
    entering: F32Pointer
    leaving: F32Pointer
    skip: F32Pointer
    bias: F32Pointer
    reads: I32Pointer
    writes: I32Pointer
    state: F32Pointer
    y: F32Pointer
    length: Int
    stride: Int
    states: Int


@functools.cache
def compiled(softplus: bool) -> Function:
    """Compile the recurrence along one path, for one block of channels.

    Raises:
        RuntimeError: LLVM cannot generate code for this machine.
    """
    code = Code("scan", Arguments)
    given, lanes = code.arguments, [LANES * vector for vector in range(VECTORS)]
    with code.loop(given.states) as n:
        for lane in lanes:
            given.state.at(n * WIDTH + lane).store(code.number(0.0, LANES))
    with code.loop(given.length) as position, code.fused():
        source = given.reads[position]
        _announce(given, position)
        u, delta, y = (
            given.u.at(source * given.stride),
            given.delta.at(source * given.stride),
            given.y.at(given.writes[position] * given.stride),
        )
        values = [u.at(lane).load(LANES) for lane in lanes]
        steps = [delta.at(lane).load(LANES) + given.bias.at(lane).load(LANES) for lane in lanes]
        steps = [_softplus(step) for step in steps] if softplus else steps
        gains = [step * value for step, value in zip(steps, values, strict=True)]
        totals = [
            code.variable(given.skip.at(lane).load(LANES) * value) for lane, value in zip(lanes, values, strict=True)
        ]
        with code.loop(given.states) as n:
            entering, leaving = (
                shared[source * given.states + n].broadcast(LANES) for shared in (given.entering, given.leaving)
            )
            for lane, step, gain, total in zip(lanes, steps, gains, totals, strict=True):
                rates, state = given.rates.at(n * WIDTH + lane), given.state.at(n * WIDTH + lane)
                h = _exp2(step * rates.load(LANES)) * state.load(LANES) + gain * entering
                state.store(h)
                total.value = h * leaving + total.value
        for lane, total in zip(lanes, totals, strict=True):
            y.at(lane).store(y.at(lane).load(LANES) + total.value)
    return code.compile()


def _announce(given: Arguments, position: Int) -> None:
    """Prefetch this block's part of a later token; the stride along columns defeats the CPU's hardware prefetcher."""
    later = position + AHEAD
    later = select(later.inside(given.length), later, position)
    for tokens, order in ((given.u, given.reads), (given.delta, given.reads), (given.y, given.writes)):
        token = tokens.at(order[later] * given.stride)
        for vector in range(VECTORS):
            token.at(LANES * vector).prefetch(write=tokens is given.y)


def _exp2(x: Float) -> Float:
    """2^x for x up to 127; results are at least 2^-125, which is negligible for a float32 state."""
    x = x.at_least(-125.0)
    rounded = x + _ROUND
    f = x - (rounded - _ROUND)
    return _scaled(f * _horner(_EXP2, f) + 1.0, rounded)


def _softplus(v: Float) -> Float:
    """log(1 + exp(v)) to float32 relative precision, also for small results."""
    negative = v < 0.0
    x = select(negative, v, v * -1.0).at_least(-86.0)
    rounded = x * LOG2E + _ROUND
    k = rounded - _ROUND
    f = (x - k * _LN2_HIGH - k * _LN2_LOW) * LOG2E
    z = _scaled(f * _horner(_EXP2, f) + 1.0, rounded)
    return select(~negative, v, 0.0) + z * _horner(_LOG1P, z)


def _horner(coefficients: Sequence[float], x: Float) -> Float:
    """The polynomial with these coefficients, highest power first."""
    value = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value


def _scaled(number: Float, rounded: Float) -> Float:
    """The number times 2^k, where `rounded` is k + _ROUND: k is added to the exponent.

    Both must stay in the normal range.
    """
    return (number.bits() + (rounded.bits() << 23)).as_float()


def run(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    softplus: bool,
    reads: Tensor,
    writes: Tensor,
) -> Tensor:
    """See `vsvfi.ops.scan.scan_paths`."""
    function, threads = compiled(softplus), torch.get_num_threads()
    (batch, length, channels), (paths, _, states) = u.shape, A.shape
    missing = -channels % WIDTH
    stride = channels + missing

    def padded(tensor: Tensor) -> Tensor:
        tensor = tensor.detach().float()
        return (functional.pad(tensor, (0, missing)) if missing else tensor).contiguous()

    def blocked(tensor: Tensor) -> Tensor:
        """[K, ..., channels] -> [K, blocks, ..., WIDTH], so that the data of a task is contiguous."""
        tensor = padded(tensor)
        return tensor.reshape(*tensor.shape[:-1], -1, WIDTH).movedim(-2, 1).contiguous()

    values, steps = padded(u), padded(delta)
    rates, skip, bias = blocked(A.detach().float().transpose(1, 2) * LOG2E), blocked(D), blocked(delta_bias)
    entering, leaving = (tensor.detach().float().contiguous() for tensor in (B, C))
    orders = [order.to(torch.int32).contiguous() for order in (reads, writes)]
    blocks = stride // WIDTH
    paths_per_task = paths if blocks * batch >= 2 * threads else 1  # they add to one result
    parts = [
        torch.zeros(batch, length, stride, dtype=torch.float32, device=u.device)
        for _ in range(0, paths, paths_per_task)
    ]

    def memory(name: str, tensor: Tensor, *shape: int, dtype: torch.dtype = torch.float32) -> Memory:
        return Memory(f"scan: {name}", tensor, dtype, shape)

    of_values = memory("u", values, batch, length, stride)
    of_steps = memory("delta", steps, batch, paths, length, stride)
    of_rates = memory("A", rates, paths, blocks, states, WIDTH)
    of_shared = [
        memory(name, tensor, batch, paths, length, states) for name, tensor in (("B", entering), ("C", leaving))
    ]
    of_channels = [memory(name, tensor, paths, blocks, WIDTH) for name, tensor in (("D", skip), ("delta_bias", bias))]
    of_orders = [memory("paths", order, paths, length, dtype=torch.int32) for order in orders]
    of_parts = [memory("y", part, batch, length, stride) for part in parts]
    if any(int(bound) not in range(length) for order in orders for bound in order.aminmax()):
        raise ValueError(f"scan: paths hold a token outside of 0 to {length - 1}")

    def task(image: int, block: int, part: int) -> None:
        state = memory("state", torch.empty(states, WIDTH, dtype=torch.float32, device=u.device), states, WIDTH)
        start = block * WIDTH
        for path in range(part * paths_per_task, (part + 1) * paths_per_task):
            function(
                of_values.at(image, 0, start),
                of_steps.at(image, path, 0, start),
                of_rates.at(path, block),
                *(shared.at(image, path) for shared in of_shared),
                *(coefficients.at(path, block) for coefficients in of_channels),
                *(order.at(path) for order in of_orders),
                state.at(),
                of_parts[part].at(image, 0, start),
                length,
                stride,
                states,
            )

    tasks = [(image, block, part) for part in range(len(parts)) for image in range(batch) for block in range(blocks)]

    def work(first: int) -> None:
        # States decay to denormal numbers, which are slow on many CPUs: flush them to zero meanwhile.
        flushed = _flushes_denormals()
        torch.set_flush_denormal(True)
        try:
            for given in tasks[first::threads]:
                task(*given)
        finally:
            torch.set_flush_denormal(flushed)

    in_parts(work, threads, "scan")
    y = parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)
    return y[..., :channels].to(u.dtype, copy=missing > 0)


def _flushes_denormals() -> bool:
    """Whether the calling thread flushes denormal numbers to zero."""
    return float(torch.full((), 1e-40, dtype=torch.float32, device="cpu") * 1) == 0
