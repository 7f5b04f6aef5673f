"""Results on disk survive a kill, and are never mixed with those of other settings."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from scripts.evaluate.progress import Progress
from scripts.evaluate.results import Results, Scored
from vsvfi.errors import ArgumentError

ONE = Scored("00001/0389", "", ("00001_0389_im2",), ({"psnr": 31.25},), 0.5)
TWO = Scored("00001/0402", "bear", ("a", "b"), ({"psnr": math.inf}, {"psnr": 20.0}), 0.25)
RUN = {"set": "vimeo90k", "scale": 1}


def test_results_are_read_back(tmp_path: Path) -> None:
    first = Results(tmp_path / "new", "vimeo90k", RUN)
    first.add(ONE)
    first.add(TWO)
    first.close()
    second = Results(tmp_path / "new", "vimeo90k", RUN)
    assert second.done == {"00001/0389": ONE, "00001/0402": TWO}
    assert second.path == first.path
    second.close()


def test_a_line_cut_short_by_a_kill_is_dropped(tmp_path: Path) -> None:
    results = Results(tmp_path, "vimeo90k", RUN)
    results.add(ONE)
    results.add(TWO)
    results.close()
    content = results.path.read_bytes()
    results.path.write_bytes(content[:-20])
    again = Results(tmp_path, "vimeo90k", RUN)
    assert again.done == {"00001/0389": ONE}
    again.add(TWO)
    again.close()
    assert results.path.read_bytes() == content


def test_other_settings_go_to_another_file(tmp_path: Path) -> None:
    first, second = (Results(tmp_path, "vimeo90k", {**RUN, "scale": scale}) for scale in (1, 2))
    assert first.path != second.path
    first.close()
    second.close()


def test_a_file_that_is_in_use_is_refused(tmp_path: Path) -> None:
    first = Results(tmp_path, "vimeo90k", RUN)
    with pytest.raises(ArgumentError, match="is being written by another run"):
        Results(tmp_path, "vimeo90k", RUN)
    first.close()
    Results(tmp_path, "vimeo90k", RUN).close()


@pytest.mark.parametrize(
    ("line", "rule"), [("no json", "line 2 is no result"), ('{"item": 1}', "line 2 is no result"), ("", "")]
)
def test_files_of_another_kind_are_refused(line: str, rule: str, tmp_path: Path) -> None:
    results = Results(tmp_path, "vimeo90k", RUN)
    results.close()
    header = results.path.read_text() if line else json.dumps({"run": "other"}) + "\n"
    results.path.write_text(header + line + "\n")
    with pytest.raises(ArgumentError, match=rule or "begins with other settings"):
        Results(tmp_path, "vimeo90k", RUN)
    results.path.unlink()
    Results(tmp_path, "vimeo90k", RUN).close()  # a refused file is not left locked


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArgumentError, match=r"results='.*', cannot be used \("):
        Results(tmp_path / "file", "vimeo90k", RUN)
    results = Results(tmp_path, "vimeo90k", RUN)
    results.close()
    results.path.unlink()
    results.path.mkdir()
    with pytest.raises(ArgumentError, match=r"results='.*', cannot be used \("):
        Results(tmp_path, "vimeo90k", RUN)
    results.path.rmdir()
    Results(tmp_path, "vimeo90k", RUN).close()


def test_progress_counts_what_was_done_before_but_not_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("vimeo90k all", 100, 40)
    for _ in range(20):
        progress.advance()
    assert progress.line(40.0) == "vimeo90k all: 60 of 100 (60 %), 2.00 s each, 1 min left"
    assert progress.line(40.0 * 200) == "vimeo90k all: 60 of 100 (60 %), 400.00 s each, 4 h 26 min left"
    for _ in range(40):
        progress.advance()
    shown = capsys.readouterr().err
    assert "40 of 100 were done before" in shown
    assert "100 of 100 (100 %)" in shown
    assert "0 s left" in shown
