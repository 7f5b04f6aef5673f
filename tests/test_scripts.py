"""The shell scripts: finding Python, installing once, clear errors; and a small demo from start to end."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.media_files import flash_video, listing, packets
from vsvfi.cli.bench import write_random_weights

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(
    os.name == "nt", reason="these are shell scripts; the README tells what to do on Windows"
)

TOOLS = (
    "bash",
    "dirname",
    "basename",
    "readlink",
    "sort",
    "cat",
    "cut",
    "df",
    "awk",
    "sha256sum",
    "grep",
    "tail",
    "mkdir",
    "chmod",
)

# A Python that judges itself fit, makes environments of copies of itself, installs by writing down what it was asked,
# and runs nothing.
PYTHON = """#!/usr/bin/env bash
here="$(cd "$(dirname "$0")" && pwd)"
case "$*" in
    -) exit {verdict} ;;
    -VV) echo "Python 3.13.0 (stand-in)" ;;
    -V) echo "Python {version}" ;;
    "-m venv --clear "*) mkdir -p "$4/bin"; cat "$0" > "$4/bin/python"
        printf '#!/usr/bin/env bash\\necho vspipe' > "$4/bin/vspipe"; chmod +x "$4/bin/"* ;;
    "-m pip install"*) echo "$*" >> "$here/../pip-calls"; {pip} ;;
    *) echo "ran: $*" ;;
esac
"""


class Checkout:
    """A checkout that holds only the scripts, in a folder whose name has a space.

    Its PATH holds only the programs put there.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a check out"
        self.programs = folder / "programs"
        self.home = folder / "home"
        for made in (self.root, self.programs, self.home):
            made.mkdir()
        (self.root / "pyproject.toml").write_text("[project]\n")
        shutil.copytree(
            ROOT / "scripts", self.root / "scripts", ignore=shutil.ignore_patterns("__pycache__", "train", "evaluate")
        )
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, tool
            (self.programs / tool).symlink_to(found)

    def program(self, name: str, text: str) -> Path:
        path = self.programs / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def python(self, name: str = "python3.13", *, verdict: int = 0, pip: str = "exit 0") -> None:
        self.program(name, PYTHON.format(verdict=verdict, pip=pip, version="3.11.2" if verdict == 3 else "3.13.0"))

    def run(self, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.programs), "HOME": str(self.home), "CI": "true", **variables}
        command = [str(self.programs / "bash"), script, *arguments]
        return subprocess.run(
            command,
            cwd=self.home,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def demo(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.root / "scripts" / "demo"), *arguments, **variables)

    def installs(self) -> list[str]:
        calls = self.root / ".venv" / "pip-calls"
        return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The last line on stderr of a run that failed and wrote nothing else of note."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    return done.stderr.strip().splitlines()[-1]


def test_set_up_installs_once_and_hands_over(checkout: Checkout) -> None:
    checkout.python()
    first = checkout.demo("a film.mkv", "--fps", "60")
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"ran: {checkout.root}/scripts/demo_video.py a film.mkv --fps 60\n"
    assert [call.rpartition(" ")[2] for call in checkout.installs()] == [".[video]"]
    assert checkout.demo().stderr == ""
    assert len(checkout.installs()) == 1


def test_the_tests_install_more_and_the_demo_is_content_with_it(checkout: Checkout) -> None:
    checkout.python()
    checkout.program("../a check out/scripts/check", '#!/usr/bin/env bash\necho checked "$@"\n')
    assert checkout.run(str(checkout.root / "scripts" / "test"), "-k", "x").stdout == "checked -k x\n"
    checkout.demo()
    assert [call.rpartition(" ")[2] for call in checkout.installs()] == [".[dev,docs,video]"]


def test_changed_requirements_are_installed(checkout: Checkout) -> None:
    checkout.python()
    checkout.demo()
    (checkout.root / "pyproject.toml").write_text("[project]\n# more\n")
    checkout.demo()
    assert len(checkout.installs()) == 2


def test_called_through_a_link(checkout: Checkout, tmp_path: Path) -> None:
    checkout.python()
    (tmp_path / "link").symlink_to(checkout.root / "scripts" / "demo")
    (tmp_path / "again").symlink_to("link")
    assert checkout.run(str(tmp_path / "again")).stdout.startswith(f"ran: {checkout.root}/scripts/demo_video.py")


def test_no_python_is_one_sentence(checkout: Checkout) -> None:
    assert sentence(checkout.demo()).startswith("demo: no Python 3.12 or newer was found; install one")


def test_an_old_python_is_passed_over(checkout: Checkout) -> None:
    checkout.python("python3", verdict=3)
    told = sentence(checkout.demo())
    assert "no Python 3.12 or newer was found" in told
    assert told.endswith(f"Found: {checkout.programs}/python3, Python 3.11.2.")
    checkout.python("python3.12")
    assert checkout.demo().returncode == 0


@pytest.mark.parametrize(
    ("verdict", "told"),
    [(4, "lacks the venv module; install it"), (5, "has no shared library, which vspipe needs; install it")],
)
def test_an_incomplete_python_is_named(checkout: Checkout, verdict: int, told: str) -> None:
    checkout.python("python3", verdict=verdict)
    assert told in sentence(checkout.demo())


def test_pyenvs_versions_are_found(checkout: Checkout) -> None:
    folder = checkout.home / ".pyenv" / "versions" / "3.13.0" / "bin"
    folder.mkdir(parents=True)
    checkout.python("stand-in")
    (folder / "python3").symlink_to(checkout.programs / "stand-in")
    assert checkout.demo().returncode == 0


def test_the_chosen_python_must_fit(checkout: Checkout) -> None:
    checkout.python("mine", verdict=3)
    checkout.python()
    assert "is not a Python 3.12 or newer" in sentence(checkout.demo(PYTHON=str(checkout.programs / "mine")))
    assert not (checkout.root / ".venv").exists()


def test_no_network_is_one_sentence_and_is_tried_again(checkout: Checkout) -> None:
    checkout.python(pip="echo 'ERROR: NewConnectionError: Temporary failure in name resolution' >&2; exit 1")
    assert sentence(checkout.demo()).startswith("demo: packages could not be downloaded; check the network")
    sentence(checkout.demo())
    assert len(checkout.installs()) == 2


def test_any_other_failure_of_pip_is_quoted(checkout: Checkout) -> None:
    checkout.python(pip="echo 'ERROR: no wheel for this' >&2; exit 1")
    assert "installing failed: ERROR: no wheel for this" in sentence(checkout.demo())


def test_a_full_disk_is_one_sentence(checkout: Checkout) -> None:
    checkout.python(pip="echo 'OSError: [Errno 28] No space left on device' >&2; exit 1")
    assert "the disk filled up while installing" in sentence(checkout.demo())


def test_too_small_a_disk_is_told_before_anything_is_downloaded(checkout: Checkout) -> None:
    checkout.python()
    checkout.program(
        "df", "#!/usr/bin/env bash\nprintf 'Filesystem 1024-blocks Used Available\\n/dev/x 9 9 2097152 1%% /\\n'"
    )
    assert "only 2 GiB are free" in sentence(checkout.demo())
    assert checkout.installs() == []


def test_an_environment_that_broke_is_made_anew(checkout: Checkout) -> None:
    checkout.python()
    checkout.demo()
    (checkout.root / ".venv" / "bin" / "python").write_text("#!/no/such/program\n")
    done = checkout.demo()
    assert done.returncode == 0
    assert "no longer works and is made anew" in done.stderr


UV = """#!/usr/bin/env bash
[[ $1 == python ]] || echo "$*" >> "{log}"
case "$*" in
    "venv "*) mkdir -p "{root}/.venv-minimum/bin"
              printf '#!/bin/sh\\necho "tests: $*"\\n' > "{root}/.venv-minimum/bin/python"
              chmod +x "{root}/.venv-minimum/bin/python" ;;
    *"--torch-backend cpu"*) echo "error: no such index" >&2; exit 1 ;;
    "pip install"*) {install} ;;
esac
"""


def minimum(checkout: Checkout, *, install: str = "exit 0") -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """A run of scripts/minimum with a stand-in for uv, and what that was asked."""
    log = checkout.home / "uv-calls"
    log.unlink(missing_ok=True)
    checkout.python()
    checkout.program("uv", UV.format(log=log, root=checkout.root, install=install))
    for tool in ("timeout", "env"):
        (checkout.programs / tool).unlink(missing_ok=True)
        (checkout.programs / tool).symlink_to(str(shutil.which(tool)))
    done = checkout.run(str(checkout.root / "scripts" / "minimum"))
    return done, log.read_text().splitlines() if log.exists() else []


def test_the_lowest_versions_are_installed_once(checkout: Checkout) -> None:
    done, asked = minimum(checkout)
    assert done.stdout.startswith("tests: -m pytest -m minimum"), done
    assert "--resolution lowest-direct" in asked[1]
    assert [("--torch-backend" in call) for call in asked[2:]] == [True, False]
    again, asked = minimum(checkout)
    assert (again.stdout, asked) == (done.stdout, [])
    (checkout.root / "pyproject.toml").write_text("[project]\n# more\n")
    assert len(minimum(checkout)[1]) == 4


def test_lowest_versions_that_cannot_be_had_are_skipped_with_a_reason(checkout: Checkout) -> None:
    done, _ = minimum(checkout, install="echo 'error: Failed to fetch' >&2; exit 1")
    assert done.returncode == 75
    assert done.stdout == "skipped: the lowest versions could not be installed (error: Failed to fetch)\n"
    done, asked = minimum(checkout, install="exit 1")
    assert (done.returncode, len(asked)) == (75, 4)  # tried again
    checkout.program(
        "df", "#!/usr/bin/env bash\nprintf 'Filesystem 1024-blocks Used Available\\n/dev/x 9 9 2097152 1%% /\\n'"
    )
    done, _ = minimum(checkout)
    assert "only 2 GiB are free" in done.stdout


def test_without_uv_the_lowest_versions_are_skipped(checkout: Checkout) -> None:
    done = checkout.run(str(checkout.root / "scripts" / "minimum"))
    assert (done.returncode, done.stdout) == (75, "skipped: uv is not installed, which resolves the lowest versions\n")


def test_the_real_judge_knows_this_python() -> None:
    script = f'source "{ROOT}/scripts/environment.sh"; _judge_python "{sys.executable}"'
    assert subprocess.run(["bash", "-c", script], check=False).returncode == 0


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    write_random_weights("ifrnet_s", path)
    return path


def demo(folder: Path, *arguments: object) -> list[str]:
    """Lines that the demo prints."""
    command = [
        sys.executable,
        ROOT / "scripts" / "demo_video.py",
        *arguments,
        "--folder",
        folder,
        "--preset",
        "ultrafast",
        "--device",
        "cpu",
    ]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def png_size(path: Path) -> tuple[int, ...]:
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", data[16:24])


def test_the_demo_of_a_drawn_clip(tmp_path: Path, weights: Path) -> None:
    lines = demo(tmp_path / "out", "--size", "96x64", "--length", 12, "--model", "ifrnet_s", "--weights", weights)
    assert lines[0] == "in      a clip that vsvfi drew: 12 frames at 24 fps"
    assert "24 frames at 48 fps" in lines[1]
    assert any(line.startswith("truth") and "dB on average" in line for line in lines)
    assert len(packets(tmp_path / "out" / "demo.mkv", "0:v:0")) == 24
    assert png_size(tmp_path / "out" / "demo.png") == (4 * 96 + 3 * 4, 64)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"demo.mkv", "demo.png"}


def test_the_demo_of_a_video_keeps_its_audio(tmp_path: Path, weights: Path) -> None:
    video = flash_video(tmp_path / "in.mkv", seconds=1.0, rate="25")
    demo(tmp_path / "out", video, "--model", "ifrnet_s", "--weights", weights)
    output = tmp_path / "out" / "demo.mkv"
    assert "Audio: flac" in listing(output)
    (video, video_length), (audio, audio_length) = (packets(output, stream)[-1] for stream in ("0:v:0", "0:a:0"))
    assert abs(video + video_length - audio - audio_length) < 0.05
    assert len(packets(output, "0:v:0")) == 50
    assert png_size(tmp_path / "out" / "demo.png") == (3 * 96 + 2 * 4, 64)


def test_the_demo_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    command = [
        sys.executable,
        ROOT / "scripts" / "demo_video.py",
        tmp_path / "absent.mkv",
        "--folder",
        tmp_path / "out",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.strip() == f"demo: {tmp_path / 'absent.mkv'} is not a file; give the video to interpolate"
