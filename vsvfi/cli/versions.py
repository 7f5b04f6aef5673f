"""State the versions that frames and their encoding depend on: `python -m vsvfi.cli.versions ENCODER MUXER`.

The workers of a cluster run it as a process of its own, as they do with chunks; it prints one JSON object.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys

from vsvfi import __version__
from vsvfi.cli.programs import Encoder, ffmpeg_version, find_encoder
from vsvfi.errors import VsvfiError

_PACKAGES = ("torch", "vapoursynth", "vapoursynth-lsmas", "vapoursynth-bestsource")


def package_versions() -> dict[str, str]:
    """Return the versions of vsvfi and of the installed packages that frames depend on."""
    found = {"vsvfi": __version__}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def versions(encoder: Encoder) -> dict[str, str]:
    """Return the versions of the packages and of ffmpeg."""
    return {**package_versions(), "ffmpeg": ffmpeg_version(encoder.ffmpeg)}


def main(argv: list[str]) -> int:
    name, muxer = argv
    try:
        encoder = find_encoder(name, muxer)
        if encoder.note:
            raise VsvfiError(encoder.note)
        print(json.dumps({"versions": versions(encoder)}))
    except VsvfiError as error:
        print(json.dumps({"error": str(error)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
