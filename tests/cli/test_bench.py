"""`vsvfi bench`: figures that are there and make sense; how fast anything is, is not tested."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from vsvfi.cli import bench, main
from vsvfi.cli.bench import PHASES, write_random_weights
from vsvfi.cli.bench_clip import moving_clip


@pytest.fixture
def threads() -> Iterator[tuple[str, str]]:
    """Options for one thread, for steady timings on a busy machine.

    They are process-wide and restored afterwards.
    """
    import torch
    import vapoursynth as vs

    before = torch.get_num_threads(), vs.core.num_threads
    yield "--threads", "1"
    torch.set_num_threads(before[0])
    vs.core.num_threads = before[1]


def test_everything_is_measured(capsys: pytest.CaptureFixture[str], threads: tuple[str, str]) -> None:
    options = ["--random-weights", "--size", "64x48", "--device", "cpu", "--pairs", "3", "--rounds", "1", *threads]
    assert main(["bench", "--json", "--model", "ifrnet_s", "--tile", "128", *options]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    result = json.loads(line)
    assert set(result["phases_ms"]) == set(PHASES)
    assert result["tile"] == 128
    assert all(value["min"] > 0 for value in result["phases_ms"].values())
    assert result["interpolate_pairs_per_second"]["median"] > 0
    assert result["network_pairs_per_second"]["median"] > 0
    assert 0 <= result["share_outside_network"]["median"] < 1


def test_people_get_a_table_and_no_json(capsys: pytest.CaptureFixture[str], threads: tuple[str, str]) -> None:
    options = ["--random-weights", "--size", "64x48", "--device", "cpu", "--pairs", "1", "--rounds", "1", *threads]
    assert main(["bench", "--model", "ifrnet_s", *options]) == 0
    out = capsys.readouterr().out
    assert "outside network" in out.splitlines()[-1]
    assert "{" not in out


def test_one_pair_afresh_with_counts(capsys: pytest.CaptureFixture[str], threads: tuple[str, str]) -> None:
    options = ["--size", "64x48", "--device", "cpu", "--precision", "fp32", "--pairs", "1", "--rounds", "1", *threads]
    afresh = ["--afresh", "--warm-up", "1", "--calls", "3"]
    assert main(["bench", "--json", "--model", "ifrnet_s", "--random-weights", *options, *afresh]) == 0
    found = json.loads(capsys.readouterr().out)["afresh"]
    assert found["parameters"] == 2_803_610  # 2.8 M, as published
    assert found["padded_size"] == [64, 48]
    assert found["mean_ms"] > 0
    assert found["median_ms"] > 0
    counts = found["multiply_adds"]
    assert counts["layers"] == pytest.approx(64 * 48 * 101.218e9 / (1280 * 720), rel=1e-3)
    assert counts["total"] == counts["layers"] + counts["warp"]
    assert main(["bench", "--model", "ifrnet_s", "--random-weights", *options, *afresh]) == 0
    assert "parameters 2.804 M, multiply-adds 0.338 G (layers" in capsys.readouterr().out


@pytest.mark.parametrize(("load", "message"), [(5.9, True), (0.1, False), (None, False)])
def test_a_busy_machine_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, load: float | None, message: bool
) -> None:
    def average() -> tuple[float, float, float]:
        if load is None:
            raise OSError("no load average here")
        return load, load, load

    monkeypatch.setattr(bench.os, "getloadavg", average, raising=False)
    monkeypatch.setattr(bench.os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.setattr(bench, "measure", lambda *given: {})
    monkeypatch.setattr(bench, "report", lambda result: ["measured"])
    assert main(["bench"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "measured\n"
    assert ("this machine is busy (load average 5.9 on 2 cores)" in shown.err) == message


def test_times_reached_by_bisection_are_not_added_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            [
                "bench",
                "--json",
                "--model",
                "ifrnet_s",
                "--random-weights",
                "--size",
                "32x32",
                "--device",
                "cpu",
                "--pairs",
                "1",
                "--rounds",
                "1",
                "--multi",
                "4",
            ]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["network_pairs_per_second"] is None


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--size", "640", "must be WIDTHxHEIGHT"),
        ("--pairs", "0", "must be 1 or more"),
        ("--rounds", "0", "must be 1 or more"),
        ("--multi", "1", "must be 2 or more"),
        ("--warm-up", "-1", "must be 0 or more"),
        ("--calls", "0", "must be 1 or more"),
        ("--tile", "small", 'or "auto"'),
    ],
)
def test_wrong_arguments(capsys: pytest.CaptureFixture[str], option: str, value: str, message: str) -> None:
    assert main(["bench", option, value]) == 2
    assert message in capsys.readouterr().err


def test_random_weights_are_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_random_weights("ifrnet_s", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_clip_never_repeats_a_frame() -> None:
    clip = moving_clip(64, 48, 12)
    images = [bytes(frame[0]) for frame in clip.frames(close=True)]
    assert len(images) == 12
    assert all(first != second for first, second in zip(images, images[1:]))  # noqa: RUF007 - a pair of neighbours
