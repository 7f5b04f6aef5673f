"""The selective scan: CPU implementations against the definition in float64, and which input is refused."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from scripts.benchmark import scan as benchmark
from vsvfi.ops import probe
from vsvfi.ops.scan import Paths, mamba, op, reference, scan, scan_paths, warm_up

CASES = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def by_definition(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    softplus: bool,
) -> Tensor:
    """The recurrence, position by position, in float64."""
    u, delta, A, B, C = (tensor.double() for tensor in (u, delta, A, B, C))
    steps = delta if delta_bias is None else delta + delta_bias.double()[:, None]
    if softplus:
        steps = torch.logaddexp(steps, torch.zeros(()))
    width = u.shape[1] // B.shape[1]
    y, state = torch.zeros_like(u), torch.zeros(*u.shape[:2], A.shape[1], dtype=torch.float64)
    for position in range(u.shape[2]):
        step, value = steps[:, :, position, None], u[:, :, position, None]
        state = torch.exp(step * A) * state + step * value * B[..., position].repeat_interleave(width, 1)
        y[:, :, position] = (state * C[..., position].repeat_interleave(width, 1)).sum(2)
    return y if D is None else y + D.double()[:, None] * u


def inputs(
    length: int,
    channels: int = 8,
    groups: int = 2,
    states: int = 16,
    batch: int = 1,
    spread: float = 1.0,
    seed: int = 0,
) -> list[Tensor]:
    """u, delta, A, B, C, D, delta_bias of ordinary size; `spread` scales delta."""
    generator = torch.Generator().manual_seed(seed)
    u, delta = torch.randn(2, batch, channels, length, generator=generator)
    entering, leaving = torch.randn(2, batch, groups, states, length, generator=generator)
    rates = -torch.exp(torch.randn(channels, states, generator=generator) * 0.7 + 1.8)
    skip, bias = torch.randn(2, channels, generator=generator)
    return [u, delta * spread, rates, entering, leaving, skip, bias * 1.3 - 4.6]


def error(found: Tensor, expected: Tensor) -> float:
    """The largest deviation, relative to the largest value."""
    assert torch.isfinite(found).all()
    return float((found.double() - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def test_the_published_recurrence(shared: Path, backend: str) -> None:
    """Steps up to 13.5, decays up to exp(-253) in one step."""
    stored = {
        key.removeprefix("scan_stress/"): tensor
        for key, tensor in load_file(shared / "goldens" / "vfimamba" / "vfimamba_s.safetensors").items()
    }
    rates = -torch.exp(stored["A_logs"])
    y = scan(stored["u"], stored["delta"], rates, stored["B"], stored["C"], stored["D"], stored["delta_bias"], True)
    assert error(y, stored["y"].double()) < 1e-6


@CASES
@given(
    length=st.sampled_from([1, 2, 3, 31, 63, 64, 65, 127, 200]),
    channels=st.sampled_from([1, 3, 64, 70]),
    groups=st.integers(1, 3),
    states=st.sampled_from([1, 5, 16, 17]),
    batch=st.integers(1, 2),
    spread=st.sampled_from([0.0, 1e-3, 1.0, 20.0, 1e4]),
    softplus=st.booleans(),
    bare=st.booleans(),
)
def test_any_length_and_any_step(
    backend: str,
    length: int,
    channels: int,
    groups: int,
    states: int,
    batch: int,
    spread: float,
    softplus: bool,
    bare: bool,
) -> None:
    u, delta, rates, entering, leaving, skip, bias = inputs(length, channels * groups, groups, states, batch, spread)
    delta = delta if softplus else delta.abs()
    ends = (None, None) if bare else (skip, bias if softplus else bias.abs())
    expected = by_definition(u, delta, rates, entering, leaving, *ends, softplus)
    assert error(scan(u, delta, rates, entering, leaving, *ends, softplus), expected) < 1e-6


@CASES
@given(v=st.floats(-80, 200, width=32))
def test_steps_are_exact_relative_to_their_size(backend: str, v: float) -> None:
    """One position from a state of zero gives softplus(v) itself, here with C B = 1."""
    one = torch.ones(1, 64, 1)
    y = scan(one, one * v, -torch.ones(64, 1), one[:, :1, None], one[:, :1, None], softplus=True)
    expected = torch.logaddexp(torch.tensor(v, dtype=torch.float64), torch.zeros((), dtype=torch.float64))
    assert float((y.double() / expected - 1).abs().max()) < 4e-7


def test_a_long_sequence_stays_exact(backend: str) -> None:
    given_inputs = inputs(20_000, channels=2, groups=1)
    assert error(scan(*given_inputs, True), by_definition(*given_inputs, True)) < 1e-6


def test_slow_decay_over_a_long_sequence(backend: str) -> None:
    """A decay of 1 - 1e-5 a step sums thousands of inputs.

    Rounding the decay alone costs 6e-5; a biased exponential would cost more.
    """
    u, delta, rates, entering, leaving, skip, _ = inputs(20_000, channels=2, groups=1)
    given_inputs = (
        u.abs(),
        torch.full_like(delta, 1e-5),
        torch.full_like(rates, -1.0),
        entering.abs(),
        leaving,
        skip,
        None,
    )
    assert error(scan(*given_inputs, False), by_definition(*given_inputs, False)) < 1e-4


def test_silence_after_sound_costs_nothing_and_leaves_nothing(backend: str) -> None:
    u, delta, rates, entering, leaving, _, bias = inputs(400)
    u[..., 10:] = 0
    y = scan(u, delta, rates, entering, leaving, None, bias, True)
    assert error(y, by_definition(u, delta, rates, entering, leaving, None, bias, True)) < 1e-6


def test_what_is_not_a_number_stays_in_its_channel(backend: str) -> None:
    u, *rest = inputs(50)
    clean = scan(u, *rest, True)
    u = u.clone()
    u[0, 3, 20] = torch.nan
    y = scan(u, *rest, True)
    assert torch.isnan(y[0, 3, 20:]).all()
    y[0, 3, 20:] = clean[0, 3, 20:]
    assert torch.equal(y, clean)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_state_in_float32(backend: str, dtype: torch.dtype) -> None:
    narrow = [tensor.to(dtype) if index in (0, 1, 3, 4) else tensor for index, tensor in enumerate(inputs(500))]
    y = scan(*narrow, True)
    assert y.dtype == dtype
    assert error(y.float(), by_definition(*narrow, True)) < (1e-2 if dtype == torch.bfloat16 else 1e-3)


def paths_for(length: int, count: int, seed: int = 0) -> Paths:
    generator = torch.Generator().manual_seed(seed)
    reads, writes = (
        torch.stack([torch.randperm(length, generator=generator) for _ in range(count)]).int() for _ in range(2)
    )
    return Paths(reads, writes)


def path_inputs(batch: int, length: int, channels: int, count: int, states: int = 16) -> list[Tensor]:
    """u, delta, A, B, C, D, delta_bias for `scan_paths`."""
    generator = torch.Generator().manual_seed(1)
    shapes = [
        (batch, length, channels),
        (batch, count, length, channels),
        (count, channels, states),
        (batch, count, length, states),
    ]
    u, delta, rates, entering = (torch.randn(shape, generator=generator) for shape in shapes)
    leaving = torch.randn(shapes[3], generator=generator)
    skip, bias = torch.randn(2, count, channels, generator=generator)
    return [u, delta, -torch.exp(rates), entering, leaving, skip, bias - 2]


def paths_by_definition(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor, paths: Paths
) -> Tensor:
    """Each path alone, read and written by hand."""
    total = torch.zeros(u.shape, dtype=torch.float64)
    for k, (reads, writes) in enumerate(zip(*paths, strict=True)):
        order = reads.long()
        shared = [tensor[:, k, order].transpose(1, 2)[:, None] for tensor in (B, C)]
        y = by_definition(
            u[:, order].transpose(1, 2), delta[:, k, order].transpose(1, 2), A[k], *shared, D[k], delta_bias[k], True
        )
        for position, place in enumerate(writes.tolist()):
            total[:, place] += y[:, :, position]
    return total


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 7, 64, 4), (2, 33, 65, 2), (1, 50, 200, 4), (3, 12, 5, 3)])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_paths_read_and_write_by_index(backend: str, shape: tuple[int, int, int, int], threads: int) -> None:
    given_inputs, paths = path_inputs(*shape), paths_for(shape[1], shape[3])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        y = scan_paths(*given_inputs, paths)
    finally:
        torch.set_num_threads(before)
    assert y.shape == given_inputs[0].shape
    assert error(y, paths_by_definition(*given_inputs, paths)) < 1e-6


def test_inputs_may_be_views(backend: str) -> None:
    u, delta, *rest = path_inputs(2, 20, 6, 2)
    paths = paths_for(20, 2)
    expected = scan_paths(u, delta, *rest, paths)
    turned = scan_paths(
        u.transpose(1, 2).contiguous().transpose(1, 2), torch.stack((delta, delta), -1)[..., 1], *rest, paths
    )
    assert torch.equal(turned, expected)


def test_nothing_to_scan(backend: str) -> None:
    u, delta, rates, entering, leaving, skip, bias = inputs(5)
    assert scan(u[:0], delta[:0], rates, entering[:0], leaving[:0], skip, bias, True).shape == (0, 8, 5)


def test_the_definition_is_differentiable() -> None:
    given_inputs = [tensor.double().requires_grad_() for tensor in inputs(7, channels=2, groups=1, states=3)]
    assert torch.autograd.gradcheck(lambda *tensors: scan(*tensors, True), given_inputs)
    u, *rest = path_inputs(1, 9, 4, 2)
    u.requires_grad_()
    scan_paths(u, *rest, paths_for(9, 2)).sum().backward()
    assert u.grad is not None
    assert torch.isfinite(u.grad).all()


def test_many_threads_may_scan_at_once(backend: str) -> None:
    given_inputs, paths = path_inputs(1, 300, 128, 4), paths_for(300, 4)
    expected, found = scan_paths(*given_inputs, paths), {}

    def work(index: int) -> None:
        with torch.inference_mode():
            found[index] = scan_paths(*given_inputs, paths)

    before = threading.active_count()
    threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[index], expected) for index in range(6))
    assert threading.active_count() == before


def test_the_callers_arithmetic_is_left_alone(backend: str) -> None:
    """Numbers below the normal range are dropped on the scan's own threads, nowhere else."""
    scan(*inputs(40), True)
    assert float(torch.tensor([1e-38]) / 100) > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_torch_operator_keeps_its_promises(backend: str, dtype: torch.dtype) -> None:
    given_inputs, paths = path_inputs(1, 12, 65, 2), paths_for(12, 2)
    narrow = [tensor.to(dtype) if index in (0, 1, 3, 4) else tensor for index, tensor in enumerate(given_inputs)]
    torch.library.opcheck(
        torch.ops.vsvfi.scan.default, (*narrow, True, *paths), test_utils=["test_schema", "test_faketensor"]
    )


def test_no_package_writes_into_the_installation() -> None:
    """Native code is compiled in memory: nothing is left beside the sources."""
    folder = Path(reference.__file__).parent
    before = {path.name for path in folder.rglob("*") if path.suffix not in (".py", ".pyc")}
    warm_up(torch.device("cpu"), torch.float32)
    assert {path.name for path in folder.rglob("*") if path.suffix not in (".py", ".pyc")} == before


def test_the_benchmark_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["scan", "--size", "32x40", "--rounds", "1"])
    benchmark.main()
    assert "stage 4 reference" in capsys.readouterr().out


def test_importing_the_operator_loads_no_kernel() -> None:
    script = "import sys, vsvfi.ops.scan; names = ('llvmlite', 'cupy', 'mamba_ssm'); "
    script += "sys.exit(int(any(name in sys.modules for name in names)))"
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


U, A, B, D = torch.zeros(1, 4, 6), torch.zeros(4, 3), torch.zeros(1, 2, 3, 6), torch.zeros(4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((U[0], U[0], A, B, B), r"u=\(4, 6\), which must be \[batch, channels, L\]"),
        ((U, U[..., :5], A, B, B), r"delta=\(1, 4, 5\), must be like u"),
        ((U, U, A[:3], B, B), r"A=\(3, 3\), must be \[4, N\]"),
        ((U, U, A, B[:, :, :, :5], B), r"B=\(1, 2, 3, 5\)"),
        ((U, U, A, B.expand(1, 2, 3, 6)[:, [0, 0, 0]], B), r"B=\(1, 3, 3, 6\), C=.*a divisor of 4"),
        ((U, U, A, B, B[:, :1]), r"C=\(1, 1, 3, 6\)"),
        ((U, U, A, B, B, D[:3]), r"D=\(3,\), must be \[4\]"),
        ((U, U, A, B, B, D, D[:1]), r"delta_bias=\(1,\), must be \[4\]"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(arguments: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scan(*arguments)


@pytest.mark.parametrize("which", range(9))
def test_paths_that_do_not_fit_are_refused(which: int) -> None:
    u, *rest = path_inputs(1, 6, 4, 2)
    given_inputs: list[Tensor] = [u, *rest, *paths_for(6, 2)]
    given_inputs[which] = given_inputs[which][..., None] if which == 0 else given_inputs[which][..., :1]
    with pytest.raises(ValueError, match="scan_paths: " + ("u=" if which == 0 else "")):
        scan_paths(*given_inputs[:7], Paths(*given_inputs[7:]))


@pytest.mark.parametrize(("which", "token"), [("reads", -1), ("reads", 6), ("writes", 6), ("writes", -7)])
def test_paths_to_nowhere_are_refused(which: str, token: int) -> None:
    """Native code would follow them."""
    paths = paths_for(6, 2)
    getattr(paths, which)[1, 2] = token
    with pytest.raises(ValueError, match=rf"scan_paths: paths.{which} holds {token}, must hold tokens from 0 to 5"):
        scan_paths(*path_inputs(1, 6, 4, 2), paths)


@pytest.fixture
def mamba_ssm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package like mamba_ssm, whose kernel is the definition."""
    module = ModuleType("mamba_ssm.ops.selective_scan_interface")

    def published(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):  # type: ignore[no-untyped-def]
        assert z is None
        assert all(tensor.is_contiguous() for tensor in (u, delta, A, B, C))
        assert u.dtype == delta.dtype == B.dtype == C.dtype
        return reference.scan(u, delta, A, B, C, D, delta_bias, delta_softplus)

    module.selective_scan_fn = published  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mamba_ssm", ModuleType("mamba_ssm"))
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops", ModuleType("mamba_ssm.ops"))
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops.selective_scan_interface", module)
    return module


def test_mambas_kernel_gets_what_it_wants(mamba_ssm: ModuleType) -> None:
    given_inputs = inputs(30)
    assert torch.equal(mamba.scan(*given_inputs, True), reference.scan(*given_inputs, True))
    tokens, paths = path_inputs(2, 20, 6, 3), paths_for(20, 3)
    tokens[1] = tokens[1].abs() + 3  # steps are positive without softplus too
    for softplus in (True, False):
        assert torch.equal(mamba.run(*tokens, softplus, *paths), reference.scan_paths(*tokens, softplus, *paths))


def test_mambas_kernel_is_tested_before_it_is_used(
    mamba_ssm: ModuleType, monkeypatch: pytest.MonkeyPatch, fresh_choice: None
) -> None:
    monkeypatch.setitem(probe.DEVICES, "mamba_ssm", "cpu")
    assert op.SCAN.self_test("mamba_ssm") is None
    op.SCAN.forget()
    mamba_ssm.selective_scan_fn = lambda u, *rest, **named: torch.zeros_like(u)  # type: ignore[attr-defined]
    assert op.SCAN.self_test("mamba_ssm") == "scan does not compute its definition here"
    op.SCAN.forget()

    def broken(*given_inputs: object, **named: object) -> Tensor:
        raise RuntimeError("no kernel image is available\nfor this device")

    mamba_ssm.selective_scan_fn = broken  # type: ignore[attr-defined]
    assert op.SCAN.self_test("mamba_ssm") == "scan fails here (RuntimeError: no kernel image is available)"


def test_mambas_kernel_takes_the_call_where_it_is_chosen(
    mamba_ssm: ModuleType, monkeypatch: pytest.MonkeyPatch, fresh_choice: None
) -> None:
    monkeypatch.setitem(probe.DEVICES, "mamba_ssm", "cpu")
    monkeypatch.setattr(probe, "remembered_obstacle", lambda name: None)
    monkeypatch.setenv("VSVFI_OPS", "mamba_ssm")
    assert op.SCAN.choice("cpu").name == "mamba_ssm"
    given_inputs, tokens, paths = inputs(30), path_inputs(1, 20, 6, 3), paths_for(20, 3)
    assert error(scan(*given_inputs, True), reference.scan(*given_inputs, True).double()) < 1e-6
    assert torch.equal(scan_paths(*tokens, paths), reference.scan_paths(*tokens, True, *paths))
