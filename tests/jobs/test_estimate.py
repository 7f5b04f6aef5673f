"""Which renders are jobs by default: the estimate of their work, and the decision."""

from __future__ import annotations

import importlib.metadata
import os
from fractions import Fraction
from pathlib import Path

import pytest

from vsvfi.cli.job import is_job
from vsvfi.cli.job_options import JobOptions
from vsvfi.jobs import estimate
from vsvfi.jobs.estimate import estimate_seconds, uses_cpu
from vsvfi.media.probe import Media


@pytest.mark.parametrize(
    ("version", "platform", "file", "cpu"),
    [
        ("2.15.0+cpu", "win32", "", True),
        ("2.15.0", "win32", "", False),
        ("2.15.0", "linux", "", True),
        ("2.15.0+xpu", "linux", "", False),
        ("2.15.0", "linux", "here", False),
        ("2.15.0", "darwin", "", False),
        (None, "linux", "", False),
    ],
)
def test_the_cpu_is_assumed_where_there_is_surely_no_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str | None, platform: str, file: str, cpu: bool
) -> None:
    def stated(name: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", stated)
    monkeypatch.setattr(estimate, "_GPU_FILES", (str(tmp_path / "here"),))
    if file:
        (tmp_path / file).touch()
    assert uses_cpu("auto", platform) is cpu
    assert uses_cpu("cpu", platform)
    assert not uses_cpu("cuda:1", platform)


def test_the_estimate_counts_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert estimate_seconds(2000, 1000, 1000, "cpu") == 1000
    assert estimate_seconds(2000, 1000, 1000, "cuda:0") == 20


@pytest.mark.parametrize(
    ("frames", "work", "wanted"), [(24 * 299, 599, False), (24 * 300, 1, True), (24, 600, True), (24, 599, False)]
)
def test_a_long_source_or_much_work_makes_a_job(tmp_path: Path, frames: int, work: float, wanted: bool) -> None:
    media = Media(tmp_path / "in.mkv", frames, Fraction(0), Fraction(24), True)
    arguments = (tmp_path / "out.mkv", media, "libx265", ())
    assert is_job(JobOptions(), *arguments, crf=False, work=work) is wanted
    assert not is_job(JobOptions(never=True), *arguments, crf=False, work=work)
    assert is_job(JobOptions(workers="2"), *arguments, crf=False, work=work)
