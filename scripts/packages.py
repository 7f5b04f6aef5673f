"""Build the wheel and the source distribution, check what is in them, and run them without the repository.

    python -m scripts.packages

- Every file of `vsvfi/` and the man page are in both, and nothing else but licence, readme and metadata.
- The wheel, which is built from the source distribution, is installed into an empty environment beside the packages of
  this one; there `vsvfi doctor` and a first script run.
- The extras can be installed together, from wheels alone, on Linux, Windows and macOS, as far as there are such wheels.

Exit code 75 with one line: the package registry cannot be reached.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNREACHABLE = 75

RESOLVED: Mapping[str, Sequence[str]] = {
    "x86_64-manylinux_2_28": (
        "video,evaluate,cluster,completion,docs,dev,cuda13,onnx",
        "video,onnx-gpu",
        "video,onnx-openvino",
    ),
    "windows": ("video,evaluate,cluster,docs,dev,cuda13,onnx", "video,onnx-gpu", "video,onnx-directml"),
    "aarch64-apple-darwin": ("video,evaluate,cluster,docs,onnx",),
}
"""Extras that must go together, by platform. `mamba` has no wheels, `fid` has none of one of its dependencies."""

_FIRST_SCRIPT = """
import sys
import vapoursynth as vs
import vsvfi
assert vsvfi.__file__.startswith(sys.prefix), vsvfi.__file__
clip = vs.core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=3, keep=True)
clip = vsvfi.interpolate(clip, device="cpu")
assert clip.num_frames == 6
with clip.get_frame(1) as frame:
    assert frame.width == 64
"""


class PackageError(Exception):
    """What is wrong with a package."""


def check_names(names: Iterable[str], expected: set[str], others: tuple[str, ...]) -> None:
    """Check the files of an archive.

    Args:
        names: of its files, without its first folder.
        expected: of the package's files.
        others: beginnings of further names.

    Raises:
        PackageError: one is missing, or there are others.
    """
    found = set(names)
    if missing := sorted(expected - found):
        raise PackageError(f"lacks {', '.join(missing[:5])}")
    if strange := sorted(name for name in found - expected if not name.startswith(others)):
        raise PackageError(f"holds {', '.join(strange[:5])}, which do not belong there")


def tracked() -> set[str]:
    """The files of the package in the repository, with those that are not committed yet."""
    listed = _run("git", "ls-files", "--cached", "--others", "--exclude-standard", "vsvfi", cwd=ROOT)
    return {name for name in listed.splitlines() if (ROOT / name).is_file()}


def build(folder: Path) -> tuple[Path, Path]:
    """Build both archives; returns wheel and source distribution."""
    _run("uv", "build", "--quiet", "--out-dir", str(folder), cwd=ROOT)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


def check_archives(wheel: Path, source: Path) -> None:
    """Check the contents of both archives.

    Raises:
        PackageError: see `check_names`.
    """
    stem = "-".join(wheel.name.split("-")[:2])
    with zipfile.ZipFile(wheel) as archive:
        manual = f"{stem}.data/data/share/man/man1/vsvfi.1"
        check_names(archive.namelist(), tracked() | {manual}, (f"{stem}.dist-info/",))
    with tarfile.open(source) as archive:
        files = [name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()]
        check_names(
            files, tracked() | {"man/vsvfi.1"}, ("PKG-INFO", "LICENSE", "README.md", "pyproject.toml", ".gitignore")
        )


def run_installed(wheel: Path, folder: Path) -> None:
    """Install the wheel into an empty environment, and run it outside of the repository.

    Its dependencies are taken from this environment: installing torch again would take minutes and gigabytes.
    """
    place = folder / "environment"
    venv.create(place, with_pip=False, symlinks=os.name != "nt")
    scripts = place / ("Scripts" if os.name == "nt" else "bin")
    python = str(scripts / "python")
    _run("uv", "pip", "install", "--quiet", "--no-deps", "--python", python, str(wheel))
    own = _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    here = _run(sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # Its lines come after the environment's own packages, and .pth files there are not read: no editable vsvfi
    Path(own, "dependencies.pth").write_text(here + "\n", encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    clean["PATH"] = os.pathsep.join((str(scripts), str(Path(sys.executable).parent), clean.get("PATH", "")))
    _run(str(scripts / "vsvfi"), "doctor", cwd=folder, env=clean)
    (folder / "first.py").write_text(_FIRST_SCRIPT, encoding="utf-8")
    _run(python, "first.py", cwd=folder, env=clean)


def resolve(platform: str, extras: str) -> None:
    """Resolve extras for a platform, from wheels alone."""
    wanted = [part for extra in extras.split(",") for part in ("--extra", extra)]
    oldest = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "15.0"}  # of which the source filters have wheels
    options = ("--quiet", "--only-binary", ":all:", "--python-platform", platform, "--python-version", "3.13")
    _run("uv", "pip", "compile", *options, *wanted, "pyproject.toml", "--python", sys.executable, cwd=ROOT, env=oldest)


def _run(*command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program and return what it prints.

    Raises:
        PackageError: it fails.
        ConnectionError: the registry cannot be reached.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        timeout=500,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    said = (done.stderr or done.stdout).strip()
    if "error sending request" in said or "dns error" in said or "Failed to fetch" in said:
        raise ConnectionError(said.splitlines()[0])
    raise PackageError(f"{' '.join(command[:3])} failed: {said[-2000:]}")


def main() -> int:
    if shutil.which("uv") is None:
        print("skipped: uv is not installed, which builds the packages")
        return UNREACHABLE
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            wheel, source = build(folder / "dist")
            check_archives(wheel, source)
            sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in (wheel, source))
            run_installed(wheel, folder)
        for platform, groups in RESOLVED.items():
            for extras in groups:
                resolve(platform, extras)
    except ConnectionError as error:
        print(f"skipped: the package registry cannot be reached ({error})")
        return UNREACHABLE
    except PackageError as error:
        print(error)
        return 1
    print(f"{sizes}; {sum(map(len, RESOLVED.values()))} groups of extras resolved")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
