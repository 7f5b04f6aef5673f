"""What a joined file keeps of its chunks: aspect ratio, transparency, the tag of HEVC."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.cli.media_files import ffmpeg
from vsvfi.cli.join import concat_list
from vsvfi.cli.programs import video_codecs
from vsvfi.jobs.chunks import from_starts
from vsvfi.jobs.folder import ENDINGS, chunk_muxer
from vsvfi.media.encoding import Facts, Part, Quality, container, ffmpeg_arguments, join_arguments, planned
from vsvfi.media.verify import verify

FRAMES, WIDTH, HEIGHT = 6, 48, 32


def planes(n: int, pixels: str) -> bytes:
    """A 4:2:0 or 4:4:4 frame with transparency, if the format has it, that differs from frame to frame."""
    kind = np.dtype("<u2" if pixels.endswith("le") else np.uint8)
    gain = 4 if pixels.endswith("10le") else 1
    chroma = (HEIGHT, WIDTH) if "444" in pixels else (HEIGHT // 2, WIDTH // 2)
    alpha = [np.full((HEIGHT, WIDTH), 40 * n)] if "yuva" in pixels else []
    made = [np.full((HEIGHT, WIDTH), 60 + 20 * n), np.full(chroma, 90), np.full(chroma, 160), *alpha]
    return b"".join((plane * gain).astype(kind).tobytes() for plane in made)


@pytest.mark.parametrize(
    ("ending", "encoder", "pixels", "decoder"),
    [
        (".mp4", "libx265", "yuv420p", ""),
        (".mov", "prores_ks", "yuva444p10le", ""),
        (".webm", "libvpx-vp9", "yuva420p", "libvpx-vp9"),
        (".mkv", "ffv1", "yuva420p", ""),
    ],
)
def test_aspect_ratio_transparency_and_tag_survive(
    tmp_path: Path, ending: str, encoder: str, pixels: str, decoder: str
) -> None:
    if encoder not in video_codecs(ffmpeg()):
        pytest.skip(f"ffmpeg has no {encoder}")
    props = {"_SARNum": 4, "_SARDen": 3, "_Matrix": 1, "_Range": 0}
    facts = Facts(
        *(WIDTH, HEIGHT, FRAMES, Fraction(25), 3, Fraction(25, 2), "420" in pixels, props, "", pixels, pixels)
    )
    muxer, files = container(Path(f"a{ending}")), []
    chunks = from_starts([0, 4], FRAMES - 1)
    for chunk in chunks:
        path = tmp_path / f"{chunk.name}{ENDINGS[chunk_muxer(muxer)]}"
        part = Part(chunk.first, chunk.last)
        arguments = ffmpeg_arguments(facts, Quality(encoder), None, part, path, chunk_muxer(muxer))
        given = b"".join(planes(n, pixels) for n in range(chunk.first, chunk.last + 1))
        subprocess.run([ffmpeg(), *arguments], input=given, check=True)
        files.append(path.name)
    listing, output = tmp_path / "list.txt", tmp_path / f"out{ending}"
    listing.write_text(concat_list(files, chunks, facts.rate))
    arguments = join_arguments(facts, encoder, None, Part(), listing, output, muxer)
    subprocess.run([ffmpeg(), *arguments], check=True)
    verify(output, planned(facts, None, Part(), muxer))
    with av.open(str(output)) as opened:
        stream = opened.streams.video[0]
        assert stream.sample_aspect_ratio == Fraction(4, 3)
        if encoder == "libx265":
            assert stream.codec_context.codec_tag == "hvc1"
    if "yuva" not in pixels:
        return
    more = ["-c:v", decoder] if decoder else []
    command = [ffmpeg(), "-v", "error", *more, "-i", output, "-pix_fmt", "yuva420p", "-f", "rawvideo", "-"]
    shown = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
    alpha = shown.reshape(FRAMES, -1)[:, -WIDTH * HEIGHT :].mean(1)
    assert list(alpha) == pytest.approx([40 * n for n in range(FRAMES)], abs=3)
