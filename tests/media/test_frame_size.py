"""Videos whose frame size changes are refused before a source filter reads them, and others are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.media_files import make
from vsvfi.errors import VsvfiError
from vsvfi.media.frame_size import vp9_size
from vsvfi.media.probe import probe

FAST = ("-cpu-used", "8", "-deadline", "realtime")


def joined(
    folder: Path, sizes: tuple[str, str], ending: str, *codec: str, container: str = "", frames: int = 4
) -> Path:
    """Two videos of so many frames each, one after the other."""
    parts = []
    for number, size in enumerate(sizes):
        picture = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration={frames / 25}")
        parts.append(make(folder / f"{number}{ending}", *picture, *codec))
    if not container:
        (folder / f"a{ending}").write_bytes(b"".join(part.read_bytes() for part in parts))
        return folder / f"a{ending}"
    (folder / "list").write_text("".join(f"file '{part.name}'\n" for part in parts))
    return make(folder / f"a{container}", "-f", "concat", "-i", folder / "list", "-c", "copy")


@pytest.mark.parametrize(
    ("ending", "codec", "container"),
    [
        (".h264", ("-c:v", "libx264", "-bf", "2", "-preset", "ultrafast"), ""),
        (".ts", ("-c:v", "libx264", "-preset", "ultrafast"), ".mkv"),
        (".hevc", ("-c:v", "libx265", "-preset", "ultrafast"), ""),
        (".m2v", ("-c:v", "mpeg2video"), ""),
        (".webm", ("-c:v", "libvpx", *FAST), ".webm"),
        (".webm", ("-c:v", "libvpx-vp9", *FAST), ".webm"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[1],
)
def test_a_change_of_size_is_refused(tmp_path: Path, ending: str, codec: tuple[str, ...], container: str) -> None:
    path = joined(tmp_path, ("96x64", "128x96"), ending, *codec, container=container)
    with pytest.raises(VsvfiError, match=r"changes its frame size, from 96x64 to 128x96 about frame 4; encode it with"):
        probe(path)


def test_a_change_between_key_frames_is_refused(tmp_path: Path) -> None:
    path = joined(tmp_path, ("96x64", "128x96"), ".m2v", "-c:v", "mpeg2video", "-g", "1", frames=24)
    with pytest.raises(VsvfiError, match=r"from 96x64 to 128x96 about frame 32"):
        probe(path)


def test_joined_videos_of_one_size_are_read(tmp_path: Path) -> None:
    path = joined(tmp_path, ("96x64", "96x64"), ".webm", "-c:v", "libvpx-vp9", *FAST, container=".webm")
    assert probe(path).frames == 8


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p", "gbrp", "yuv420p10le", "yuv444p10le", "gbrp10le"])
def test_every_profile_of_vp9(tmp_path: Path, pixels: str) -> None:
    picture = ("-f", "lavfi", "-i", "testsrc2=size=98x66:rate=25:duration=0.04")
    path = make(tmp_path / "a.ivf", *picture, "-c:v", "libvpx-vp9", "-pix_fmt", pixels, *FAST)
    assert vp9_size(path.read_bytes()[44:60]) == (98, 66)  # after the headers of the file and the frame


def test_what_is_no_key_frame_of_vp9_has_no_size() -> None:
    assert vp9_size(b"") is None
    assert vp9_size(bytes(16)) is None
    assert vp9_size(bytes.fromhex("824983420000")) is None
