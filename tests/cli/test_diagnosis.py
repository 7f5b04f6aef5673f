"""From the last words of ffmpeg and vspipe to a reason and a remedy; the words are those of ffmpeg 5.1 and 9.0."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsvfi import topics
from vsvfi.cli import diagnosis
from vsvfi.cli.diagnosis import explain_ffmpeg, explain_vspipe

HEADER = "Could not write header for output file #0 (incorrect codec parameters ?): Invalid argument"
OPENING = "Error initializing output stream 0:0 -- Error while opening encoder for output stream #0:0 - maybe incorrect"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [
                "[mp4 @ 0x5] Could not find tag for codec ffv1 in stream #0, codec not currently supported in "
                "container",
                HEADER,
            ],
            ".mp4 cannot hold ffv1 video; choose another --encoder, or write .mkv",
        ),
        (
            [
                "[mp4 @ 0x5] Could not find tag for codec pcm_s24le in stream #1, codec not currently supported in "
                "container"
            ],
            ".mp4 cannot hold the source's pcm_s24le stream; write .mkv",
        ),
        (
            ["[webm @ 0x5] Only VP8 or VP9 or AV1 video and Vorbis or Opus audio", HEADER],
            ".webm holds VP8, VP9 and AV1",
        ),
        (
            ["[mp4 @ 0x5] flac in MP4 support is experimental, add '-strict -2'"],
            ".mp4 cannot hold flac with this ffmpeg",
        ),
        (["Unknown encoder 'libopus'"], "this ffmpeg was built without the encoder libopus; choose"),
        (
            ["[libx264 @ 0x5] width not divisible by 2 (97x65)", OPENING],
            "the encoder takes no odd width or height in 4:2:0",
        ),
        (
            ["av_interleaved_write_frame(): No space left on device", "Conversion failed!"],
            "no space is left in '/films'",
        ),
        (["/films/a.mp4: Permission denied"], "permission denied (/films/a.mp4: Permission denied); choose a folder"),
        (
            ["Unrecognized option 'tunee'.", "Error splitting the argument list: Option not found"],
            "it does not know the option 'tunee'",
        ),
        (
            ["[libx264 @ 0x5] Error setting preset/tune foo/(null).", OPENING],
            "the encoder does not know preset/tune foo/(null)",
        ),
        (
            ["[h264_nvenc @ 0x5] Cannot load libcuda.so.1", OPENING],
            "this machine cannot run the hardware encoder (Cannot load",
        ),
        (["[x @ 0x5] something new", OPENING, "Conversion failed!"], "something new"),
        (["[x @ 0x5] [y @ 0x6] {braces} % and \\"], "{braces} % and \\"),
        (["Conversion failed!"], "Conversion failed!"),
        ([], "exit code 1, without giving a reason; check free memory, the disk and"),
    ],
)
def test_ffmpegs_reason(lines: list[str], message: str) -> None:
    target = Path("/films/a.webm" if "webm" in message else "/films/a.mp4")
    assert explain_ffmpeg(lines, "exit code 1", target).startswith(message)


def test_known_reasons_have_their_topic() -> None:
    said = explain_ffmpeg(["Unknown encoder 'x'"], "exit code 1", Path("a.mp4"))
    assert said.endswith(" (help: vsvfi explain encoder)")
    said = explain_ffmpeg(["a.mp4: Permission denied"], "exit code 1", Path("a.mp4"))
    assert said.endswith(" (help: vsvfi explain output)")
    assert "(help" not in explain_ffmpeg(["something new"], "exit code 1", Path("a.mp4")), "the command adds it"
    assert {topic for topic, _, _ in diagnosis._RULES} <= topics.topics().keys()


def test_a_signal_comes_first() -> None:
    assert (
        explain_ffmpeg(["hm"], "it was ended by SIGSEGV", Path("a.mkv")) == "it was ended by SIGSEGV; last message: hm"
    )


def test_vspipes_reason() -> None:
    assert (
        explain_vspipe(["Traceback", "vapoursynth.Error: interpolate: multi=0"], "exit code 1")
        == "interpolate: multi=0"
    )
    assert explain_vspipe(["OSError: [Errno 28] No space left on device: '/t/x'"], "exit code 1").endswith(
        "that has some"
    )
    assert "; encode the file again (ffmpeg" in explain_vspipe(
        ["lsmas: failed to output a video frame."], "exit code 1"
    )
    assert len(explain_vspipe(["x" * 5000], "exit code 1")) == 600
    assert "-vf bwdif" in explain_vspipe(["vapoursynth.Error: interpolate: the clip is interlaced; x"], "exit code 1")
    varies = "vapoursynth.Error: interpolate: the clip's format or size varies; x"
    assert "changes its format or size; encode it with one (ffmpeg" in explain_vspipe([varies], "exit code 1")
    assert "if the video changes its size" in explain_vspipe(["hm"], "it was ended by SIGABRT")
