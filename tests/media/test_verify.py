"""A finished file is read again: what is unreadable, short or incomplete is refused, with the reason."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from tests.cli.media_files import make, moving_video
from tests.media.containers import X264
from vsvfi.errors import VsvfiError
from vsvfi.media import verify as verifying
from vsvfi.media.verify import Expected, verify


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    video = moving_video(folder / "a.mkv", frames=12)
    return make(folder / "b.mkv", "-i", video, "-f", "lavfi", "-i", "sine=duration=0.4", "-c:v", "copy", "-c:a", "flac")


def test_what_was_planned_passes(film: Path) -> None:
    verify(film, Expected(12, Fraction(25), 1))


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        (Expected(36, Fraction(25), 1), "holds 12 of 36 frames"),
        (Expected(12, Fraction(25), 2), "holds 1 of 2 audio streams"),
        (Expected(12, Fraction(25), 1, 1), "holds 0 of 1 subtitle streams"),
        (Expected(12, Fraction(25), 1, attachments=1), "holds 0 of 1 attachment streams"),
        (Expected(12, Fraction(25), 1, covers=1), "holds 0 of 1 cover art streams"),
        (
            Expected(12, Fraction(25), 1, audio_durations=(Fraction(60),)),
            r"0\.\d+ s instead of 60\.000 s in audio stream 1",
        ),
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


def damaged(path: Path, first: int, *options: object, last: int = 24) -> Path:
    """A film whose packets from `first` to before `last` are overwritten; stamps and sizes are whole."""
    whole = moving_video(path.with_name("whole.mkv"), *options, frames=24)
    data = bytearray(whole.read_bytes())
    with av.open(str(whole)) as opened:
        packets = [bytes(packet) for packet in opened.demux(video=0) if packet.size]
    for packet in packets[first:last]:
        at = data.find(packet)
        assert at > 0
        data[at : at + len(packet)] = b"U" * len(packet)
    path.write_bytes(data)
    return path


MORE = {"libx265": ("-x265-params", "log-level=none"), "ffv1": ("-level", 3, "-slicecrc", 1)}


@pytest.mark.parametrize("codec", ["libx264", "libx265", "ffv1", "libvpx-vp9"])
def test_an_end_that_cannot_be_decoded_is_refused(tmp_path: Path, codec: str) -> None:
    options = ("-c:v", codec, "-g", 8, *MORE.get(codec, ()))
    verify(damaged(tmp_path / "a.mkv", 24, *options), Expected(24, Fraction(25)))
    with pytest.raises(VsvfiError, match=r"the finished file can(not| only) be decoded"):
        verify(damaged(tmp_path / "a.mkv", 17, *options), Expected(24, Fraction(25)))


@pytest.mark.parametrize("codec", ["libx264", "libx265", "ffv1", "libvpx-vp9"])
def test_a_middle_that_cannot_be_decoded_is_refused(tmp_path: Path, codec: str) -> None:
    options = ("-c:v", codec, "-g", 8, *MORE.get(codec, ()))
    verify(damaged(tmp_path / "a.mkv", 24, *options), Expected(24, Fraction(25)), whole=True)
    with pytest.raises(VsvfiError, match=r"the finished file can(not| only) be decoded(: | in part: \d+ of its 24)"):
        verify(damaged(tmp_path / "a.mkv", 9, *options, last=12), Expected(24, Fraction(25)), whole=True)


def test_packets_that_decode_to_nothing_are_refused(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = verifying._read

    def nothing(*given: Any) -> verifying._Found:
        return replace(read(*given), decoded=False)

    monkeypatch.setattr(verifying, "_read", nothing)
    with pytest.raises(VsvfiError, match="cannot be read: no frame of it can be decoded"):
        verify(film, Expected(12, Fraction(25), 1))


def test_an_end_that_is_decoded_in_part_is_refused(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some decoders leave frames out without an error."""
    monkeypatch.setattr("vsvfi.media.verify._decode_end", lambda path, key, planned: planned - 1)
    with pytest.raises(VsvfiError, match=r"can only be decoded in part: \d+ of its last \d+ frames"):
        verify(film, Expected(12, Fraction(25), 1))


def test_a_frame_at_the_wrong_time_is_named(tmp_path: Path) -> None:
    early = "setpts=if(between(N\\,5\\,20)\\,0.2+(N-5)/100\\,N/25)/TB"
    path = moving_video(tmp_path / "a.mkv", "-vf", early, "-fps_mode", "passthrough", *X264, frames=24)
    with pytest.raises(VsvfiError, match=r"shows frame \d+ after 0\.\d+ s instead of 0\.\d+ s"):
        verify(path, Expected(24, Fraction(25)))


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".mov", ".nut", ".avi"])
def test_whole_files_with_reordered_frames_pass(tmp_path: Path, ending: str) -> None:
    for codec in (
        X264,
        ("-c:v", "libx265", "-x265-params", "log-level=none:keyint=8:min-keyint=8:open-gop=1:bframes=3"),
    ):
        if ending == ".avi" and codec is not X264:
            continue
        path = moving_video(tmp_path / f"a{ending}", "-pix_fmt", "yuv420p", *codec, frames=30)
        verify(path, Expected(30, Fraction(25)))
