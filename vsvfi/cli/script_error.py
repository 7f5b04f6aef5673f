"""Errors of the scripts that `vsvfi` has vspipe run: vspipe passes on the text alone, so it carries the topic."""

from __future__ import annotations

import vapoursynth as vs

from vsvfi.topics import reference


def script_error(topic: str, text: str) -> vs.Error:
    """Return an error of a script.

    Args:
        topic: of its remedies, one of `vsvfi.topics`.
        text: the message.
    """
    return vs.Error(f"{text} ({reference(topic)})")
