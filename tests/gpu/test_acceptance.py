"""The acceptance run: its steps in small on the CPU, and how it goes on after failures, hung steps and crashes."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import pytest
import torch

from scripts.gpu import acceptance, alternatives, correctness, speed
from scripts.gpu.child import run
from scripts.gpu.plan import steps
from scripts.gpu.step import Context, FailedError, Step
from vsvfi.models.registry import families

CPU = torch.device("cpu")

CHILD = """
import json, sys, time
first = int([a for a in sys.argv if a.startswith("--first=")][0][8:])
def say(index, **line): print(json.dumps({"index": index, "step": NAMES[index], **line}), flush=True)
NAMES = ["good", "crashes", "hangs", "sticky", "last"]
for index in range(first, 5):
    say(index, outcome="started", most=0.5 if index == 2 else 20)
    if index == 1: sys.exit(139)
    if index == 2: time.sleep(60)
    say(index, outcome="failed" if index == 3 else "passed", reason="")
    if index == 3: sys.exit(1)
"""


def outcomes(results: list[dict[str, str]]) -> dict[str, str]:
    return {result["step"]: result["outcome"] for result in results}


def test_it_goes_on_after_crashes_and_hung_steps() -> None:
    lines, names = io.StringIO(), ["good", "crashes", "hangs", "sticky", "last"]
    results = acceptance.supervise([sys.executable, "-c", CHILD], names, time.monotonic() + 60, lines)
    assert outcomes(results) == {
        "good": "passed", "crashes": "failed", "hangs": "failed", "sticky": "failed", "last": "passed",
    }  # fmt: skip
    assert "code 139" in results[1]["reason"]
    assert "no answer from hangs" in results[2]["reason"]
    assert [json.loads(line)["step"] for line in lines.getvalue().splitlines()] == names


def test_a_process_that_never_works_ends_the_run() -> None:
    names = ["one", "two"]
    results = acceptance.supervise([sys.executable, "-c", "1/0"], names, time.monotonic() + 60, io.StringIO())
    assert outcomes(results) == {"one": "failed", "two": "failed"}
    results = acceptance.supervise([sys.executable, "-c", "1/0"], names, time.monotonic() - 1, io.StringIO())
    assert outcomes(results) == {"one": "skipped", "two": "skipped"}


def test_failures_are_reported_with_what_was_found() -> None:
    def bad(context: Context) -> dict[str, object]:
        raise FailedError("too far", {"error": 3})

    def broken(context: Context) -> dict[str, object]:
        print("not a line of the report")
        return {"never": 1 / 0}

    out = io.StringIO()
    plan = [Step("bad", bad), Step("broken", broken), Step("late", bad, least=1e9)]
    assert run(plan, 0, Context(CPU, deadline=time.monotonic() + 1e6), out)
    ended = [line for line in map(json.loads, out.getvalue().splitlines()) if line["outcome"] != "started"]
    assert [(line["outcome"], line.get("reason")) for line in ended] == [
        ("failed", "too far"), ("failed", "ZeroDivisionError: division by zero"), ("skipped", "no time is left"),
    ]  # fmt: skip
    assert ended[0]["found"] == {"error": 3}
    assert "broken" in ended[1]["trace"]


def test_every_step_works_in_small(capfd: pytest.CaptureFixture[str]) -> None:
    plan = [
        Step("kernels", correctness.kernels),
        correctness.against_cpu("builtin", torch.float32),
        correctness.runtime_against_eager("builtin", "eager"),
        Step("clips", correctness.clips),
        Step("colour", correctness.colour),
        Step("memory", correctness.flat_memory),
        speed.network("builtin", "1080p", "eager"),
        speed.whole("builtin", "1080p", "eager"),
        alternatives.autotuning("builtin"),
        alternatives.layout("builtin", torch.float32),
        Step("alignment", alternatives.alignment),
        alternatives.batch_of_times("builtin", "eager"),
    ]
    out = io.StringIO()
    assert run(plan, 0, Context(CPU, small=True), out)
    ended = [line for line in map(json.loads, out.getvalue().splitlines()) if line["outcome"] != "started"]
    assert [(line["step"], line["outcome"], line.get("reason")) for line in ended] == [
        (step.name, "passed", None) for step in plan
    ]
    found = {line["step"]: line["found"] for line in ended}
    assert found["clips"]["frames"] == 18
    assert found["builtin 1080p eager"]["pairs_per_second"] > 0
    assert found["builtin 1080p eager"]["multiply_adds"] > 0
    assert found["interpolate builtin 1080p eager 2x streams=2"]["target_share_outside_network"] == 0.05
    assert found["builtin cuDNN deterministic against autotuned"]["equal_bits"]
    for compared in (found[plan[-4].name], found[plan[-3].name], found[plan[-1].name]["8x"]):
        assert compared["gain"] == pytest.approx(1 - compared["alternative_ms"] / compared["now_ms"], abs=0.01)
    capfd.readouterr()


def test_a_runtime_that_is_not_here_is_skipped() -> None:
    out = io.StringIO()
    plan = [correctness.runtime_against_eager("builtin", "graph"), speed.network("vfimamba_s", "720p", "onnx:cpu")]
    assert run(plan, 0, Context(CPU, small=True), out)
    ended = [line for line in map(json.loads, out.getvalue().splitlines()) if line["outcome"] != "started"]
    assert [line["outcome"] for line in ended] == ["skipped", "skipped"]
    assert "CUDA" in ended[0]["reason"]


def test_a_step_that_runs_at_the_end_of_the_time_is_no_failure() -> None:
    child = """
import json, time
print(json.dumps({"index": 0, "step": "long", "outcome": "started", "most": 600}), flush=True)
time.sleep(60)
"""
    results = acceptance.supervise([sys.executable, "-c", child], ["long"], time.monotonic() + 3, io.StringIO())
    assert outcomes(results) == {"long": "skipped"}


def test_the_plan_has_every_family_and_distinct_steps(tmp_path: Path) -> None:
    names = [step.name for step in steps(torch.device("cuda"))]
    assert len(set(names)) == len(names)
    for family in families():
        variants = {variant.name for variant in family.variants}
        checked = {name.split()[0] for name in names if name.endswith("float16 against the CPU")}
        assert checked & variants
    assert names[0] == "kernels"
    for family in families():
        variants = {variant.name for variant in family.variants}
        for part in ("streams=1", "streams=3", "8x streams=2", "compile against eager", "onnx:tensorrt against eager"):
            assert {name.removeprefix("interpolate ").split()[0] for name in names if name.endswith(part)} & variants
    assert not any("graph" in step.name for step in steps(CPU))
