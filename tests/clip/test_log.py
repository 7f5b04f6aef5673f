"""What the library's parts log while a graph is built is in VapourSynth's log."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import vapoursynth as vs

import vsvfi
from tests.fakes import Recorder, numbered
from vsvfi.clip import blending


def test_what_the_library_warns_of_is_in_vapoursynths_log(fake_family: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a graph is built, and not a moment longer."""
    heard: list[tuple[int, str]] = []
    handle = vs.core.add_log_handler(lambda level, text: heard.append((int(level), text)))
    read = blending.read_model

    def warn(*arguments: Any) -> Any:
        logging.getLogger("vsvfi.ops").warning("a kernel is missing")
        return read(*arguments)

    monkeypatch.setattr(blending, "read_model", warn)
    vsvfi.interpolate(numbered(length=2), model="fake", weights=fake_family.weights, device="cpu")
    logging.getLogger("vsvfi.ops").warning("afterwards")
    vs.core.remove_log_handler(handle)
    assert (int(vs.MESSAGE_TYPE_WARNING), "interpolate: a kernel is missing") in heard
    assert not any("afterwards" in text for _, text in heard)
