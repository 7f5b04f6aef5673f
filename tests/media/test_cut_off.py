"""Files that were cut off between reordered frames, and whole ones whose last frames are long."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.cli.media_files import make
from vsvfi.media.probe import first_video, open_container, probe
from vsvfi.media.pyav import pyav

FRAMES = 50
CODING = ("-c:v", "libx264", "-bf", 3, "-x264-params", "b-adapt=0:scenecut=0", "-g", 25)
MUXER: dict[str, tuple[str, ...]] = {"mkv": (), "mp4": ("-movflags", "+faststart"), "ts": ()}


@pytest.fixture(scope="module", params=MUXER)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / f"in.{request.param}"
    source = f"testsrc2=size=64x48:rate=25:duration={FRAMES / 25}"
    return make(path, "-f", "lavfi", "-i", source, *CODING, *MUXER[request.param])


def cut_between_reordered_frames(whole: Path, path: Path) -> int:
    """Write the beginning of a file up to a frame whose earlier ones are stored behind it; returns its frames."""
    with open_container(pyav(), whole) as container:
        packets = [packet for packet in container.demux(first_video(container, whole)) if packet.size]
    stamps = [packet.pts for packet in packets]
    usual = min(later - earlier for earlier, later in pairwise(sorted(stamps)))
    kept = next(n for n in range(30, FRAMES) if stamps[n - 1] - max(stamps[: n - 1]) == 4 * usual)
    path.write_bytes(whole.read_bytes()[: packets[kept].pos])
    return kept


def test_a_file_that_was_cut_off_has_a_constant_rate(whole: Path, tmp_path: Path) -> None:
    cut = tmp_path / f"cut{whole.suffix}"
    kept = cut_between_reordered_frames(whole, cut)
    media = probe(cut)
    assert (media.frames, media.rate, media.constant) == (kept, 25, True)
    assert media.stamps[kept - 1] - media.stamps[kept - 2] == pytest.approx(4 / 25, abs=0.001)


@pytest.mark.parametrize("last", [0.2, 2])
def test_long_last_frames_keep_their_times(whole: Path, tmp_path: Path, last: float) -> None:
    """Three frames are reordered, so that a file that was cut off has a gap of four frames, 0.16 s, at most."""
    stamps = f"settb=1/1000,setpts='if(lt(N,{FRAMES - 1}),40*N,40*{FRAMES - 2}+1000*{last})'"
    image = f"testsrc2=size=64x48:rate=25:duration={FRAMES / 25},{stamps}"
    more = (*CODING, "-enc_time_base:v", "1/1000", "-fps_mode", "passthrough", *MUXER[whole.suffix[1:]])
    media = probe(make(tmp_path / f"long{whole.suffix}", "-f", "lavfi", "-i", image, *more))
    assert not media.constant
    assert media.times[FRAMES - 1] - media.times[FRAMES - 2] == pytest.approx(last, abs=0.001)
