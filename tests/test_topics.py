"""Messages name the topic of their remedies, which `vsvfi explain` prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import vapoursynth as vs

import vsvfi
from vsvfi import cli, errors, topics
from vsvfi.cli import compare, models
from vsvfi.cli.diagnosis import explain_vspipe
from vsvfi.cli.parser import build_parser
from vsvfi.clip.failures import frame_error
from vsvfi.engine.colour_path import choose_colour
from vsvfi.media.encoding import container
from vsvfi.models import registry
from vsvfi.options import parse

NAMES = [
    *("arguments", "settings", "models", "weights", "device", "memory", "clip", "frames", "source", "output"),
    *("encoder", "programs", "jobs", "onnx", "measuring", "installation", "internal"),
]


@pytest.fixture(autouse=True)
def no_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "documentation", lambda: None)


def test_the_names_of_topics_stay() -> None:
    assert list(topics.topics()) == NAMES, "links in messages of earlier versions lead there: add names, keep these"


def raised(function: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the point
        function()
    return caught.value


@pytest.mark.parametrize(
    ("function", "topic"),
    [
        (lambda: parse(multi=0), "arguments"),
        (lambda: registry.find("nothing"), "models"),
        (lambda: container(Path("a.xyz")), "output"),
        (lambda: choose_colour({"cpu"}), "device"),
        (lambda: models._record("nothing", as_json=False), "weights"),
        (lambda: compare.main(build_parser().parse_args(["compare", "/nothing.mkv", "--models", "builtin"])), "source"),
        (lambda: 1 // 0, "internal"),
        (lambda: Path("/nothing/here").read_bytes(), "output"),
    ],
)
def test_a_topic_follows_from_class_or_module(
    function: Callable[[], object], topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSVFI_COLOUR", "nothing")
    assert topics.topic_of(raised(function)) == topic
    assert topics.topic_of(errors.DeviceMemoryError(1, "cuda", "", "less")) == "memory"
    assert topics.topic_of(vs.Error("x")) == "clip"


def test_a_message_of_a_script_ends_with_its_topic() -> None:
    clip = vs.core.std.BlankClip(length=2)
    with pytest.raises(vs.Error, match=r"^interpolate: multi=0, .* \(help: vsvfi explain arguments\)$"):
        vsvfi.interpolate(clip, multi=0)
    frame = frame_error(7, RuntimeError("broken"))
    assert str(frame) == "interpolate: frame 7: broken (help: vsvfi explain frames)"
    assert str(frame_error(8, frame)) == str(frame), "once"
    interlaced = explain_vspipe(["interpolate: the clip is interlaced; x (help: vsvfi explain clip)"], "exit code 1")
    assert interlaced.startswith("interpolate: the video is interlaced; deinterlace it")
    assert interlaced.endswith(" (help: vsvfi explain clip)")


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        (None, "(help: vsvfi explain output)"),
        ("https://example.org/vsvfi", "(https://example.org/vsvfi/troubleshooting.html#output)"),
    ],
)
def test_a_message_of_a_command_ends_with_its_topic_once(
    site: str | None, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: object) -> int:
        raise errors.VsvfiError(topics.with_help("vspipe: it failed", raised(lambda: container(Path("a.xyz")))))

    monkeypatch.setattr(topics, "documentation", lambda: site)
    monkeypatch.setattr(models, "main", fail)
    assert cli.main(["models"]) == 1
    assert capsys.readouterr().err == f"vsvfi: vspipe: it failed {expected}\n"


def test_the_site_is_that_of_the_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    class Metadata:
        def get_all(self, name: str) -> list[str]:
            assert name == "Project-URL"
            return ["Source, https://example.org/code", "Documentation, https://example.org/vsvfi/"]

    topics.documentation.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(topics.importlib.metadata, "metadata", lambda name: Metadata())
        assert topics.documentation() == "https://example.org/vsvfi"
    topics.documentation.cache_clear()


def test_explain_prints_remedies(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == NAMES
    assert cli.main(["explain", "Memory"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Memory has run out, or would\n\nIn this order: `scale=0.5`")
    assert "](" not in out
    assert cli.main(["explain", "memroy"]) == 2
    assert "did you mean memory?" in capsys.readouterr().err
