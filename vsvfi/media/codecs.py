"""Which codecs a container can hold, and what to encode audio to that does not fit.

Tables and rules only; runs no program. The tables are those of ffmpeg's muxers from 5.1 on.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LOSSLESS = frozenset({"flac", "alac", "truehd", "mlp", "wavpack", "tta", "ape", "mp4als", "wmalossless"})

_PCM = _names(
    "pcm_alaw pcm_f32be pcm_f32le pcm_f64be pcm_f64le pcm_mulaw pcm_s16be pcm_s16le pcm_s24be pcm_s24le pcm_s32be "
    "pcm_s32le pcm_s8 pcm_u8"
)

_EXACT = (_PCM - {"pcm_alaw", "pcm_mulaw"}) | _names("alac flac tta wavpack")
"""Lossless codecs of which ffmpeg has an encoder of the same name."""

_WAV = _names(
    "aac ac3 adpcm_g722 adpcm_g726 adpcm_ima_wav adpcm_ms adpcm_yamaha amr_nb amr_wb atrac3 dts eac3 flac g723_1 g729 "
    "gsm_ms imc mp2 mp3 opus sipr speex truespeech vorbis"
)
"""Codecs with a tag of WAV, which both Matroska and NUT use for codecs that have none of their own."""

_AUDIO = {
    "matroska": _WAV
    | (_PCM - {"pcm_f32be", "pcm_f64be", "pcm_s8"})
    | _names(
        "alac atrac1 cook mlp mp1 qdm2 qdmc ra_144 ra_288 truehd tta wavpack wmav1 wmav2 wmapro wmavoice wmalossless"
    ),
    "nut": _WAV | _PCM | _names("pcm_s16be_planar pcm_s8_planar pcm_s16le_planar wavpack"),
    "mp4": _names("aac mp3 mp2 mp1 ac3 eac3 ac4 alac opus dts vorbis flac truehd"),
    "mov": _PCM | _names("aac mp3 mp2 ac3 eac3 alac dts vorbis qdm2 qdmc amr_nb amr_wb gsm adpcm_ima_qt"),
    "webm": frozenset({"opus", "vorbis"}),
    "avi": _names(
        "aac mp3 mp2 ac3 eac3 dts flac vorbis wmav1 wmav2 adpcm_ms adpcm_ima_wav pcm_u8 pcm_s16le pcm_s24le pcm_s32le "
        "pcm_f32le pcm_f64le pcm_alaw pcm_mulaw"
    ),
}
"""Audio codecs that containers hold; others, such as those of games, telephones and old cameras, are encoded."""

_EXPERIMENTAL = {"mp4": frozenset({"flac", "truehd"})}
"""What older ffmpeg writes into a container only with `-strict -2`."""

_WEBM_VIDEO = frozenset({"vp8", "vp9", "av1"})

VIDEO_ENCODERS = {"webm": ("libvpx-vp9", "libsvtav1", "libaom-av1")}
"""Default video encoders of a container, best first."""

DEFAULT_VIDEO_ENCODERS = ("libx265", "libx264")
"""Default video encoders of all other containers, best first."""

ENDINGS = {"matroska": ".mkv", "mp4": ".mp4", "mov": ".mov", "webm": ".webm", "nut": ".nut", "avi": ".avi"}


def video_encoders(muxer: str) -> tuple[str, ...]:
    """Return the default video encoders of a container, best first."""
    return VIDEO_ENCODERS.get(muxer, DEFAULT_VIDEO_ENCODERS)


def holds_video(muxer: str, codec: str) -> bool:
    """Return False where a container is known to refuse a video codec; the muxer decides."""
    return muxer != "webm" or codec in _WEBM_VIDEO


def holds_audio(muxer: str, codec: str) -> bool:
    """Return whether an audio codec can be copied into a container."""
    return codec in _AUDIO[muxer]


def fit_audio(muxer: str, codecs: Sequence[str], *, later: Fraction = Fraction(0), trim: str = "") -> list[str]:
    """Return ffmpeg output options for audio streams: copied, or encoded where that is needed.

    Args:
        muxer: ffmpeg's name of the container format.
        codecs: ffmpeg's names of the codecs of the streams, in output order.
        later: seconds to delay audio that is encoded as Opus, see `opus`.
        trim: ffmpeg's filter that cuts a part out, "" to take all.
    """
    arguments = ["-c:a", "copy"]
    for index, codec in enumerate(codecs):
        if not encodes_audio(muxer, codec, cut=bool(trim)):
            continue
        encoder = codec if holds_audio(muxer, codec) else _substitute(muxer, codec)
        arguments += [f"-c:a:{index}", encoder]
        filters = [trim] if trim else []
        if encoder in ("aac", "ac3"):
            arguments += [f"-b:a:{index}", "320k"]
        elif encoder == "libopus":  # supports only these layouts, and refuses 5.1(side)
            filters.append("aformat=channel_layouts=7.1|5.1|stereo|mono")
            filters += [f"asetpts=PTS+{float(later):.6f}/TB"] if later else []
        arguments += [f"-filter:a:{index}", ",".join(filters)] if filters else []
    if _EXPERIMENTAL.get(muxer, frozenset()).intersection(codecs):
        arguments += ["-strict", "-2"]
    return arguments


def encodes_audio(muxer: str, codec: str, *, cut: bool) -> bool:
    """Return whether audio is encoded: the container cannot hold it, or it is cut, which is exact and loses nothing."""
    return not holds_audio(muxer, codec) or (cut and codec in _EXACT)


def slow_audio(muxer: str, codecs: Sequence[str], chain: str, *, later: Fraction = Fraction(0)) -> list[str]:
    """Return ffmpeg output options for audio streams that are filtered, and so always encoded.

    Args:
        muxer, codecs, later: as for `fit_audio`.
        chain: ffmpeg's filters.
    """
    arguments = []
    for index, codec in enumerate(codecs):
        encoder = _slow_encoder(muxer, codec)
        arguments += [f"-c:a:{index}", encoder]
        if encoder in ("aac", "ac3"):
            arguments += [f"-b:a:{index}", "320k"]
        opus = f",aformat=channel_layouts=7.1|5.1|stereo|mono,asetpts=PTS+{float(later):.6f}/TB"
        arguments += [f"-filter:a:{index}", chain + (opus if encoder == "libopus" else "")]
    return arguments


def slow_notes(muxer: str, codecs: Sequence[str]) -> list[str]:
    """Return a message about audio that is slowed down."""
    encoders = sorted({_slow_encoder(muxer, codec).removeprefix("lib") for codec in codecs})
    return [f"audio is slowed down and encoded as {' and '.join(encoders)}"] if encoders else []


def _slow_encoder(muxer: str, codec: str) -> str:
    lossless = codec in _LOSSLESS or codec.startswith("pcm_")
    return _substitute(muxer, codec) if lossless or muxer in ("webm", "avi") else "aac"


def audio_notes(muxer: str, codecs: Sequence[str]) -> list[str]:
    """Return a message per audio codec that cannot be copied."""
    unfit = sorted({codec for codec in codecs if not holds_audio(muxer, codec)})
    return [
        f"{ENDINGS[muxer]} cannot hold {codec} audio, encoding it as {_substitute(muxer, codec).removeprefix('lib')}"
        + (f"; write {where} to keep it as it is" if (where := keeping(codec)) else "")
        for codec in unfit
    ]


def keeping(codec: str) -> str:
    """Return the suffixes of the usual containers that hold an audio codec; of another one, or "", if none does."""
    found = [ENDINGS[muxer] for muxer in ("matroska", "mov", "mp4") if holds_audio(muxer, codec)]
    return " or ".join(found or [ENDINGS[muxer] for muxer in ("nut",) if holds_audio(muxer, codec)])


def _substitute(muxer: str, codec: str) -> str:
    """Return the encoder for audio that a container cannot hold.

    Lossless stays lossless, except in mp4 and webm.
    """
    lossless = codec in _LOSSLESS or codec.startswith("pcm_")
    match muxer:
        case "mov":
            return "alac" if lossless else "aac"
        case "webm":
            return "libopus"
        case "avi":
            return "pcm_s24le" if lossless else "ac3"
        case "mp4":
            return "aac"
        case _:
            return "flac"
