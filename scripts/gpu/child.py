"""The process that runs the steps: one line of JSON before and after each.

A kernel that reads a wrong address makes CUDA unusable for the rest of a process, so a step after which the device does
not answer ends this one; `acceptance` starts another at the next step.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
import traceback
from contextlib import redirect_stdout
from typing import IO, Any

import torch

from scripts.gpu.plan import steps
from scripts.gpu.step import Context, FailedError, Step, UnavailableError
from vsvfi.engine.device import release, resolve_device, wait_for


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", required=True)
    parser.add_argument("--seconds", type=float, required=True, help="until the run must be done")
    parser.add_argument("--first", type=int, default=0, help="index of the first step")
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    device = resolve_device(given.device)
    context = Context(device, given.small, time.monotonic() + given.seconds)
    return 0 if run(steps(device), given.first, context, sys.stdout) else 1


def run(plan: list[Step], first: int, context: Context, out: IO[str]) -> bool:
    """Run the steps from `first` on; False if the device stopped answering."""
    for index, step in enumerate(plan[first:], first):
        if context.left < step.least:
            _say(out, {"index": index, "step": step.name, "outcome": "skipped", "reason": "no time is left"})
            continue
        _say(out, {"index": index, "step": step.name, "outcome": "started", "most": step.most})
        started = time.monotonic()
        with redirect_stdout(sys.stderr):
            result = _outcome(step, context)
        _say(out, {"index": index, "step": step.name, **result, "seconds": round(time.monotonic() - started, 2)})
        gc.collect()
        try:
            wait_for(context.device)
            release(context.device)
        except RuntimeError:
            return False
    return True


def _outcome(step: Step, context: Context) -> dict[str, Any]:
    try:
        return {"outcome": "passed", "found": step.run(context)}
    except UnavailableError as error:
        return {"outcome": "skipped", "reason": str(error)}
    except FailedError as error:
        return {"outcome": "failed", "reason": str(error), "found": error.found}
    except Exception as error:  # the next step may still work
        lines = traceback.format_exception(error)
        return {"outcome": "failed", "reason": f"{type(error).__name__}: {error}", "trace": "".join(lines)[-4000:]}


def _say(out: IO[str], line: dict[str, Any]) -> None:
    print(json.dumps(line), file=out, flush=True)


def describe(device: torch.device) -> dict[str, Any]:
    """The machine."""
    found: dict[str, Any] = {"device": str(device), "torch": torch.__version__, "threads": torch.get_num_threads()}
    if device.type == "cuda":
        found |= {"name": torch.cuda.get_device_name(device), "cuda": torch.version.cuda,
                  "capability": torch.cuda.get_device_capability(device),
                  "cudnn": torch.backends.cudnn.version()}  # type: ignore[no-untyped-call]  # fmt: skip
    return found


if __name__ == "__main__":
    sys.exit(main())
