"""Which codecs a container holds, checked against the ffmpeg that is here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.media_files import listing, make
from vsvfi.media.codecs import audio_notes, fit_audio, holds_audio, holds_video, keeping, video_encoders
from vsvfi.media.encoding import CONTAINERS

ENCODERS = (
    "pcm_s16le",
    "pcm_s24le",
    "pcm_u8",
    "pcm_s8",
    "pcm_mulaw",
    "aac",
    "flac",
    "alac",
    "ac3",
    "wavpack",
    "adpcm_ima_qt",
)


@pytest.fixture(scope="module")
def audio_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One file for each of `ENCODERS`."""
    folder = tmp_path_factory.mktemp("audio_files")
    paths = [
        folder / f"{encoder}.{'mov' if encoder in ('pcm_s8', 'alac', 'adpcm_ima_qt') else 'mka'}"
        for encoder in ENCODERS
    ]
    outputs: list[object] = []
    for encoder, path in zip(ENCODERS, paths):
        outputs += ["-c:a", encoder, path]
    make(outputs.pop(), "-f", "lavfi", "-i", "sine=duration=0.2:sample_rate=48000", *outputs)  # type: ignore[arg-type]
    return paths


@pytest.mark.parametrize("muxer", sorted(set(CONTAINERS.values())))
def test_every_usual_audio_ends_up_in_every_container(tmp_path: Path, audio_files: list[Path], muxer: str) -> None:
    """Copied according to the table, else encoded; checked with the muxer."""
    inputs = [part for path in audio_files for part in ("-i", path)]
    maps = [part for index in range(len(audio_files)) for part in ("-map", f"{index}:a")]
    output = make(tmp_path / "out", *inputs, *maps, *fit_audio(muxer, ENCODERS), "-f", muxer)
    found = re.findall(r"Audio: (\w+)", listing(output))
    assert len(found) == len(ENCODERS)
    for encoder, codec in zip(ENCODERS, found):
        assert (codec == encoder) == holds_audio(muxer, encoder), (muxer, encoder, codec)


def test_surround_audio_becomes_opus(tmp_path: Path) -> None:
    """libopus refuses the layout 5.1(side) by itself."""
    source = make(
        tmp_path / "in.mka", "-f", "lavfi", "-i", "anullsrc=channel_layout=5.1(side)", "-t", "0.2", "-c:a", "ac3"
    )
    output = make(tmp_path / "out.webm", "-i", source, *fit_audio("webm", ["ac3"]))
    assert "Audio: opus, 48000 Hz, 5.1" in listing(output)


def test_only_the_stream_that_does_not_fit_is_encoded() -> None:
    assert fit_audio("mp4", ["aac", "pcm_s24le"]) == ["-c:a", "copy", "-c:a:1", "aac", "-b:a:1", "320k"]
    assert fit_audio("mp4", ["flac"]) == ["-c:a", "copy", "-strict", "-2"]
    assert fit_audio("avi", ["opus"]) == ["-c:a", "copy", "-c:a:0", "ac3", "-b:a:0", "320k"]


def test_a_note_names_the_codec_and_the_remedy() -> None:
    assert audio_notes("mp4", ["pcm_s24le", "aac", "pcm_s24le"]) == [
        ".mp4 cannot hold pcm_s24le audio, encoding it as aac; write .mkv or .mov to keep it as it is"
    ]
    assert audio_notes("webm", ["aac"])[0].startswith(".webm cannot hold aac audio, encoding it as opus; write .mkv")
    assert audio_notes("matroska", ["truehd"]) == []
    assert keeping("pcm_s16le_planar") == ".nut"
    assert audio_notes("matroska", ["nellymoser"]) == [".mkv cannot hold nellymoser audio, encoding it as flac"]


def test_webm_has_encoders_of_its_own() -> None:
    assert video_encoders("webm")[0] == "libvpx-vp9"
    assert video_encoders("mp4") == ("libx265", "libx264")
    assert holds_video("webm", "av1")
    assert not holds_video("webm", "hevc")
    assert holds_video("mp4", "ffv1")  # left to the muxer


@pytest.mark.parametrize("muxer", ["mov", "nut"])
def test_wma_that_nobody_could_decode_again_is_encoded(muxer: str) -> None:
    """ffmpeg copies it into these without complaint, and then finds no decoder for the result."""
    assert not holds_audio(muxer, "wmav2")
    assert holds_audio("matroska", "wmav2")
