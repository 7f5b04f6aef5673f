"""Shared parts of the benchmark programs: arguments, interleaved timing, a table, and a last line of JSON."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from vsvfi.engine.device import describe, resolve_device

type Times = dict[str, list[float]]
"""Seconds of every round, by name."""


def parser(description: str | None, size: str = "448x256", rounds: int = 9) -> argparse.ArgumentParser:
    """Return a parser with the arguments of every benchmark."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--size", default=size, help=f"width and height (default: {size})")
    made.add_argument("--device", default="cpu", help="default: cpu")
    made.add_argument("--threads", type=int, help="of torch (default: its own choice)")
    made.add_argument("--rounds", type=int, default=rounds, help=f"interleaved (default: {rounds})")
    return made


def size_of(arguments: argparse.Namespace) -> tuple[int, int]:
    """Width and height."""
    width, height = (int(side) for side in arguments.size.split("x"))
    return width, height


def start(arguments: argparse.Namespace) -> torch.device:
    """Set the threads; returns the device."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    return resolve_device(arguments.device)


def measure(
    calls: Mapping[str, Callable[[], object]],
    device: torch.device,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Time every call in interleaved rounds, after each has run once."""
    seconds: Times = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            _synchronise(device)
            started = clock()
            call()
            _synchronise(device)
            if number:
                seconds[name].append(clock() - started)
    return seconds


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def medians(seconds: Times) -> dict[str, float]:
    """In milliseconds."""
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


def show(seconds: Times, title: str = "", remark: Callable[[str], str] = lambda name: "") -> None:
    """Print median and minimum of each, with a remark."""
    for name, milliseconds in medians(seconds).items():
        least = 1000 * min(seconds[name])
        print(f"  {title}{name:<24} {milliseconds:9.2f} ms (least {least:.2f}){remark(name)}")


def heading(device: torch.device, *facts: str) -> None:
    """Print what is measured, and the machine."""
    print(", ".join([*facts, describe(device), f"{torch.get_num_threads()} threads", f"torch {torch.__version__}"]))


def finish(arguments: argparse.Namespace, device: torch.device, found: object) -> None:
    """Print one line of JSON with results and settings."""
    given: Sequence[str] = sys.argv[1:]
    how = {
        "command": " ".join(["python -m", f"scripts.benchmark.{Path(sys.argv[0]).stem}", *given]),
        "device": describe(device),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "rounds": arguments.rounds,
    }
    print(json.dumps({**how, "found": found}))
