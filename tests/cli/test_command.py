"""The command as a process: broken pipes, closed streams, unusual encodings and folders.

Errors are one line on stderr, never a traceback.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import vsvfi
from vsvfi import cli
from vsvfi.cli import inventory, models, programs
from vsvfi.cli.completion import SHELLS
from vsvfi.cli.parser import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
COMMAND = f"'{sys.executable}' -m vsvfi"
posix = pytest.mark.skipif(os.name == "nt", reason="these are redirections of a POSIX shell")


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        env={**os.environ, "VSVFI_OFFLINE": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("kind", SHELLS)
def test_shells_complete_every_command(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed (extra `completion`)")
    with pytest.raises(SystemExit) as ended:
        cli.main(["--print-completion", kind])
    assert ended.value.code == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)
    assert "opset" in script


def test_completion_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("vsvfi.cli.completion.load", lambda name: "ModuleNotFoundError: none")
    assert cli.main(["--print-completion", "bash"]) == 1
    assert "pip install 'vsvfi[completion]'" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"vsvfi {vsvfi.__version__}\n"


@posix
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("models | head -n 1", 1),
        ("models >/dev/full", 1),
        ("--help >/dev/full", 0),
        ("models >&-", 0),
        ("models 2>&-", 0),
        ("models fetch nothing 2>&-", 2),
        ("models fetch nothing >&- 2>&-", 2),
        ("models fetch nothing 2>/dev/full", 2),
        ("models fetch uprnet_base", 1),
        ("", 2),
        ("nothing", 2),
    ],
)
def test_streams_that_end_or_are_full(line: str, code: int) -> None:
    if "/dev/full" in line and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = shell(f"{COMMAND} {line}")
    assert done.returncode in ({0, 1} if "head" in line else {code}), done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "vsvfi:" not in done.stdout  # a message must not take the place of the result where stderr is closed
    if line.startswith("models") and code == 1 and "head" not in line:
        assert done.stderr.startswith("vsvfi: ")
        assert done.stderr.count("\n") == 1


@posix
@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"VSVFI_CACHE": "/" + "x" * 300},
        {"VSVFI_CACHE": "/dev/null/folder"},
        {"VSVFI_CACHE": "~nosuchuser/x"},
        {"VSVFI_CACHE": "/bl\u00e4\u65e5"},
        {"HF_HOME": "/dev/null", "HOME": "/nonexistent"},
        {"COLUMNS": "1"},
        {"COLUMNS": "99999"},
    ],
)
def test_odd_environments(environment: dict[str, str]) -> None:
    listed = shell(f"{COMMAND} models -v", **environment)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "builtin_hq" in listed.stdout
    refused = shell(f"{COMMAND} models fetch uprnet_base", **environment)
    assert refused.returncode in (1, 2)
    assert refused.stderr.startswith("vsvfi: ")
    assert refused.stderr.count("\n") == 1
    assert refused.stdout == ""


@posix
def test_no_home_at_all() -> None:
    assert shell(f"unset HOME; {COMMAND} models").returncode == 0


@posix
def test_an_interrupted_process_says_nothing() -> None:
    """While a command computes; the interrupt comes from outside, as Ctrl-C does."""
    script = "import time; from vsvfi import cli; from vsvfi.cli import models\n"
    script += "def wait():\n    print('here', flush=True)\n    time.sleep(60)\n"
    script += "models.list_models = wait\nimport sys; sys.exit(cli.main(['models']))"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "vsvfi: out of memory; "),
        (
            ImportError("libtorch.so: cannot open"),
            "vsvfi: a package cannot be imported (ImportError: libtorch.so: cannot open); 'vsvfi doctor'",
        ),
        (PermissionError(13, "Permission denied", "/a"), "vsvfi: Permission denied: '/a'"),
        (RuntimeError("one\ntwo"), "vsvfi: internal error (RuntimeError: one); VSVFI_DEBUG=1 shows where"),
    ],
)
def test_whatever_a_command_raises_is_one_line(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise error

    monkeypatch.setattr(models, "list_models", broken)
    monkeypatch.delenv("VSVFI_DEBUG", raising=False)
    assert cli.main(["models"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(told)
    assert shown.err.count("\n") == 1
    monkeypatch.setenv("VSVFI_DEBUG", "1")
    assert cli.main(["models"]) == 1
    assert "in broken" in capsys.readouterr().err


# --- the list of models


def table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int, *arguments: str
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert cli.main(["models", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("columns", [200, 100, 80, 60, 40, 20])
@pytest.mark.parametrize("verbose", [False, True])
def test_the_list_fits_the_terminal(
    columns: int, verbose: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = table(monkeypatch, capsys, columns, *(["-v"] if verbose else []))
    assert max(map(len, lines)) <= columns
    text = " ".join(" ".join(lines).split())
    listed = vsvfi.list_models()
    assert all(any(line.startswith(model.name) for line in lines) for model in listed)
    assert "non-commercial" in text or columns < 40
    assert ("hub:" in text) == verbose
    squeezed = text.replace(" ", "")
    for model in listed:
        assert all(part in squeezed for part in model.note.split(" "))


def test_a_program_gets_one_line_for_each_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    for arguments, hidden in ((["models"], True), (["models", "-v"], False)):
        assert cli.main(arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        models_listed = vsvfi.list_models()
        assert [line.split()[0] for line in lines] == ["NAME", *(model.name for model in models_listed)]
        assert all(
            model.note in line and model.licence in line for model, line in zip(models_listed, lines[1:], strict=True)
        )
        assert ("hub:" not in "".join(lines)) == hidden


# --- the doctor's report of programs


def entries(found: list[inventory.Entry]) -> dict[str | None, inventory.Entry]:
    return {entry["name"]: entry for entry in found}


def test_doctor_names_programs_with_version_and_path() -> None:
    found = inventory.examine_programs()
    vspipe = entries(found["programs"])["vspipe"]
    assert vspipe["version"] is not None
    assert vspipe["version"].startswith("R")
    assert Path(str(vspipe["path"])).is_file()
    ffmpeg = entries(found["programs"])["ffmpeg"]
    if shutil.which("ffmpeg"):
        assert ffmpeg["path"] == shutil.which("ffmpeg")
        assert ffmpeg["version"]
    text = "\n".join(inventory.lines(found))
    for title in ("Programs", "Source filters", "Encoders of ffmpeg", "  vspipe           R"):
        assert title in text


def test_doctor_says_what_is_missing_and_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs, "find_package", lambda name: None)
    monkeypatch.setattr(programs, "load", lambda name: "no such package")
    monkeypatch.setattr(programs.shutil, "which", lambda name: None)
    monkeypatch.setattr(programs.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(inventory, "load", lambda name: "ImportError: no libvapoursynth")
    found = inventory.examine_programs()
    text = "\n".join(inventory.lines(found))
    assert (
        "vspipe           MISSING: vspipe was not found; install VapourSynth into this environment: pip install "
        "vapoursynth" in text
    )
    assert "ffmpeg           MISSING: ffmpeg was not found; install it" in text
    assert "MISSING: VapourSynth does not work here (ImportError: no libvapoursynth); pip install vapoursynth" in text
    assert "MISSING: there is no ffmpeg; see above" in text


@posix
def test_doctor_names_programs_that_do_not_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken, text = tmp_path / "ffmpeg", tmp_path / "text"
    broken.write_text("#!/bin/sh\necho 'libx.so: cannot open' >&2\nexit 127\n")
    broken.chmod(0o755)
    text.write_text("not a program")
    for path, told in (
        (broken, "does not work (libx.so: cannot open); install ffmpeg again"),
        (text, "does not run ("),
    ):
        monkeypatch.setattr(programs, "find_ffmpeg", lambda path=path: str(path))
        assert told in str(entries(inventory.examine_programs()["programs"])["ffmpeg"]["missing"])


def test_doctor_lists_encoders_and_says_which_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_ffmpegs", lambda: iter(["one", "two"]))
    monkeypatch.setattr(
        programs, "encoders", lambda path: frozenset({"one": {"libx264"}, "two": {"libx264", "hevc_nvenc"}}[path])
    )
    found = entries(inventory._encoders())
    assert found["libx264"]["path"] == "one"
    assert found["hevc_nvenc"]["path"] == "two"
    assert found["libx265"]["missing"] == "install a fuller ffmpeg: pip install imageio-ffmpeg"
    assert "av1_qsv" not in found  # hardware that is not there is nothing to mend


def test_doctor_without_a_source_filter_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    class Core:
        def plugins(self) -> list[object]:
            return []

    class Module:
        core = Core()

    monkeypatch.setattr(inventory, "load", lambda name: Module())
    (entry,) = inventory._filters()
    assert 'pip install "vsvfi[video]"' in str(entry["missing"])
    monkeypatch.setattr(Core, "plugins", None)
    (entry,) = inventory._filters()
    assert "cannot be listed (TypeError" in str(entry["missing"])


def test_versions_of_plugins_are_numbers() -> None:
    assert inventory._number(SimpleNamespace(major=1, minor=2)) == "1.2"
    assert inventory._number("R7 ") == "R7"


# --- a Python that is too old


def test_lazy_names_are_listed() -> None:
    assert set(vsvfi.__all__) <= set(dir(vsvfi))


@pytest.mark.parametrize("version", ["3.6", "3.8", "3.10", "3.11"])
def test_an_old_python_reads_the_sentence(version: str) -> None:
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = next((path for path in sorted(home.glob(f"versions/{version}.*/bin/python"))), None) or shutil.which(
        f"python{version}"
    )
    if found is None:
        pytest.skip(f"Python {version} is not here")
    done = subprocess.run(
        [str(found), "-B", "-c", "import vsvfi"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"ImportError: vsvfi needs Python 3.12 or newer; this is Python {version}."
    )
    assert "SyntaxError" not in done.stderr
