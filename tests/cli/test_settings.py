"""`vsvfi.toml`: where it is read from, what it may say, and that the command line comes first."""

from __future__ import annotations

import argparse
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from vsvfi import cli
from vsvfi.cli import config, doctor, models, render
from vsvfi.cli.defaults import apply_settings, report_settings
from vsvfi.cli.parser import build_parser, subparsers, with_defaults
from vsvfi.errors import ArgumentError


class Folders:
    """A user's file and a folder with a video."""

    def __init__(self, path: Path) -> None:
        self.user, self.beside = path / "user.toml", path / "videos" / "vsvfi.toml"
        self.video = self.beside.with_name("a.mkv")
        self.beside.parent.mkdir()
        self.user.touch()

    def render(self, *arguments: str) -> argparse.Namespace:
        """The options of `vsvfi render` for the video."""
        argv = ["render", str(self.video), "-o", "b.mkv", *arguments]
        parsed = with_defaults(build_parser().parse_args(argv))
        self.notes = apply_settings(parsed, argv)
        return parsed


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    found = Folders(tmp_path)
    monkeypatch.setenv("VSVFI_CONFIG", str(found.user))
    return found


def test_the_command_line_comes_before_the_file_beside_before_the_users_before_what_is_built_in(
    folders: Folders,
) -> None:
    folders.user.write_text('[render]\nmodel = "rife"\ncrf = 16\npreset = "slow"\n[frames]\nmodel = "ifrnet"\n')
    folders.beside.write_text("[render]\ncrf = 17.5\npreset = 'fast'\n")
    found = folders.render("--preset", "medium")
    assert (found.model, found.crf, found.preset, found.scale) == ("rife", 17.5, "medium", None)
    assert folders.notes == [
        (f"settings of {folders.user}: model=rife", True),
        (f"settings of {folders.beside}: crf=17.5", False),
    ]
    found = folders.render("--no-config", "--preset", "medium")
    assert (found.model, found.crf, found.preset, folders.notes) == (None, None, "medium", [])


@pytest.mark.parametrize(
    ("user", "beside", "given", "expected"),
    [
        ("multi = 4", "", "--fps 60", {"multi": None, "fps": "60"}),
        ("multi = 4", "fps = 50", "", {"multi": None, "fps": "50"}),
        ("fps = 60", "", "-a multi=3", {"fps": None, "arg": ["multi=3"]}),
        ("fps = 60", "", "--slow 4", {"fps": None, "slow": "4"}),
        ("workers = 2", "", "--no-job", {"workers": None, "no_job": True}),
        ("vfr = true", "", "", {"vfr": True}),
        ("[render.arg]\nscene = 'off'\nstreams = 2", "", "--scene props", {"scene": "props", "arg": ["streams=2"]}),
        ("[render.arg]\nscene = 'off'", "[render.arg]\nscene = 'props'", "", {"arg": ["scene=props"]}),
        ("[render.arg]\nscene = 'off'", "", "-a scene=props", {"arg": ["scene=props"]}),
        ("verbose = 1", "", "-q", {"quiet": True, "verbose": 0}),
    ],
)
def test_what_contradicts_a_given_option_is_left_out(
    user: str, beside: str, given: str, expected: dict[str, Any], folders: Folders
) -> None:
    folders.user.write_text(f"[render]\n{user}\n")
    folders.beside.write_text(f"[render]\n{beside}\n")
    assert vars(folders.render(*given.split())) | expected == vars(folders.render(*given.split()))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[render]\nmodell = 'rife'", "render.modell='rife', is not an option of vsvfi render; did you mean model?"),
        ("[rendre]\n", r"rendre={}, is not a command or an option of all commands; did you mean render\?"),
        ("qiet = true", "qiet=True, is not a command or an option of all commands; did you mean quiet?"),
        ("[doctor]\n", r"doctor={}, is not a command"),
        ("render = 1", "render=1, must be a table; write"),
        ("[render]\nxyzzy = 1", "is not an option of vsvfi render; known are arg, chunk, crf,"),
        ("[render]\ncrf = 'high'", "render.crf='high', does not fit .ArgumentTypeError: 'high' is not a number.; corr"),
        ("[render]\ngaps = 'jump'", "render.gaps='jump', must be one of refuse, close, fill; correct it"),
        ("[render]\nvfr = 1", "render.vfr=1, must be true or false"),
        ("[render]\nmodel = ['rife']", "render.model=.'rife'., must be text or a number"),
        ("[render]\noutput = 'a.mkv'", "render.output='a.mkv', is for a single run; remove it"),
        ("[render]\noverwrite = true", "render.overwrite=True, is for a single run; remove it"),
        (
            "[render.arg]\nscene_treshold = 1",
            "arg.scene_treshold=1, is not an argument of interp.*mean scene_threshold",
        ),
        ("verbose = 3", "verbose=3, must be 0, 1 or 2"),
        ("[render", r"is no TOML \(TOMLDecodeError: "),
        ("#" * (1 << 20) + "\n", "is larger than 1 MiB"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_file(text: str, told: str, folders: Folders) -> None:
    folders.user.write_text(text)
    with pytest.raises(ArgumentError, match=told) as caught:
        folders.render()
    assert str(folders.user) in str(caught.value)
    assert cli.main(["models"]) == 2, "also where another command is run"


@pytest.mark.parametrize("option", ["filter", "encoder-args", "log-file", "scheduler", "weights", "job", "timecodes"])
def test_a_file_beside_a_video_may_name_no_files_or_programs(option: str, folders: Folders) -> None:
    text = f"{'' if option == 'log-file' else '[render]'}\n{option} = 'x'\n"
    folders.user.write_text(text)
    assert str(getattr(folders.render(), option.replace("-", "_"))) == "x"
    folders.beside.write_text(text)
    with pytest.raises(ArgumentError, match=f"{option}='x', may not be set by a file beside a video"):
        folders.render()


def test_a_file_beside_a_video_may_not_pass_weights_as_an_argument(folders: Folders) -> None:
    folders.beside.write_text("[render.arg]\nweights = 'x'\n")
    with pytest.raises(ArgumentError, match="weights='x', may not be set by a file beside a video"):
        folders.render()


def test_every_option_that_names_a_file_is_refused_there() -> None:
    for name, parser in subparsers(build_parser()).items():
        for action in parser._actions:
            if action.option_strings and action.type is Path:
                assert action.dest in config.PRIVATE | config.NEVER, f"{name}: {action.dest}"


def test_the_settings_of_a_command_reach_it(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[argparse.Namespace] = []
    monkeypatch.setattr(render, "main", lambda arguments: seen.append(arguments) or 0)
    folders.beside.write_text("[render]\nfps = 60\n")
    assert cli.main(["render", str(folders.video), "-o", "b.mkv"]) == 0
    assert seen[0].fps == "60"
    assert capsys.readouterr().err == f"settings of {folders.beside}: fps=60\n"


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CONFIG_HOME": "/c"}, "/c/vsvfi/vsvfi.toml"),
        ("linux", {"XDG_CONFIG_HOME": "relative"}, "/h/.config/vsvfi/vsvfi.toml"),
        ("darwin", {}, "/h/Library/Application Support/vsvfi/vsvfi.toml"),
        ("win32", {"APPDATA": "/r"}, "/r/vsvfi/vsvfi.toml"),
        ("win32", {}, "/h/AppData/Roaming/vsvfi/vsvfi.toml"),
    ],
)
def test_the_users_file_is_in_the_folder_of_each_system(
    platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VSVFI_CONFIG", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(config.sys, "platform", platform)
    monkeypatch.setattr(config.Path, "home", lambda: Path("/h"))
    assert config.user_file() == Path(PurePosixPath(expected))


def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VSVFI_CONFIG", "/nothing/here.toml")
    assert cli.main(["models"]) == 2
    assert "VSVFI_CONFIG='/nothing/here.toml', does not exist; correct it, or unset it" in capsys.readouterr().err
    assert cli.main(["models", "--no-config"]) == 0
    (entry,) = report_settings()
    assert "does not exist" in entry["fault"]


def test_doctor_shows_the_settings_and_what_is_wrong_with_them(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders.video.parent)
    folders.user.write_text("verbose = 1\n[render]\nencoder-args = '-tune film'\n")
    folders.beside.write_text("[render]\nfilter = 'x.vpy'\n")
    own, beside = report_settings()
    assert own["values"] == {"all": {"verbose": "1"}, "render": {"encoder-args": "-tune film"}}
    assert "may not be set by a file beside a video" in beside["fault"]
    text = "\n".join(doctor._settings([own, beside]))
    assert f"{folders.user}\n    all: verbose=1\n    render: encoder-args=-tune film\n" in text
    assert "    WRONG: " in text
    folders.user.unlink()
    monkeypatch.delenv("VSVFI_CONFIG")
    monkeypatch.setattr(config, "_platform_folder", lambda: folders.user.parent)
    folders.beside.unlink()
    assert doctor._settings(report_settings())[1:] == [f"  {folders.user.with_name('vsvfi.toml')} (not there)"]


def test_models_that_are_listed_verbosely_show_where_they_are(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    folders.user.write_text("verbose = 1\n")
    assert cli.main(["models"]) == 0
    assert "hub:" in capsys.readouterr().out
    assert models.HELP
