"""The shape of the code: one direction of imports, small files, nothing at import time, no path of a machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vsvfi

PACKAGE = Path(vsvfi.__file__).parent
ROOT = PACKAGE.parent
SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_imports_go_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_small_and_say_what_they_are_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    tree = ast.parse(text)
    if tree.body:
        assert ast.get_docstring(tree), "a file opens with what it is for"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_library_code_never_prints_to_stdout(path: Path) -> None:
    if path.parent.name == "cli":
        return  # there, stdout is the result
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            assert any(keyword.arg == "file" for keyword in node.keywords), f"line {node.lineno}"


def test_only_planes_and_the_pool_see_both_worlds() -> None:
    """planes.py moves data between frames and tensors; interpolation_pool.py joins a session to nodes.

    Beside them, only the commands doctor and bench import both torch and vapoursynth.
    """
    both = set()
    for path in SOURCES:
        modules = {
            alias.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        if {"torch", "vapoursynth"} <= modules:
            both.add(path.name)
    assert both <= {"planes.py", "interpolation_pool.py", "doctor.py", "bench.py"}


def test_no_path_of_a_machine_is_committed() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if files.returncode != 0:
        pytest.skip("not a git checkout")
    pattern = re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm|root|home/\w+)/")
    for name in files.stdout.splitlines():
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".toml", ".vpy", ".sh", ".json", ""}
            and path.is_file()
            and path != Path(__file__)
        ):
            found = [
                line for line in path.read_text(encoding="utf-8", errors="ignore").splitlines() if pattern.search(line)
            ]
            assert not found, f"{name}: {found[0]}"


FAMILIES = sorted(path.parent for path in (PACKAGE / "models").glob("*/spec.py"))


@pytest.mark.parametrize("folder", FAMILIES, ids=lambda folder: folder.name)
def test_families_stand_on_their_own(folder: Path) -> None:
    """They import only lower layers, never each other or higher ones; specs hold only facts."""
    own = f"vsvfi.models.{folder.name}"
    parts = tuple(f"vsvfi.models.{part}" for part in ("blocks", "family", "flow", "interpolator"))
    allowed = (*parts, "vsvfi.ops", "vsvfi.weights.source", "vsvfi.plan", "vsvfi.options.validators", "vsvfi.errors")
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            for name in names:
                if name.split(".")[0] == "vsvfi":
                    assert name.startswith((own, *allowed)), f"{path.name} imports {name}"
                if path.name == "spec.py":
                    assert not name.startswith(("torch", "vsvfi.ops", own)), f"{path.name} imports {name}"


def test_specs_need_no_torch() -> None:
    code = "import sys; from vsvfi.models.registry import families; assert families(); "
    code += "print('torch' in sys.modules, 'vapoursynth' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "False"]


_MOST_PARAMETERS = 8
_PUBLIC = {"clip/graph.py: interpolate", "options/__init__.py: parse"}


@pytest.mark.parametrize("folder", [PACKAGE, ROOT / "scripts"], ids=lambda folder: folder.name)
def test_functions_take_few_parameters(folder: Path) -> None:
    """Except the public interface and the kernels and operators of `vsvfi.ops`."""
    many = []
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        if name.startswith("ops/"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            given = node.args
            count = len([*given.posonlyargs, *given.args, *given.kwonlyargs])
            own = given.args[:1] and given.args[0].arg in ("self", "cls")
            if count - bool(own) > _MOST_PARAMETERS and f"{name}: {node.name}" not in _PUBLIC:
                many.append(f"{name}: {node.name}")
    assert not many
