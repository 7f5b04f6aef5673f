"""What -v, -q, --log-file and NO_COLOR change, and the exit codes."""

from __future__ import annotations

import io
import logging
import re
import sys
from pathlib import Path

import pytest

from vsvfi import cli
from vsvfi.cli import console, models
from vsvfi.cli.parser import EXIT_CODES
from vsvfi.cli.process import programs
from vsvfi.errors import ArgumentError, VsvfiError, WeightsError

ROOT = Path(__file__).resolve().parents[2]


class DamagedWeights(WeightsError):  # noqa: N818
    """An error whose topic follows from its class."""


def talk() -> list[object]:
    """A command that says something of every kind."""
    console.say("a note")
    console.say("\rframe 1/2", end="")
    logging.getLogger("vsvfi.engine").warning("a warning")
    logging.getLogger("vsvfi.engine").info("a fact")
    with programs() as group:
        command = [sys.executable, "-c", "import sys; print('of a program', file=sys.stderr)"]
        group.start("program", command, stdin=-3, stdout=-3).wait()
    raise DamagedWeights("it failed; correct it")


@pytest.fixture
def talking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "list_models", talk)


@pytest.mark.usefixtures("talking")
@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ([], {"a note", "frame 1/2", "a warning"}),
        (["-q"], set()),
        (["-v"], {"a note", "frame 1/2", "a warning", "a fact", "starting "}),
        (["-vv"], {"a note", "frame 1/2", "a warning", "a fact", "starting ", "program: of a program"}),
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_verbosity(options: list[str], seen: set[str], before: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*options, "models"] if before else ["models", *options]) == 1
    out, err = capsys.readouterr()
    texts = {"a note", "frame 1/2", "a warning", "a fact", "starting ", "program: of a program"}
    assert {text for text in texts if text in err} == seen
    assert err.endswith("vsvfi: it failed; correct it (help: vsvfi explain weights)\n")
    assert out == ""
    assert logging.getLogger("vsvfi").handlers == []


@pytest.mark.usefixtures("talking")
def test_a_log_file_gets_everything_once_and_is_never_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.txt"
    for _ in range(2):
        assert cli.main(["models", "-q", "--log-file", str(log)]) == 1
    assert capsys.readouterr().err == "vsvfi: it failed; correct it (help: vsvfi explain weights)\n" * 2
    text = log.read_text(encoding="utf-8")
    assert text.count(console.MARK) == 1
    for entry in (
        "DEBUG vsvfi.cli.console: command: vsvfi models -q --log-file ",
        "INFO vsvfi.cli.console: a note\n",
        "WARNING vsvfi.engine: a warning\n",
        "INFO vsvfi.engine: a fact\n",
        "DEBUG vsvfi.cli.process: program: of a program\n",
        "ERROR vsvfi.cli.console: vsvfi: it failed; correct it (help: vsvfi explain weights)\nTraceback ",
    ):
        assert len(re.findall(rf"^\d{{4}}-\d\d-\d\d [\d:,]+ {re.escape(entry)}", text, re.MULTILINE)) == 2, entry
    assert "frame 1/2" not in text


@pytest.mark.parametrize("kind", ["other", "folder", "absent folder"])
def test_a_file_of_another_kind_is_no_log_file(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "film.mkv"
    if kind == "other":
        path.write_bytes(b"a film")
    elif kind == "folder":
        path.mkdir()
    else:
        path = path / "log"
    assert cli.main(["models", "--log-file", str(path)]) == 2
    told = "exists and is no log of vsvfi" if kind == "other" else "cannot be written ("
    assert capsys.readouterr().err.startswith(f"vsvfi: log-file={str(path)!r}, {told}")
    assert kind != "other" or path.read_bytes() == b"a film"


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "terminal", "coloured"),
    [({}, True, True), ({}, False, False), ({"NO_COLOR": "1"}, True, False), ({"TERM": "dumb"}, True, False)],
)
def test_colour_is_for_terminals_that_want_it(
    environment: dict[str, str], terminal: bool, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "TERM", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert cli.main(["models", "--weights", "nothing"]) == 2
    assert ("\x1b[" in stream.getvalue()) == coloured
    assert re.sub("\x1b\\[[0-9;]*m", "", stream.getvalue()).startswith("vsvfi: weights='nothing', does not exist")


def test_exit_codes_are_documented() -> None:
    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE))
    assert rows == {str(code): meaning for code, meaning in EXIT_CODES.items()}


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (None, 0),
        (VsvfiError("x"), 1),
        (RuntimeError("x"), 1),
        (BrokenPipeError(), 1),
        (ArgumentError("a", 1, "x", "y"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(raised: BaseException | None, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(arguments: object) -> int:
        if raised is not None:
            raise raised
        return 0

    monkeypatch.setattr(models, "main", command)
    monkeypatch.setattr("vsvfi.cli._discard_output", lambda: None)
    assert cli.main(["models"]) == code
    assert code in EXIT_CODES
    with pytest.raises(SystemExit) as ended:
        cli.main(["models", "--nothing"])
    assert ended.value.code == 2
