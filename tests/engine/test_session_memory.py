"""Memory that runs out, and what is refused or advised before it does."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from tests.building import EXACT
from tests.engine.sessions import Notes, ask, load, source
from tests.fakes import Recorder
from tests.models.live_bytes import pretend_weights, pretending
from vsvfi.engine import memory
from vsvfi.engine.build import construct
from vsvfi.engine.memory import memory_advice
from vsvfi.engine.model_config import ModelConfig
from vsvfi.engine.observer import Phase
from vsvfi.engine.padding import Padding
from vsvfi.engine.placement import Placement, RuntimeChoice
from vsvfi.engine.session import Session
from vsvfi.errors import ClipError, DeviceMemoryError
from vsvfi.models.family import Family, Variant
from vsvfi.models.registry import families
from vsvfi.options import Options
from vsvfi.plan.timeline import Interpolate


def test_memory_that_runs_out_once_is_retried_and_twice_is_reported(
    opened: Callable[..., Session], fake_family: Recorder
) -> None:
    session = opened()
    failures = [1]

    def fail() -> None:
        if failures:
            failures.pop()
            raise torch.OutOfMemoryError("CUDA out of memory")

    fake_family.hook = fail
    assert torch.allclose(ask(session, 0, Fraction(1, 2)), (source(0) + source(1)) / 2, atol=1e-6)
    failures.extend([1, 1])
    with pytest.raises(
        DeviceMemoryError,
        match=r"frame 7: cpu ran out of memory \(held: frames .* MiB, pairs .* MiB\); use a smaller scale=",
    ):
        session.interpolate(7, Interpolate(0, 1, Fraction(1, 2)), load, lambda image: None)
    assert torch.allclose(ask(session, 0, Fraction(1, 2)), (source(0) + source(1)) / 2, atol=1e-6)


def test_the_second_attempt_begins_with_empty_caches(opened: Callable[..., Session]) -> None:
    failures = [1]

    def fail(phase: Phase) -> None:
        if phase == "synthesise" and failures:
            failures.pop()
            raise torch.OutOfMemoryError("CUDA out of memory")

    notes = Notes(fail)
    ask(opened(observer=notes), 0, Fraction(1, 2))
    both = [[Fraction(0)], [Fraction(1)]]
    assert notes.positions("encode_frame") == both + both


@pytest.mark.parametrize("phase", ["encode_frame", "prepare_pair", "synthesise", "load", "deliver"])
@pytest.mark.parametrize(
    "fault",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError("host"), RuntimeError("MPS backend out of memory")],
    ids=str,
)
def test_nothing_of_a_failed_attempt_is_alive(
    opened: Callable[..., Session], fake_family: Recorder, phase: str, fault: Exception
) -> None:
    """Neither when the second attempt starts nor after its error was handled, without a collection of garbage."""
    made: list[weakref.ref[Tensor]] = []
    alive: list[bool] = []

    def fail_twice() -> None:
        alive.extend(reference() is not None for reference in made)
        large = torch.zeros(1000)
        made.append(weakref.ref(large))
        if len(made) <= 2:
            raise type(fault)(*fault.args)

    def checked_load(index: int, into: Tensor) -> None:
        load(index, into)
        if phase == "load":
            fail_twice()

    def at_phase(called: Phase) -> None:
        if called == phase:
            fail_twice()

    session = opened(observer=Notes(at_phase))
    gc.disable()
    try:
        caught = False
        try:
            session.interpolate(
                7,
                Interpolate(0, 1, Fraction(1, 2)),
                checked_load,
                lambda image: fail_twice() if phase == "deliver" else None,
            )
        except DeviceMemoryError:  # not pytest.raises, which would keep it
            caught = True
        assert caught
        assert alive == [False]
        assert [reference() for reference in made] == [None, None]
    finally:
        gc.enable()
    session.interpolate(7, Interpolate(0, 1, Fraction(1, 2)), checked_load, lambda image: None)


def test_the_second_attempt_has_the_device_alone(opened: Callable[..., Session], fake_family: Recorder) -> None:
    """Two frames at a time that only fit one by one are computed one by one."""
    session, running, together = opened(workers=2), Counter[str](), threading.Barrier(2, timeout=10)
    lock, found = threading.Lock(), list[float]()

    def fail_together() -> None:
        with lock:
            running["now"] += 1
            running["attempts"] += 1
            first = running["attempts"] <= 2
        if first:
            together.wait()  # both are inside
        with lock:
            alone = running["now"] == 1
        if not first:
            assert alone
        with lock:
            running["now"] -= 1
        if first:
            raise torch.OutOfMemoryError("CUDA out of memory")

    def compute(index: int) -> None:
        found.append(float(ask(session, index, Fraction(1, 2)).mean()))

    fake_family.hook = fail_together
    threads = [threading.Thread(target=compute, args=(index,)) for index in (0, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    expected = sorted(float(((source(k) + source(k + 1)) / 2).mean()) for k in (0, 4))
    assert sorted(found) == pytest.approx(expected, abs=1e-6)
    assert running["attempts"] == 4


def test_a_lack_of_memory_names_what_the_model_takes(fake_family: Recorder) -> None:
    def advice(name: str, placement: Placement = EXACT, scale: Fraction | None = None, workers: int = 1) -> str:
        config = ModelConfig.of(Options(model=name, scale=scale))
        return memory_advice(config, config.build_config(64, 64), placement, workers)

    rest = "a smaller cache=, smaller frames or another model"
    assert advice("fake", workers=2) == f"a smaller scale=, streams=1, {rest}"
    assert advice("fake", scale=Fraction(1, 2)) == rest
    cuda = torch.device("cuda")
    assert (
        advice("builtin", Placement(cuda, torch.float32)) == f"a smaller scale=, precision='fp16', tile='auto', {rest}"
    )
    assert advice("builtin", Placement(cuda, torch.float16)) == f"a smaller scale=, tile='auto', {rest}"
    assert advice("ldmvfi") == rest
    assert advice("gimmvfi_r") == f"a smaller scale=, tile='auto', a smaller options={{'memory': ...}}, {rest}"


def test_other_errors_pass_through(opened: Callable[..., Session], fake_family: Recorder) -> None:
    def fail() -> None:
        raise RuntimeError("something else")

    session = opened()
    fake_family.hook = fail
    with pytest.raises(RuntimeError, match="something else"):
        ask(session, 0, Fraction(1, 2))


def test_a_size_that_cannot_fit_is_refused(opened: Callable[..., Session], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Family, "estimate_memory", lambda family, variant, build, size, number: 1 << 60)
    with pytest.raises(
        ClipError, match=r"2 concurrent frames of 30x18 take Fake about 2147483648\.0 GiB in float32, cpu has"
    ):
        opened(workers=2)


@pytest.mark.parametrize(
    ("name", "scale", "times"),
    [
        ("uprnet_base", None, 3), ("builtin_hq", None, 1), ("vfimamba_s", None, 3), ("ifrnet_s", None, 1),
        ("ifrnet_l", None, 3), ("ifrnet_s", 0.5, 3), ("ifrnet_s", 2, 1), ("gimmvfi_r", None, 1),
    ],
)  # fmt: skip
def test_estimates_are_close_to_what_is_counted(name: str, scale: float | None, times: int) -> None:
    """The peak of two frames through all phases, on fake tensors; activations grow with the area alone."""
    given = None if scale is None else Fraction(scale)
    config, size, number = ModelConfig.of(Options(model=name, scale=given)), (256, 128), 2
    build = config.build_config(*size)
    padding, network = Padding.of(build, *size), construct(config.family, config.variant, build).to("meta")
    with pretending() as live:
        half = lambda place: torch.float32 if f"{place}.".startswith(network.full_precision) else torch.float16  # noqa: E731
        pretend_weights(network.requires_grad_(False), half, "cuda")
        shape = (1, 3, padding.padded_area // 256, 256)
        images = [torch.empty(shape, device="cuda").contiguous(memory_format=torch.channels_last) for _ in range(2)]
        t = torch.full((times,), 0.5, device="cuda")
        with live:
            for image in images:
                live.count(image)
            network(*images, t)
    estimate = config.family.estimate_memory(config.variant, build, size, number, times)
    assert live.peak <= estimate <= 1.2 * live.peak


@pytest.mark.parametrize(
    "variant",
    [variant for family in families() for variant in family.variants],
    ids=lambda variant: variant.name,
)
def test_every_model_is_refused_where_it_cannot_fit(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to change, each of which lowers the estimate."""
    model, cuda = ModelConfig.of(Options(model=variant.name)), torch.device("cuda")
    at = Placement(cuda, torch.float32, RuntimeChoice("graph"))
    monkeypatch.setattr(memory, "memory", lambda device: 2 << 30)
    monkeypatch.setattr(memory, "describe", str)
    memory.check_memory(model, (64, 64), Placement(torch.device("cpu"), torch.float32))
    with pytest.raises(ClipError, match="2 concurrent frames of 3840x2160 take") as caught:
        memory.check_memory(model, (3840, 2160), at, 2)
    for named in ("streams=1", "runtime='eager'", "smaller frames"):
        assert named in str(caught.value)
    assert ("precision='fp16'" in str(caught.value)) == (model.family.name != "rife")  # it keeps what is large float32
    assert ("a smaller scale=" in str(caught.value)) == (model.family.name in ("ifrnet", "gimmvfi", "rife"))


def test_a_smaller_budget_is_advised_where_it_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """GIMM-VFI's budget decides at scale 1; at the default 1/4 of 8K merging at full size takes more."""
    monkeypatch.setattr(memory, "memory", lambda device: 4 << 30)
    monkeypatch.setattr(memory, "describe", str)
    at = Placement(torch.device("cuda"), torch.float32)
    for size, scale, named in (((1920, 1080), Fraction(1), True), ((7680, 4320), None, False)):
        with pytest.raises(ClipError, match="GIMM-VFI about") as caught:
            memory.check_memory(ModelConfig.of(Options(model="gimmvfi_r", scale=scale)), size, at, 2)
        assert ("a smaller options={'memory': ...}" in str(caught.value)) == named


def test_graphs_give_way_and_caches_shrink_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    model, size = ModelConfig.of(Options(model="uprnet_llarge")), (3840, 2160)
    cuda = torch.device("cuda")
    graph, eager = (Placement(cuda, torch.float16, RuntimeChoice(name)) for name in ("graph", "eager"))
    monkeypatch.setattr(memory, "default_cache", lambda device: memory.memory(device) // 3)

    def has(gib: int) -> None:
        monkeypatch.setattr(memory, "memory", lambda device: gib << 30)

    has(80)
    assert memory.fitting_placements(model, size, (graph,)) == (graph,)
    assert memory.fitting_cache(model, size, graph, 1) == (80 << 30) // 3
    has(16)
    assert memory.fitting_placements(model, size, (graph,)) == (eager,)
    assert 1 << 30 < memory.fitting_cache(model, size, eager, 1) < 4 << 30
    monkeypatch.setattr(memory, "describe", str)
    with pytest.raises(
        ClipError, match=r"3840x2160 takes UPR-Net about 2\d\.\d GiB.*; use runtime='eager', tile='auto', smaller"
    ):
        memory.check_memory(model, size, graph)
    memory.check_memory(model, size, eager)
    assert "runtime='eager'" in memory_advice(model, model.build_config(*size), graph, 1)
