"""Run the steps of the Dockerfile without Docker, in a folder of their own.

    python -m scripts.dockerfile /tmp/image --torch cpu

COPY goes below the folder, `uv pip install --system` into a virtual environment there, and apt-get is only printed: it
would change this system. Then the environment's `vsvfi doctor` runs, as in the image. Each step is printed first.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Yield instruction and arguments of a Dockerfile, continued lines joined."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.strip() and not line.startswith("#"):
            instruction, _, rest = line.partition(" ")
            yield instruction.upper(), " ".join(rest.split())


def commands(run: str, prefix: Path, torch: str) -> Iterator[str]:
    """Yield the commands of a RUN as they are run below a folder; those for the whole system are left out."""
    for command in run.split(" && "):
        if command.startswith(("apt-get", "rm -rf /var")):
            continue
        if torch == "usual":
            command = command.replace(' --torch-backend "$TORCH"', "")
        command = command.replace('"$TORCH"', torch).replace("/source", str(prefix / "source"))
        yield command.replace("--system", f"--python {prefix / 'environment'}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the steps of the Dockerfile without Docker.")
    parser.add_argument("folder", type=Path, help="a folder that does not exist yet")
    parser.add_argument(
        "--torch",
        default="cpu",
        help="the build argument TORCH (default: cpu), or usual for the package index's own wheel",
    )
    given = parser.parse_args()
    prefix = given.folder.absolute()
    prefix.mkdir(parents=True)
    make = ["uv", "venv", "--quiet", "--seed", "--python", sys.executable, "environment"]
    subprocess.run(make, cwd=prefix, check=True)
    programs = prefix / "environment" / "bin"
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for instruction, rest in steps((ROOT / "Dockerfile").read_text(encoding="utf-8")):
        if instruction == "COPY":
            *sources, target = rest.split()
            for source in sources:
                _copy(ROOT / source, prefix / target.strip("/"), into=target.endswith("/"))
        elif instruction == "RUN":
            for command in commands(rest, prefix, given.torch):
                print(f"+ {command}", flush=True)
                done = subprocess.run(["sh", "-c", command], cwd=prefix, env=environment, check=False)
                if done.returncode != 0:
                    print(f"dockerfile: this step failed with exit code {done.returncode}")
                    return 1
        else:
            print(f"- {instruction} {rest}", flush=True)
    return 0


def _copy(source: Path, target: Path, *, into: bool) -> None:
    """Copy as COPY does."""
    target = target / source.name if into and source.is_file() else target
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


if __name__ == "__main__":
    raise SystemExit(main())
