"""Sessions of the fake model that close when their test ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.building import loaded, session_of
from tests.engine.sessions import HEIGHT, WIDTH
from tests.fakes import Recorder
from vsvfi.engine.session import Session


@pytest.fixture
def opened(fake_family: Recorder) -> Iterator[Callable[..., Session]]:
    """Opens sessions of the fake model on the CPU, and closes them in the end."""
    sessions: list[Session] = []

    def open_session(name: str = "fake", **arguments: Any) -> Session:
        """`family` holds attributes of the family to change; the rest goes to `session_of`."""
        model = loaded(name, fake_family.weights)
        model = dataclasses.replace(model, family=dataclasses.replace(model.family, **arguments.pop("family", {})))
        sessions.append(session_of(model, (WIDTH, HEIGHT), **arguments))
        return sessions[-1]

    yield open_session
    for session in sessions:
        session.close()
