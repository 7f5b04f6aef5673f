"""What the library's parts log while a graph is built is in VapourSynth's log."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import vapoursynth as vs

import vsvfi
from tests.fakes import Recorder, numbered
from vsvfi.engine import session


def test_what_the_library_warns_of_is_in_vapoursynths_log(
    fake_family: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a graph is built, and not a moment longer."""
    heard: list[tuple[int, str]] = []
    handle = vs.core.add_log_handler(lambda level, text: heard.append((int(level), text)))
    read = session.load_weights

    def warn(*arguments: Any) -> Any:
        logging.getLogger("vsvfi.ops").warning("a kernel is missing")
        return read(*arguments)

    monkeypatch.setattr(session, "load_weights", warn)
    vsvfi.interpolate(numbered(length=2), model="fake", weights=fake_family.weights, device="cpu")
    logging.getLogger("vsvfi.ops").warning("afterwards")
    vs.core.remove_log_handler(handle)
    assert (int(vs.MESSAGE_TYPE_WARNING), "interpolate: a kernel is missing") in heard
    assert not any("afterwards" in text for _, text in heard)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [({"multi": 3}, True), ({"multi": 32}, True), ({"multi": 4}, False), ({"multi": 3, "model": "fake"}, False)],
)
def test_times_that_bisection_only_approximates_are_logged(
    fake_family: Recorder, arguments: dict[str, Any], told: bool
) -> None:
    heard: list[str] = []
    handle = vs.core.add_log_handler(lambda level, text: heard.append(text))
    vsvfi.interpolate(
        numbered(length=2), **{"model": "fake_half", "weights": fake_family.weights, "device": "cpu", **arguments}
    )
    vs.core.remove_log_handler(handle)
    said = (
        "interpolate: fake_half can only interpolate the midpoint of two frames; "
        f"with factor {arguments['multi']}, other timesteps are rounded to the nearest 1/16"
    )
    assert any(text.startswith(said) for text in heard) == told
