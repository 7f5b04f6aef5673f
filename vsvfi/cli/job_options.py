"""The options of `vsvfi render` for long renders."""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsvfi.errors import ArgumentError
from vsvfi.jobs.folder import SUFFIX
from vsvfi.jobs.worker import Worker


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job is run.

    Attributes:
        folder: of the job, None for one beside the output.
        never: render in one go.
        workers: names of devices, or a number; None for one worker.
        scheduler: address of a Dask scheduler, None for this machine.
        upload: send the source to the cluster, and the chunks back.
        seconds: duration of a chunk, None to choose it.
        restart: forget what an earlier run with other settings has rendered.
        plan: only print the plan.
        json: print progress as JSON lines.
        joined: the output needs what is done when chunks are joined.
    """

    folder: Path | None = None
    never: bool = False
    workers: str | None = None
    scheduler: str | None = None
    upload: bool = False
    seconds: float | None = None
    restart: bool = False
    plan: bool = False
    json: bool = False
    joined: bool = False

    @property
    def requested(self) -> bool:
        """Whether an option was given that only jobs have."""
        return bool(self.folder or self.workers or self.scheduler or self.seconds or self.restart or self.plan)

    def place(self, output: Path) -> Path:
        """Return the job's folder for an output."""
        return self.folder or Path(f"{os.path.realpath(output)}{SUFFIX}")


def add_job_options(parser: Any) -> None:
    """Add the options to a parser or a group of one."""
    parser.add_argument("--job", metavar="DIR", type=Path, help=f"folder of the job (default: OUTPUT{SUFFIX})")
    parser.add_argument("--no-job", action="store_true", help="render in one go, which cannot be resumed")
    parser.add_argument("--chunk", metavar="SECONDS", type=_seconds, help="duration of a chunk (default: by the speed)")
    parser.add_argument("--workers", metavar="N|DEVICES", help="render chunks at the same time: 2, or cuda:0,cuda:1")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a Dask cluster: tcp://host:8786; needs vsvfi[cluster]")
    parser.add_argument(
        "--upload", action="store_true", help="send the source to cluster workers that cannot read its path"
    )
    parser.add_argument("--restart", action="store_true", help="discard the chunks of an earlier run")
    parser.add_argument("--plan", action="store_true", help="print chunks, time and disk space, and render nothing")


def job_options(arguments: argparse.Namespace) -> JobOptions:
    """Return the options of a job.

    Raises:
        ArgumentError: they contradict each other.
    """
    options = JobOptions(
        folder=arguments.job,
        never=arguments.no_job,
        workers=arguments.workers,
        scheduler=arguments.scheduler,
        upload=arguments.upload,
        seconds=arguments.chunk,
        restart=arguments.restart,
        plan=arguments.plan,
        json=arguments.json,
    )
    if options.never and options.requested:
        raise ArgumentError(
            "no-job", True, "contradicts --job, --workers, --scheduler, --chunk, --plan and --restart", "leave it out"
        )
    if options.scheduler and options.workers:
        raise ArgumentError("workers", options.workers, "cannot be combined with --scheduler", "use one of them")
    if options.upload and not options.scheduler:
        raise ArgumentError("upload", True, "needs --scheduler", "leave it out")
    local_workers(options.workers)
    return options


def local_workers(text: str | None) -> list[Worker]:
    """Parse --workers: a number, or devices.

    Raises:
        ArgumentError: it is neither.
    """
    if text is None:
        return [Worker("worker")]
    if text.isascii() and text.isdigit():
        count = int(text)
        if not 1 <= count <= 64:
            raise ArgumentError("workers", text, "must be 1 to 64, or devices", "give --workers 2 or cuda:0,cuda:1")
        threads = max(1, (os.cpu_count() or 1) // count)
        return [Worker(f"worker-{number}", None, threads if count > 1 else None) for number in range(1, count + 1)]
    devices = [device.strip() for device in text.split(",")]
    if not all(devices):
        raise ArgumentError("workers", text, "must be a number or devices", "give --workers 2 or cuda:0,cuda:1")
    workers: list[Worker] = []
    for device in devices:
        same = sum(worker.device == device for worker in workers)
        workers.append(Worker(f"{device}-{same + 1}" if same else device, device))
    return workers


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration in seconds")
    return number
