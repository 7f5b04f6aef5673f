"""Compare the CPU speed of models in this checkout with that in another one.

    git worktree add /tmp/before 6f8dbd0
    python -m scripts.benchmark.checkouts /tmp/before --size 128x96 ifrnet_s ldmvfi
    python -m scripts.benchmark.checkouts /tmp/before --options '{"search": false}' builtin

One process per checkout, whose calls take turns, so that both meet the same machine; processor time of one thread,
since the clock would measure other programs too. The other checkout needs `vsvfi.load_model` and runs in this
environment.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from scripts.benchmark.skeleton import size_of

_HERE = Path(__file__).resolve().parents[2]

# one step of diffusion costs what each of the published 200 does
_STEPS: dict[str, dict[str, object]] = {"ldmvfi": {"steps": 1}}

_CHILD = """
import json, sys, time
from pathlib import Path
import torch
import vsvfi
from vsvfi.cli.bench import write_random_weights
root, name, folder, width, height, precision, options = sys.argv[1:]
assert Path(vsvfi.__file__).resolve().is_relative_to(Path(root).resolve()), vsvfi.__file__
torch.set_num_threads(1)
weights = None
if not name.startswith("builtin"):
    weights = Path(folder) / "random.safetensors"
    write_random_weights(name, weights)
model = vsvfi.load_model(name, weights=weights, device="cpu", precision=precision,
                         options=json.loads(options))
generator = torch.Generator().manual_seed(0)
small = torch.rand((2, 3, int(height) // 8, int(width) // 8), generator=generator)
images = torch.nn.functional.interpolate(small, size=(int(height), int(width)), mode="bicubic")
first, second = images.clamp(0, 1).split(1)
for line in sys.stdin:
    started = time.process_time()
    model(first, second, 0.5)
    print(time.process_time() - started, flush=True)
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("checkout", type=Path, help="folder of the other checkout")
    arguments.add_argument("models", nargs="+", metavar="MODEL")
    arguments.add_argument("--size", default="128x96", help="width and height (default: 128x96)")
    arguments.add_argument("--precision", default="fp32")
    arguments.add_argument("--rounds", type=int, default=15, help="interleaved (default: 15)")
    arguments.add_argument(
        "--options",
        type=json.loads,
        default={},
        metavar="JSON",
        help="options of the models in this checkout, for what the other one does not have",
    )
    given = arguments.parse_args()
    print(f"{given.size}, {given.precision}, processor time of one thread: this checkout / {given.checkout}")
    found = {}
    for model in given.models:
        ours, theirs = compare(model, given.checkout, size_of(given), given.precision, given.rounds, given.options)
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        found[model] = {
            "milliseconds": [round(1000 * min(times), 2) for times in (ours, theirs)],
            "least": round(min(ours) / min(theirs), 3),
            "median": round(statistics.median(ratios), 3),
        }
        print(f"  {model:<16} {found[model]}", flush=True)
    print(json.dumps({"size": given.size, "precision": given.precision, "rounds": given.rounds, "found": found}))


def compare(
    model: str, other: Path, size: tuple[int, int], precision: str, rounds: int, options: dict[str, object]
) -> tuple[list[float], list[float]]:
    """Return the seconds of every round, of this checkout and of the other; two calls before are not counted."""
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            _start(root, model, Path(folder) / str(index), size, precision, {**given, **_STEPS.get(model, {})})
            for index, (root, given) in enumerate(((_HERE, options), (other, {})))
        ]
        try:
            seconds: list[list[float]] = [[], []]
            for number in range(rounds + 2):
                # the other one goes first in every second round
                for index in (0, 1) if number % 2 else (1, 0):
                    taken = _call(processes[index])
                    if number >= 2:
                        seconds[index].append(taken)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    return seconds[0], seconds[1]


def _start(
    root: Path, model: str, folder: Path, size: tuple[int, int], precision: str, options: dict[str, object]
) -> subprocess.Popen[str]:
    folder.mkdir()
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(root), model, str(folder), *map(str, size), precision, json.dumps(options)],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}, encoding="utf-8",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def _call(process: subprocess.Popen[str]) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    _write(process.stdin)
    return float(process.stdout.readline())


def _write(stream: IO[str]) -> None:
    stream.write("\n")
    stream.flush()


if __name__ == "__main__":
    main()
