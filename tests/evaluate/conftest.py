"""Runs the benchmark inside the test's process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import fakes


@pytest.fixture
def measure(
    tmp_path: Path, fake_family: fakes.Recorder, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Runs the benchmark with the blending model; returns its JSON."""

    from scripts.evaluate import benchmark

    def call(name: str, root: Path, *further: str, model: str = "fake", code: int = 0) -> dict[str, Any]:
        command = [name, "--data", str(root), "--results", str(tmp_path / "results"), "--device", "cpu", *further]
        if model:
            command += ["--model", model]
            if model.startswith("fake"):
                command += ["--weights", str(fake_family.weights)]
        assert benchmark.main(command) == code
        shown = capsys.readouterr()
        if code:
            return {"error": shown.err}
        found: dict[str, Any] = json.loads(shown.out.splitlines()[-1])
        return {**found, "table": shown.out, "log": shown.err}

    return call
