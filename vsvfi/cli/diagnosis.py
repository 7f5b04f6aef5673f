"""Find the cause of a failure in the messages of ffmpeg and vspipe, and its remedy.

ffmpeg's last lines only repeat that it failed; the cause is further up, and no remedy is given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vsvfi.topics import REFERENCE, reference

_LONGEST = 600

_EMPTY = re.compile(
    r"Conversion failed!|Error initializing output stream|Could not write header|Error while opening encoder"
    r"|maybe incorrect parameters|Could not open encoder before EOF|Error sending frames to consumers"
    r"|Task finished with error|Terminating thread with return code|Nothing was written into output"
    r"|Error (?:submitting|muxing|writing trailer|encoding a frame|closing file|opening output file)"
    r"|Error splitting the argument list|Video encoding failed|Last message repeated|av_interleaved_write_frame\(\)"
)
"""Lines without information about the cause."""

_PREFIX = re.compile(r"^(?:\[[^\]]*\]\s*)+")
_PYTHON = re.compile(r"^(?:vapoursynth\.)?(?:Error|ValueError|TypeError|RuntimeError|KeyError): ")

_RULES: tuple[tuple[str, str, str], ...] = (
    (
        "encoder",
        r"Could not find tag for codec (?P<a>\w+) in stream #0\b",
        "{container} cannot hold {a} video; choose another --encoder, or write .mkv",
    ),
    (
        "encoder",
        r"Could not find tag for codec (?P<a>\w+) in stream #\d+",
        "{container} cannot hold the source's {a} stream; write .mkv",
    ),
    (
        "encoder",
        r"Only VP8 or VP9 or AV1 video",
        ".webm holds VP8, VP9 and AV1 video, Vorbis and Opus audio and WebVTT subtitles; choose --encoder libvpx-vp9 "
        "or libsvtav1, or write .mkv",
    ),
    (
        "encoder",
        r"(?P<a>\w+) in (?P<b>\w+) support is experimental",
        "{container} cannot hold {a} with this ffmpeg; write .mkv",
    ),
    (
        "encoder",
        r"(?:Unsupported codec|No \w+ codec tag found for codec|codec not (?:currently )?supported in)[^\w]*(?P<a>\w*)",
        "{container} cannot hold one of the streams ({line}); choose another --encoder, or write .mkv",
    ),
    (
        "encoder",
        r"Unknown encoder '(?P<a>[^']*)'",
        "this ffmpeg was built without the encoder {a}; choose another --encoder, or install a fuller build",
    ),
    (
        "encoder",
        r"(?:width|height) not divisible by 2|(?:width|height) must be an integer multiple of the specified chroma"
        r"|(?:width|height) is not (?:even|a multiple)|invalid (?:width|height) for chroma",
        "the encoder takes no odd width or height in 4:2:0 ({line}); crop or pad the video to even sizes",
    ),
    (
        "output",
        r"No space left on device|Disk quota exceeded",
        "no space is left in {folder!r}; free some, or choose another folder",
    ),
    (
        "output",
        r"File too large",
        "the file system of {folder!r} takes no larger file; choose another folder",
    ),
    (
        "output",
        r"Read-only file system",
        "{folder!r} is on a read-only file system; choose another folder",
    ),
    (
        "output",
        r"Permission denied",
        "permission denied ({line}); choose a folder that you may write to",
    ),
    (
        "output",
        r"Input/output error",
        "the disk of {folder!r} failed ({line}); choose another one",
    ),
    (
        "encoder",
        r"Unrecognized option '(?P<a>[^']*)'|Option '?(?P<b>[\w-]+)'? not found",
        "it does not know the option {a!r}; correct --encoder-args or --preset",
    ),
    (
        "encoder",
        r"Error setting preset/tune (?P<a>\S+)\.",
        "the encoder does not know preset/tune {a}; correct --preset or -tune",
    ),
    (
        "encoder",
        r"Value (?P<a>\S+) for parameter '(?P<b>[^']*)' out of range (?P<c>\[[^\]]*\])",
        "{b}={a} is outside the encoder's range {c}; correct --crf or --encoder-args",
    ),
    (
        "encoder",
        r"(?:Unable to parse|Error setting|Undefined constant|Invalid value).*(?:option|value|parameter)",
        "{line}; correct --crf, --preset or --encoder-args",
    ),
    (
        "encoder",
        r"Cannot load \S+|No capable devices|No NVENC capable|Device creation failed|Failed to initiali[sz]e VAAPI"
        r"|No device available|OpenEncodeSessionEx failed|Error creating a MFX session",
        "this machine cannot run the hardware encoder ({line}); choose another --encoder, such as libx265",
    ),
    (
        "programs",
        r"Cannot allocate memory|malloc of size",
        "not enough memory for the encoder ({line}); use a faster --preset",
    ),
)
"""Topic, a pattern among the lines of a failed ffmpeg, and the message for it, the most informative first."""


_FOR_COMMAND: tuple[tuple[str, str], ...] = (
    (
        "interpolate: the clip is interlaced",
        "interpolate: the video is interlaced; deinterlace it first (ffmpeg -i FILE -vf bwdif -c:v ffv1 -c:a copy "
        "OUT.mkv), or, if it is marked so but progressive, pass --filter FILE.vpy with a function before(clip) that "
        "returns clip.std.SetFieldBased(0)",
    ),
    (
        "interpolate: the clip's format or size varies",
        "interpolate: the video changes its format or size; encode it with one (ffmpeg -i FILE -c:v ffv1 -c:a copy "
        "OUT.mkv)",
    ),
)
"""Errors of `interpolate()` whose remedy is for scripts, and the remedy for commands."""


def explain_ffmpeg(lines: Sequence[str], ending: str, target: Path) -> str:
    """Return why ffmpeg failed, with the topic where the reason is known.

    Args:
        lines: its messages.
        ending: how it ended, see `Program.ending`.
        target: the file it was to write.
    """
    for topic, pattern, message in _RULES:
        for line in lines:
            if match := re.search(pattern, line):
                named = match.groupdict(default="")
                text = message.format(
                    a=named.get("a") or named.get("b", ""),
                    b=named.get("b", ""),
                    c=named.get("c", ""),
                    line=_PREFIX.sub("", line).rstrip("."),
                    container=target.suffix.lower(),
                    folder=str(target.parent),
                )
                return f"{_short(text)} ({reference(topic)})"
    return _last(lines, ending)


def explain_vspipe(lines: Sequence[str], ending: str) -> str:
    """Return why vspipe failed: its last line without the exception's type."""
    for line in lines:
        if "No space left on device" in line:
            return _short(f"{line.strip()}; free some space, or set TMPDIR to a folder that has some")
    last = _PYTHON.sub("", _last(lines, ending))
    found = REFERENCE.search(last)
    topic = "" if found is None else found[0]
    last = REFERENCE.sub("", last)
    if "SIGABRT" in ending or "SIGSEGV" in ending:  # lsmas overflows its buffers where the frame size grows
        resized = "if the video changes its size, encode it with one (ffmpeg -i FILE -c:v ffv1 -c:a copy OUT.mkv)"
        return f"{last}; {resized}{topic}"
    for begin, message in _FOR_COMMAND:
        if last.startswith(begin):
            return f"{message}{topic}"
    if "lsmas: failed to output a video frame" in last:  # streams with missing or negative timestamps
        return f"{last.rstrip('.')}; encode the file again (ffmpeg -i FILE -c:v ffv1 -c:a copy OUT.mkv){topic}"
    return f"{last}{topic}"


def _last(lines: Sequence[str], ending: str) -> str:
    """Return the last informative line, and how the program ended if a signal stopped it."""
    stripped = [line.strip() for line in lines if line.strip()]
    informative = [line for line in stripped if not _EMPTY.search(line)] or stripped
    if not informative:
        return f"{ending}, without giving a reason; check free memory, the disk and the program itself"
    last = _short(_PREFIX.sub("", informative[-1]))
    return last if ending.startswith("exit code") else f"{ending}; last message: {last}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
