"""List what in the Python code depends on the operating system, and check that each has a reason.

    python -m scripts.portability

Found are: functions, flags and modules that only POSIX has; signals that Windows lacks; paths such as /proc; programs
that are started, and options of that which are POSIX's; replacing, renaming and linking of files; the C library; text
without an encoding, which differs on Windows. `scripts/portability.toml` names each by file with the reason why it is
right everywhere: `guarded` (another way where it is missing), `portable`, or `posix` for what only runs there. Tests
fake the other systems for those that are guarded.
"""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REASONS = ROOT / "scripts" / "portability.toml"

_POSIX_MODULES = frozenset("fcntl grp msvcrt pty pwd resource syslog termios tty winreg".split())  # noqa: SIM905
_OS = frozenset(
    """chmod chown chroot fchmod fork forkpty geteuid getegid getgid getloadavg getpgid getpgrp getuid kill killpg
    link mkfifo nice O_DIRECTORY O_NOFOLLOW O_NONBLOCK openpty posix_fadvise posix_spawn pread pwrite readlink rename
    replace sched_getaffinity sched_setaffinity setpgid setsid setuid statvfs symlink sync sysconf uname wait waitpid
    """.split()  # noqa: SIM905
)
_SIGNALS_EVERYWHERE = frozenset({"SIGINT", "SIGTERM", "SIGABRT", "SIGFPE", "SIGILL", "SIGSEGV"})
_PATHS = ("/proc", "/dev/", "/tmp", "/sys/", "/etc/", "/usr/", "/bin/", "/var/")
_METHODS = frozenset({"symlink_to", "hardlink_to", "readlink", "chmod", "rename"})
_STARTS = frozenset({"Popen", "run", "call", "check_call", "check_output"})
_START_OPTIONS = frozenset({"preexec_fn", "start_new_session", "process_group", "pass_fds", "umask", "user", "group"})


def found(source: str) -> Iterator[str]:
    """Yield the names of what depends on the system in a file's source, each as often as it is there."""
    tree = ast.parse(source)
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (f"import {name.name}" for name in names if name.name in _POSIX_MODULES)
            case ast.ImportFrom(module=str(module)) if module in _POSIX_MODULES:
                yield f"import {module}"
            case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in _OS:
                yield f"os.{name}"
            case ast.Attribute(value=ast.Name(id="signal"), attr=name) if _is_odd_signal(name):
                yield f"signal.{name}"
            case ast.Constant(value=str(text)) if node not in docstrings:
                yield from _of_text(text)
            case ast.Call():
                yield from _of_call(node)
            case ast.Dict(keys=keys):
                yield from (
                    str(key.value) for key in keys if isinstance(key, ast.Constant) and key.value in _START_OPTIONS
                )


def _of_text(text: str) -> Iterator[str]:
    if text.startswith(_PATHS):
        yield text
    elif _is_odd_signal(text) and text.isidentifier():
        yield f"signal.{text}"
    elif text in ("killpg", "O_NONBLOCK", "sched_getaffinity", "posix_fadvise"):
        yield f"os.{text}"


def _of_call(call: ast.Call) -> Iterator[str]:
    """What a call depends on."""
    options = {word.arg: word.value for word in call.keywords if word.arg}
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = call.func.value.id if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) else ""
    if name in _METHODS and owner != "os":
        yield f".{name}()"
    if owner == "subprocess" and name in _STARTS:
        yield f"subprocess.{name}"
        yield from (option for option in options if option in _START_OPTIONS)
        if "shell" in options:
            yield "shell"
        if options.keys() & {"text", "universal_newlines"} and "encoding" not in options:
            yield "text of a program without an encoding"
    if name == "CDLL" and call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value is None:
        yield "ctypes.CDLL(None)"
    if name == "get_context":
        yield "multiprocessing.get_context"
    if _opens_text(name, owner, call, options):
        yield "text without an encoding"


def _opens_text(name: str, owner: str, call: ast.Call, options: Mapping[str, ast.expr]) -> bool:
    """Return whether a call reads or writes text in the system's own encoding."""
    if "encoding" in options:
        return False
    if name == "read_text":
        return not call.args and bool(owner or isinstance(call.func, ast.Attribute))
    if name == "write_text":
        return len(call.args) < 2
    if name not in ("open", "fdopen") or (owner in ("os", "Image", "av", "gzip", "zipfile") and name == "open"):
        return False
    place = 0 if isinstance(call.func, ast.Attribute) and owner != "os" else 1
    mode = options.get("mode") or (call.args[place] if len(call.args) > place else None)
    return mode is None or (isinstance(mode, ast.Constant) and "b" not in str(mode.value))


def _is_odd_signal(name: str) -> bool:
    return name.startswith("SIG") and name.isupper() and "_" not in name and name not in _SIGNALS_EVERYWHERE


def survey() -> dict[str, set[str]]:
    """Return what depends on the system, by file."""
    result: dict[str, set[str]] = defaultdict(set)
    for folder in ("vsvfi", "scripts"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path != Path(__file__):
                for name in found(path.read_text(encoding="utf-8")):
                    result[path.relative_to(ROOT).as_posix()].add(name)
    return dict(result)


def faults(survey: Mapping[str, set[str]], reasons: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return what has no reason, and reasons for what is not there any more."""
    lines = []
    for name in sorted({*survey, *reasons}):
        here, explained = survey.get(name, set()), set(reasons.get(name, {}))
        lines += [
            f"{name}: {what} depends on the system: make it portable, or give a reason" for what in here - explained
        ]
        lines += [f"{name}: {what} is not there any more: remove its reason" for what in explained - here]
    for name, entries in reasons.items():
        for what, reason in entries.items():
            if reason.partition(":")[0] not in ("guarded", "portable", "posix"):
                lines.append(f"{name}: {what}: begin the reason with guarded:, portable: or posix:")
    return sorted(lines)


def main() -> int:
    lines = faults(survey(), tomllib.loads(REASONS.read_text(encoding="utf-8")))
    print("\n".join(lines) or "everything that depends on the system has a reason")
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main())
