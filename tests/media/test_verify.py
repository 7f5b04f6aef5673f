"""A finished file is read again: what is unreadable, short or incomplete is refused, with the reason."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.cli.media_files import make, moving_video
from vsvfi.errors import VsvfiError
from vsvfi.media.verify import Expected, verify


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    picture = moving_video(folder / "a.mkv", frames=12)
    return make(
        folder / "b.mkv", "-i", picture, "-f", "lavfi", "-i", "sine=duration=0.4", "-c:v", "copy", "-c:a", "flac"
    )


def test_what_was_planned_passes(film: Path) -> None:
    verify(film, Expected(12, Fraction(25), 1))


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        (Expected(36, Fraction(25), 1), "holds 12 of 36 frames"),
        (Expected(12, Fraction(25), 2), "holds 1 of 2 audio streams"),
        (Expected(12, Fraction(25), 1, 1), "holds 0 of 1 subtitle streams"),
        (Expected(12, Fraction(50), 1), r"over 0\.440 s instead of 0\.220 s"),
    ],
)
def test_what_is_missing_is_named(film: Path, expected: Expected, told: str) -> None:
    with pytest.raises(VsvfiError, match=f"the finished file .*{told}"):
        verify(film, expected)


def test_a_file_that_was_cut_off_is_refused(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mkv"
    path.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    with pytest.raises(VsvfiError, match=r"holds \d+ of 12 frames"):
        verify(path, Expected(12, Fraction(25), 1))


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no.mkv"
    path.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(VsvfiError, match="the finished file cannot be read: "):
        verify(path, Expected(12, Fraction(25)))


def test_frames_that_cannot_be_decoded_are_noticed(tmp_path: Path) -> None:
    path = moving_video(tmp_path / "a.mkv", "-c:v", "ffv1", "-bsf:v", "noise=amount=1", frames=4)
    with pytest.raises(VsvfiError, match="the finished file cannot be read: "):
        verify(path, Expected(4, Fraction(25)))
