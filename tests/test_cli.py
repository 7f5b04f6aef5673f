"""The command line: what it prints where, and what it returns."""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from torch import Tensor

import vsvfi
from tests import fakes
from tests.fake_hub import FakeHub, running
from vsvfi import cli
from vsvfi.cli import doctor, models
from vsvfi.cli.parser import COMMANDS
from vsvfi.models.family import Variant
from vsvfi.weights.source import Source, Url

CONTENT = save({"weight": np.arange(100, dtype=np.float32)})


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    code = cli.main(arguments)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A server, and a user who may download from it into a cache of his own."""
    monkeypatch.setenv("VSVFI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in ("VSVFI_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    with running() as server:
        yield server


def offer(monkeypatch: pytest.MonkeyPatch, **sources: Source) -> None:
    """Models with these weights, beside the registered ones."""
    real = models.registry.find

    def find(name: str) -> tuple[object, Variant]:
        return (
            (None, Variant(name=name, config={}, sources=(sources[name],), licence="a licence"))
            if name in sources
            else real(name)
        )

    monkeypatch.setattr(models.registry, "find", find)


def test_models_lists_every_model(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # parallel test processes have it
    code, out, err = run(capsys, "models")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].split() == ["NAME", "FAMILY", "SIZE", "TIMES", "INSTALLED", "LICENCE", "NOTE"]
    assert [line.split()[0] for line in lines[1:]] == [model.name for model in vsvfi.list_models()]
    assert len(lines) > 6
    row = next(line for line in lines if line.startswith("ifrnet_gopro "))
    assert "19.9 MB" in row
    assert "MIT" in row


def test_models_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "models", "--json")
    assert (code, err) == (0, "")
    listed = {entry["name"]: entry for entry in json.loads(out)}
    assert list(listed) == [model.name for model in vsvfi.list_models()]
    assert listed["ifrnet"]["timesteps"] == "half"
    assert listed["ifrnet"]["parameters"] == 4_959_692


def test_models_fetch_brings_every_named_model(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, one=Url(url=hub.add("/one.pth", CONTENT)), two=Url(url=hub.add("/two.pth", CONTENT)))
    code, out, err = run(capsys, "models", "fetch", "one", "two")
    fetched = dict(line.split("\t") for line in out.splitlines())
    assert code == 0
    assert {name: Path(path).read_bytes() for name, path in fetched.items()} == {"one": CONTENT, "two": CONTENT}
    assert "licence: a licence" in err
    assert run(capsys, "models", "fetch", "one") == (0, out.splitlines()[0] + "\n", "")


def test_a_wrong_name_stops_before_the_first_download(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, one=Url(url=hub.add("/one.pth", CONTENT)))
    code, out, err = run(capsys, "models", "fetch", "one", "ifrnett")
    assert (code, out) == (2, "")
    assert err.startswith("vsvfi: model='ifrnett', is not a known model; did you mean ifrnet")
    assert err.count("\n") == 1
    assert hub.requests == []


def test_a_failure_is_one_line(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, gone=Url(url=hub.url + "/gone.pth"))
    code, out, err = run(capsys, "models", "fetch", "gone")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith(
        f"vsvfi: model='gone', the weights could not be downloaded ({hub.url}/gone.pth: HTTP 404 Not Found)"
    )


def test_a_model_that_is_fetched_by_hand_says_how(
    hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "models", "fetch", "ldmvfi")
    assert (code, out) == (1, "")
    assert "download ldmvfi-vqflow-f32-c256-concat_max.ckpt (3.4 GB) from https://drive.google.com/" in err
    place = tmp_path / "cache" / "by-hand" / "ldmvfi-vqflow-f32-c256-concat_max.ckpt"
    assert err.endswith(f"put it at {place} (help: vsvfi explain weights)\n")


def test_the_networks_of_metrics_are_fetched_by_the_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vsvfi.metrics import weights

    assert set(models._METRICS) == set(weights.OF_METRICS)
    with monkeypatch.context() as patched:
        patched.setattr(weights, "fetch", lambda name, sources, **further: tmp_path / str(name))
        code, out, _ = run(capsys, "models", "fetch", "lpips", "fid")
    assert code == 0
    names = ["AlexNet (LPIPS)", "LPIPS heads", "InceptionV3 (FID)"]
    assert out.splitlines() == [f"{name}\t{tmp_path / name}" for name in names]
    monkeypatch.setenv("VSVFI_OFFLINE", "1")
    code, out, err = run(capsys, "models", "fetch", "flolpips")
    assert (code, out) == (1, "")
    assert err.startswith("vsvfi: AlexNet (LPIPS): its weights are not on this machine and downloads are off")


@pytest.mark.parametrize(
    ("arguments", "problem", "remedy"),
    [
        (["rendr"], "argument COMMAND: invalid choice: 'rendr'", "did you mean render? see 'vsvfi --help'"),
        (["nothing"], "argument COMMAND: invalid choice: 'nothing'", "see 'vsvfi --help'"),
        (["models", "fetch"], "the following arguments are required: NAME", "see 'vsvfi models fetch --help'"),
        (["models", "--zzz"], "unrecognized arguments: --zzz", "see 'vsvfi models --help'"),
        (
            ["render", "a", "-o", "b", "--modle", "rife"],
            "unrecognized arguments: --modle rife",
            "did you mean --model? see 'vsvfi render --help'",
        ),
    ],
)
def test_wrong_usage_is_explained_on_stderr(
    arguments: list[str], problem: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    shown = capsys.readouterr()
    assert caught.value.code == 2
    assert shown.out == ""
    assert shown.err.startswith(f"vsvfi: {problem}")
    assert shown.err.endswith(f"; {remedy} (help: vsvfi explain arguments)\n")
    assert shown.err.count("\n") == 1


def test_no_command_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert (code, out) == (2, "")
    assert err.startswith("usage: vsvfi")
    assert "interpolate a video file and encode it" in err


def test_every_command_is_listed_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    listed = " ".join(capsys.readouterr().out.split())
    for name in COMMANDS:
        assert importlib.import_module(f"vsvfi.cli.{name}").HELP in listed
        with pytest.raises(SystemExit) as caught:
            cli.main([name, "--help"])
        assert caught.value.code == 0


def test_an_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "list_models", interrupted)
    assert run(capsys, "models") == (130, "", "")


def test_a_reader_that_leaves_early_is_no_error_of_ours() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "vsvfi", "models"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_commands_are_light() -> None:
    """Listing the models, and the help of every command, need neither torch nor VapourSynth."""
    script = "import sys; from vsvfi.cli import main; main(['models']); "
    script += "print([name for name in ('torch', 'vapoursynth') if name in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == "[]\n"
    assert "ifrnet" in done.stdout


# --- doctor


def test_doctor_runs_a_real_model(
    fake_family: fakes.Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also: the fake network prints to stdout while it is imported, which must not get into the report."""
    monkeypatch.setattr(
        vsvfi, "load_model", functools.partial(vsvfi.load_model, weights=fake_family.weights), raising=False
    )
    code, out, err = run(capsys, "doctor", "--json", "--model", "fake", "--device", "cpu")
    report = json.loads(out)
    assert code == 0
    assert "a noisy library" in err
    test = report["self_test"]
    assert (test["passed"], test["fault"], test["device"]) == (True, None, "cpu")
    assert 0 < test["error"] < 0.02
    assert test["seconds"] > 0
    assert fake_family.counts()["synthesise"] == 2
    assert (
        report["versions"]["torch"] == torch.__version__.split("+")[0]
        or report["versions"]["torch"] == torch.__version__
    )
    assert report["devices"][-1]["device"] == "cpu"
    assert {"programs", "source_filters", "encoders"} <= report.keys()
    assert report["colour"] == {"path": "zimg", "reason": "the default on cpu"}
    assert [backend["name"] for backend in report["operators"]] == [
        "reference",
        "llvmlite",
        "nvrtc",
        "cupy",
        "mamba_ssm",
    ]


def test_doctor_for_a_person(
    fake_family: fakes.Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        vsvfi, "load_model", functools.partial(vsvfi.load_model, weights=fake_family.weights), raising=False
    )
    monkeypatch.setenv("VSVFI_COLOUR", "gpu")
    code, out, _ = run(capsys, "doctor", "--model", "fake", "--device", "cpu")
    assert code == 0
    for line in (
        "  vsvfi            " + vsvfi.__version__,
        "  reference        yes: plain torch, runs anywhere",
        "Programs\n  vspipe           R",
        "  none             VSVFI_COLOUR='gpu', must be 'auto', 'device' or 'zimg'; unset it",
        "  fake             passed in ",
        "\nMissing\n  ",
    ):
        assert line in out


def test_doctor_ends_with_what_is_missing() -> None:
    """A line each, with a remedy; an optional package is none of them."""
    there = {"missing": None, "path": "/bin/x"}
    report: dict[str, Any] = {
        "versions": {"torch": "2.14", "numpy": "2.0, broken: ImportError: x", "vapoursynth": None, "av": None},
        "programs": [there, {"missing": "ffmpeg was not found; install it", "path": None}],
        "source_filters": [there],
        "encoders": [{"missing": "there is no ffmpeg; see above", "path": None}],
        "self_test": {"passed": False, "fault": "no kernel image"},
    }
    found = doctor.missing(report)
    assert found == [
        "numpy 2.0, broken: ImportError: x; install it again",
        "vapoursynth; pip install vapoursynth",
        'av (PyAV), which reads and checks video files; pip install "vsvfi[video]"',
        "ffmpeg was not found; install it",
        'a video encoder; pip install "vsvfi[video]"',
        "a working model: no kernel image",
    ]
    fine = {"versions": dict.fromkeys(("torch", "numpy", "vapoursynth", "av"), "9"), "self_test": {"passed": True}}
    assert doctor.missing({**fine, **{key: [there] for key in ("programs", "source_filters", "encoders")}}) == []


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda image: image * float("nan"), "the result holds NaN or infinity"),
        (lambda image: image * 2, "must stay in [0, 1]"),
        (lambda image: image - 0.7, "must stay in [0, 1]"),
        (lambda image: image[..., 1:], "has the shape [1, 3, 64, 95], must be [1, 3, 64, 96]"),
    ],
)
def test_doctor_looks_at_the_result(
    spoil: Callable[[Tensor], Tensor], fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Spoilt(SimpleNamespace):
        def __call__(self, first: Tensor, second: Tensor, t: float) -> Tensor:
            return spoil(first)

    monkeypatch.setattr(vsvfi, "load_model", lambda name, device: Spoilt(device=torch.device("cpu")), raising=False)
    code, out, _ = run(capsys, "doctor", "--json")
    test = json.loads(out)["self_test"]
    assert (code, test["passed"]) == (1, False)
    assert fault in test["fault"]
    code, out, _ = run(capsys, "doctor")
    assert code == 1
    assert "builtin          FAILED: the result" in out


@pytest.mark.parametrize(
    "error", [RuntimeError("no kernel image"), vsvfi.errors.DeviceError("cuda", "there is none", "use cpu")]
)
def test_doctor_reports_what_breaks(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(name: str, device: str) -> None:
        raise error

    monkeypatch.setattr(vsvfi, "load_model", broken, raising=False)
    code, out, _ = run(capsys, "doctor", "--json")
    assert code == 1
    assert str(error) in json.loads(out)["self_test"]["fault"]


def test_doctor_survives_a_broken_torch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "vsvfi.engine.device", None)  # an earlier test imported it with a sound torch
    code, out, _ = run(capsys, "doctor")
    assert code == 1
    assert "broken: ModuleNotFoundError" in out
    assert "none: torch does not work here" in out
    assert "Colour conversion\n  none             ModuleNotFoundError" in out
    assert "FAILED: ModuleNotFoundError" in out


def test_doctor_reports_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LISTED", ("no-such-package",))
    assert doctor._versions()["no-such-package"] is None


def test_doctor_refuses_an_unknown_backend(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VSVFI_OPS", "cuda")
    code, out, err = run(capsys, "doctor")
    assert (code, out) == (2, "")
    assert (
        err == "vsvfi: VSVFI_OPS='cuda', is no operator backend; use reference, llvmlite, nvrtc, cupy or mamba_ssm, or "
        "unset it (help: vsvfi explain device)\n"
    )
