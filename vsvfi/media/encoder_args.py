"""Check the user's encoder options for ffmpeg, so that none of them is taken for a file to write.

ffmpeg takes every word that belongs to no option for another output, and overwrites it.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Sequence

from vsvfi.errors import ArgumentError
from vsvfi.media.program_output import program_output

_NAME = re.compile(r"-([A-Za-z][\w.-]*)(?::v(?::0)?)?")
_OPTION = re.compile(r"^\s+-?([\w.-]+)\s+<\w+>\s+(E..V\S*)")
_OF_FFMPEG = frozenset({"pix_fmt", "profile", "level", "tag", "bsf", "force_key_frames", "q", "qscale"})
"""Options of ffmpeg itself that concern the encoder."""

_LISTS = ("-x265-params", "-x264-params", "-svtav1-params", "-aom-params")
"""Options that are lists of settings: vsvfi's and the user's are joined, the user's last."""


def parse(text: str, ffmpeg: str, encoder: str) -> list[str]:
    """Split options like a shell, and check that they are pairs of an option of the encoder and a value.

    Raises:
        ArgumentError: with the option and the rule.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ArgumentError("encoder-args", text, f"cannot be split ({error})", "close every quote") from None
    known = options(ffmpeg, encoder)
    for name, value in zip(words[::2], [*words[1::2], None], strict=False):
        match = _NAME.fullmatch(name)
        if not match:
            raise ArgumentError(
                "encoder-args", name, "is not an option", 'write pairs: --encoder-args "-tune film -g 48"'
            )
        if match[1] not in known:
            raise ArgumentError(
                "encoder-args", name, f"is not an option of {encoder}", f"see 'ffmpeg -h encoder={encoder}'"
            )
        if value is None:
            raise ArgumentError("encoder-args", name, "has no value", "give one after it")
    return words


@functools.cache
def options(ffmpeg: str, encoder: str) -> frozenset[str]:
    """Return the options of an encoder in an ffmpeg, those of all video encoders included."""
    own = _help(ffmpeg, f"encoder={encoder}").splitlines()
    general = _help(ffmpeg, "full").partition("AVCodecContext AVOptions:")[2].partition("\n\n")[0].splitlines()
    return _OF_FFMPEG.union(match[1] for line in own + general if (match := _OPTION.match(line)))


def merge(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """Join encoder options; the user's value takes precedence, and lists of settings become one list."""
    merged, rest = list(ours), []
    for name, value in zip(theirs[::2], theirs[1::2]):
        plain = name.partition(":")[0]
        if plain in _LISTS and plain in merged:
            merged[merged.index(plain) + 1] += f":{value}"
        else:
            rest += [name, value]
    return merged + rest


def _help(ffmpeg: str, topic: str) -> str:
    """Return the output of `ffmpeg -h`; empty if it does not run."""
    try:
        return program_output([ffmpeg, "-hide_banner", "-h", topic]).decode(errors="replace")
    except OSError:
        return ""
