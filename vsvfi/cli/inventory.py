"""Find the programs and plugins of `vsvfi render`: vspipe, a source filter, ffmpeg and its encoders.

Nothing here raises.

Each is one dict: "name", "path" and "version" (None where unknown), and "missing": None, or what is wrong and what to
do.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from typing import Any

from vsvfi.cli import programs
from vsvfi.errors import VsvfiError
from vsvfi.packages import load, one_line

ENCODERS = {
    "libx265": "install a fuller ffmpeg: pip install imageio-ffmpeg",
    "libx264": "install a fuller ffmpeg: pip install imageio-ffmpeg",
    "libsvtav1": "install an ffmpeg with SVT-AV1 for --encoder libsvtav1",
    "hevc_nvenc": "",
    "av1_nvenc": "",
    "hevc_qsv": "",
    "av1_qsv": "",
    "hevc_amf": "",
    "hevc_videotoolbox": "",
}
"""The encoders that matter, and what to do where one is missing; those of hardware are listed only where ffmpeg has
them.
"""

SOURCE_FILTERS = ("lsmas", "bs")
"""Namespaces that `open_video` can read files with."""

_PATIENCE = 20.0  # seconds for a program to state its version

Entry = dict[str, str | None]


def examine_programs() -> dict[str, list[Entry]]:
    """Return everything except the Python packages."""
    return {
        "programs": [_program("vspipe", programs.find_vspipe), _program("ffmpeg", programs.find_ffmpeg)],
        "source_filters": _filters(),
        "encoders": _encoders(),
    }


def lines(found: dict[str, list[Entry]]) -> list[str]:
    """Format the inventory as text."""
    shown = []
    for title, key in (
        ("Programs", "programs"),
        ("Source filters", "source_filters"),
        ("Encoders of ffmpeg", "encoders"),
    ):
        shown.append(title)
        for entry in found[key]:
            facts = " ".join(filter(None, (entry["version"], f"({entry['path']})" if entry["path"] else "")))
            shown.append(
                f"  {entry['name']:<16} {facts if entry['missing'] is None else 'MISSING: ' + entry['missing']}"
            )
    return shown


def _program(name: str, find: Callable[[], str]) -> Entry:
    """Return a program's path and its version, by running it."""
    try:
        path = find()
    except VsvfiError as error:
        return {"name": name, "path": None, "version": None, "missing": str(error)}
    flag = "--version" if name == "vspipe" else "-version"
    try:
        done = subprocess.run(
            [path, flag],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=programs.vspipe_environment(),
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return {
            "name": name,
            "path": path,
            "version": None,
            "missing": f"{path} does not run ({one_line(error)}); install {name} again",
        }
    text = (done.stdout + done.stderr).decode(errors="replace")
    version = re.search(r"Core (R\d+\S*)" if name == "vspipe" else r"ffmpeg version (\S+)", text)
    if done.returncode != 0 or version is None:
        reason = (text.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        remedy = "run 'vapoursynth config' in this environment" if name == "vspipe" else "install ffmpeg again"
        return {"name": name, "path": path, "version": None, "missing": f"{path} does not work ({reason}); {remedy}"}
    return {"name": name, "path": path, "version": version[1], "missing": None}


def _filters() -> list[Entry]:
    """The source filters that this VapourSynth has loaded; one entry that names the remedy where there is none."""
    vs = load("vapoursynth")
    if isinstance(vs, str):
        return [
            {
                "name": "none",
                "path": None,
                "version": None,
                "missing": f"VapourSynth does not work here ({vs}); pip install vapoursynth",
            }
        ]
    try:
        plugins: list[Any] = [plugin for plugin in vs.core.plugins() if plugin.namespace in SOURCE_FILTERS]
    except Exception as error:
        return [
            {
                "name": "none",
                "path": None,
                "version": None,
                "missing": f"VapourSynth's plugins cannot be listed ({one_line(error)}); install it again",
            }
        ]
    found: list[Entry] = []
    for plugin in plugins:
        path = getattr(plugin, "plugin_path", None)
        found.append(
            {
                "name": plugin.namespace,
                "path": None if path is None else str(path),
                "version": _number(plugin.version),
                "missing": None,
            }
        )
    return found or [
        {
            "name": "none",
            "path": None,
            "version": None,
            "missing": 'no source filter, so that no video can be opened; pip install "vsvfi[video]"',
        }
    ]


def _number(version: Any) -> str:
    """A plugin's version as "major.minor", or as it comes."""
    major, minor = getattr(version, "major", None), getattr(version, "minor", None)
    return str(version).strip() if major is None or minor is None else f"{major}.{minor}"


def _encoders() -> list[Entry]:
    """The encoders that matter, each with the ffmpeg that has it."""
    try:
        ffmpegs = list(programs._ffmpegs())
    except Exception:  # a substitute for a package may raise anything
        ffmpegs = []
    found: list[Entry] = []
    for name, remedy in ENCODERS.items():
        path = next((ffmpeg for ffmpeg in ffmpegs if name in programs.encoders(ffmpeg)), None)
        if path is not None or (ffmpegs and remedy):
            found.append({"name": name, "path": path, "version": None, "missing": None if path is not None else remedy})
    return found or [{"name": "none", "path": None, "version": None, "missing": "there is no ffmpeg; see above"}]
