"""Measure the conversion between a clip's format and RGB, on the device and by zimg.

    python -m scripts.benchmark.colour --device cuda --size 1920x1080

Per format: "to RGB" and "from RGB" on the device with resident tensors; "both, copies" with upload and download through
pinned buffers as the engine makes them; "zimg both" is VapourSynth's conversion there and back on one thread.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import vapoursynth as vs

from scripts.benchmark.skeleton import finish, heading, measure, medians, parser, show, size_of, start
from vsvfi.clip.colour import Colour, frame_format
from vsvfi.engine.device import inference
from vsvfi.engine.device_colour import DeviceColour
from vsvfi.engine.frame_format import Coding
from vsvfi.engine.transfers import Transfers

FORMATS = ("YUV420P8", "YUV420P10", "YUV422P10", "YUV444P16", "RGB24")


def main() -> None:
    arguments = parser(__doc__, size="1920x1080")
    arguments.add_argument("--format", action="append", choices=FORMATS, help="may be repeated (default: all)")
    given = arguments.parse_args()
    device = start(given)
    vs.core.num_threads = 1
    heading(device, given.size)
    found = []
    with inference(device):
        for name in given.format or FORMATS:
            seconds = measure(calls(name, *size_of(given), device), device, given.rounds)
            show(seconds, f"{name}  ")
            found.append({"format": name, "milliseconds": medians(seconds)})
    finish(given, device, found)


def calls(name: str, width: int, height: int, device: torch.device) -> dict[str, Callable[[], object]]:
    """Return what is measured for a format."""
    blank = vs.core.std.BlankClip(format=getattr(vs, name), width=width, height=height, length=1, keep=True)
    described = frame_format(blank)
    assert described is not None
    coding = Coding(1, described.family == "rgb", 0)
    colour, transfers = DeviceColour(described, device), Transfers(device)
    packed = torch.randint(0, 256, (described.frame_bytes,), dtype=torch.uint8, device=device)
    image = colour.to_rgb(packed, coding)

    def with_copies() -> object:
        staging = transfers.staging((described.frame_bytes,), torch.uint8)
        uploaded = transfers.upload(staging, torch.uint8)
        return transfers.download(colour.from_rgb(colour.to_rgb(uploaded, coding), coding), torch.uint8)

    zimg = Colour(blank, vs.RGBS, None)
    rgb = zimg.converted(blank, coding)
    restored = zimg.restored(rgb, coding)
    for node in (rgb, restored):
        node.std.SetVideoCache(mode=0)

    def by_zimg() -> None:
        restored.get_frame(0).close()

    return {
        "to RGB": lambda: colour.to_rgb(packed, coding),
        "from RGB": lambda: colour.from_rgb(image, coding),
        "both, copies": with_copies,
        "zimg both": by_zimg,
    }


if __name__ == "__main__":
    main()
