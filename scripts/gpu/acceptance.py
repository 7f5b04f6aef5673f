"""Check and measure the package on a GPU, in order of value and within a given time.

    python -m scripts.gpu.acceptance --minutes 8 --out DIR

Goes on after failures, hung steps and a device that stops answering. Progress goes to stderr; the last line on stdout
is JSON, and DIR gets report.json with everything and report.jsonl with one line per step as they end. Exit code 1 if
any step failed.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import IO, Any

from scripts.gpu.child import describe
from scripts.gpu.plan import steps
from vsvfi.engine.device import resolve_device

_START = 90.0
"""Seconds that a process may take until its first step: it imports torch and initialises the device."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8, help="for everything (default: 8)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the reports")
    parser.add_argument("--device", default="cuda", help="default: cuda")
    parser.add_argument("--small", action="store_true", help="small frames and few of them, to test the steps")
    given = parser.parse_args(argv)
    device = resolve_device(given.device)
    deadline = time.monotonic() + 60 * given.minutes
    given.out.mkdir(parents=True, exist_ok=True)
    names = [step.name for step in steps(device)]
    command = [sys.executable, "-m", "scripts.gpu.child", f"--device={given.device}"] + ["--small"] * given.small
    with (given.out / "report.jsonl").open("w", encoding="utf-8") as lines:
        results = supervise(command, names, deadline, lines)
    counts = Counter(result["outcome"] for result in results)
    report = {"machine": describe(device), "counts": counts, "steps": results}
    (given.out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    failures = {result["step"]: result["reason"] for result in results if result["outcome"] == "failed"}
    print(json.dumps({"machine": report["machine"], "counts": counts, "failures": failures}))
    return 1 if failures else 0


def supervise(command: list[str], names: list[str], deadline: float, lines: IO[str]) -> list[dict[str, Any]]:
    """Run the steps in processes of `command` until all are done or no time is left; returns their results in order."""
    results: list[dict[str, Any]] = []

    def note(result: dict[str, Any]) -> None:
        results.append(result)
        print(json.dumps(result), file=lines, flush=True)
        print(f"{result['step']}: {result['outcome']} {result.get('reason', '')}", file=sys.stderr, flush=True)

    while len(results) < len(names) and time.monotonic() < deadline:
        before = len(results)
        reason = _one_process([*command, f"--first={before}"], deadline, note)
        if len(results) < len(names) and reason is not None:
            outcome = "failed" if time.monotonic() < deadline else "skipped"  # it was not hung: the time was up
            note({"index": len(results), "step": names[len(results)], "outcome": outcome, "reason": reason})
        elif len(results) == before:
            break
    for index in range(len(results), len(names)):
        note({"index": index, "step": names[index], "outcome": "skipped", "reason": "no time is left"})
    return results


def _one_process(command: list[str], deadline: float, note: Any) -> str | None:
    """Run steps in one process; returns why the step after the last noted one failed, or None if none was running."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    seconds = max(1.0, deadline - time.monotonic())
    process = subprocess.Popen(
        [*command, f"--seconds={seconds:.1f}"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, encoding="utf-8",
        env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    received: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process.stdout, received), daemon=True)
    reader.start()
    running, limit, heard = None, time.monotonic() + _START, False
    try:
        while True:
            try:
                text = received.get(timeout=max(0.1, limit - time.monotonic()))
            except queue.Empty:
                return f"no answer from {running or 'a process that was just started'}: it was ended"
            if text is None:
                code = process.wait()
                done = heard and running is None and code in (0, 1)
                return None if done else f"the process ended with code {code}"
            line, heard = json.loads(text), True
            if line["outcome"] == "started":
                running, limit = line["step"], min(time.monotonic() + line["most"], deadline)
            else:
                running, limit = None, time.monotonic() + _START
                note(line)
    finally:
        process.kill()
        process.wait()
        reader.join(5)
        if not reader.is_alive():
            process.stdout.close()


def _read(stream: IO[str], received: queue.Queue[str | None]) -> None:
    for text in stream:
        received.put(text)
    received.put(None)


if __name__ == "__main__":
    sys.exit(main())
