# Finds a Python, makes .venv and installs vsvfi into it. Sourced by scripts/demo and scripts/test; knows nothing of what they do then.
#
#   repository              set when sourced: the root of the checkout
#   set_up_environment EXTRA...   afterwards .venv/bin is first on PATH; quick where nothing has changed
#
# PYTHON=/path/to/python chooses the Python. What fails is said in one sentence on stderr.

repository="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
_needed_gib=8 # torch with its CUDA libraries, while pip unpacks them

_say() { printf '%s\n' "$*" >&2; }
_fail() {
    _say "$(basename -- "$0"): $*"
    exit 1
}

# Exit codes: 0 fit, 3 too old, 4 no venv module, 5 no shared library (vspipe loads Python as one), 6 free-threaded.
_judge_python() {
    "$1" - >/dev/null 2>&1 <<'PROGRAM'
import sys
if sys.version_info < (3, 12):
    sys.exit(3)
import importlib.util, pathlib, sysconfig
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit(6)
if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
    sys.exit(4)
folders = [sysconfig.get_config_var(name) for name in ("LIBDIR", "LIBPL", "srcdir")]
names = [sysconfig.get_config_var(name) for name in ("INSTSONAME", "LDLIBRARY")]
multiarch = sysconfig.get_config_var("MULTIARCH")
folders += [f"{folder}/{multiarch}" for folder in folders if folder and multiarch]
found = any(pathlib.Path(folder, name).is_file() for folder in folders if folder for name in names if name and ".so" in name)
sys.exit(0 if found or sys.platform == "darwin" else 5)
PROGRAM
}

_pythons() {
    local name candidate
    for name in python3.14 python3.13 python3.12 python3 python; do
        type -aP "$name" 2>/dev/null || true
    done
    for candidate in "${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}"/versions/*/bin/python3; do
        if [[ -x $candidate ]]; then printf '%s\n' "$candidate"; fi
    done | sort -rV
    command -v uv >/dev/null && uv python find '>=3.12' 2>/dev/null || true
}

_find_python() {
    local candidate code almost="" old=""
    if [[ -n ${PYTHON:-} ]]; then
        _judge_python "$PYTHON" && { printf '%s\n' "$PYTHON"; return; }
        _fail "PYTHON=$PYTHON is not a Python 3.12 or newer with the venv module and a shared library; unset it or choose another."
    fi
    while IFS= read -r candidate; do
        code=0
        _judge_python "$candidate" || code=$?
        case $code in
            0) printf '%s\n' "$candidate"; return ;;
            3) old="${old:- Found: $candidate, $("$candidate" -V 2>&1 | tail -n 1).}" ;;
            4) almost="$candidate is new enough but lacks the venv module; install it (Debian, Ubuntu: apt install python3-venv)." ;;
            5) almost="$candidate is new enough but has no shared library, which vspipe needs; install it (Debian, Ubuntu: apt install libpython3-dev)." ;;
        esac
    done < <(_pythons)
    [[ -z $almost ]] || _fail "$almost"
    _fail "no Python 3.12 or newer was found; install one (Debian 13, Ubuntu 24.04: apt install python3-venv libpython3-dev; others: pyenv or uv) or say PYTHON=/path/to/python3.$old"
}

_make_venv() {
    local venv="$repository/.venv" python code=0
    if [[ -x $venv/bin/python ]]; then
        _judge_python "$venv/bin/python" || code=$?
        [[ $code == 0 || $code == 4 ]] && return
        _say "the environment in .venv no longer works and is made anew"
    fi
    python="$(_find_python)" || exit 1
    if [[ ! -w $repository ]]; then
        _fail "$repository cannot be written to, and .venv must be made there; use a checkout of your own."
    fi
    "$python" -m venv --clear "$venv" >&2 || _fail "no environment could be made with $python; is its venv module complete (Debian, Ubuntu: apt install python3-venv)?"
}

_hash() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c 1-64; }

# What an installation depends on; the same text means there is nothing to do.
_wanted() { { cat "$repository/pyproject.toml"; "$repository/.venv/bin/python" -VV; printf '%s\n' "$repository"; } | _hash; }

_check_disk() {
    local free
    compgen -G "$repository/.venv/lib/python3*/site-packages/torch/version.py" >/dev/null && return
    free="$(df -Pk "$repository" | awk 'NR == 2 { print int($4 / 1048576) }')"
    ((free >= _needed_gib)) || _fail "only $free GiB are free in $repository, and about $_needed_gib GiB are needed to install torch; make room and try again."
}

_install() {
    local log="$repository/.venv/install.log" extras="$1" command
    if command -v uv >/dev/null; then
        command=(uv pip install --compile-bytecode --python "$repository/.venv/bin/python") # pip compiles by itself
    else
        command=("$repository/.venv/bin/python" -m pip install --disable-pip-version-check --no-input --retries 2 --timeout 60)
    fi
    _say "installing vsvfi with $extras into .venv (torch is large: this takes minutes the first time) ..."
    if (cd "$repository" && "${command[@]}" -e ".[$extras]") >"$log" 2>&1 </dev/null; then
        return
    fi
    if grep -qiE 'No space left' "$log"; then
        _fail "the disk filled up while installing; make room (about $_needed_gib GiB) and try again."
    elif grep -qiE 'name resolution|NewConnectionError|ConnectionError|Connection (refused|reset|aborted)|timed out|Max retries|dns error|error sending request|ProxyError|No matching distribution found' "$log"; then
        _fail "packages could not be downloaded; check the network (or proxy) and try again. Details are in .venv/install.log."
    fi
    _fail "installing failed: $(grep -iE '^ *(error|×)' "$log" | tail -n 1 || true) Details are in .venv/install.log."
}

set_up_environment() {
    local wanted extra missing="" joined
    _make_venv
    wanted="$(_wanted)"
    for extra in "$@"; do
        [[ "$(cat "$repository/.venv/.installed-$extra" 2>/dev/null)" == "$wanted" ]] || missing=1
    done
    export PATH="$repository/.venv/bin:$PATH"
    [[ -n $missing ]] || return 0
    _check_disk
    joined="$(IFS=,; printf '%s' "$*")"
    _install "$joined"
    vspipe --version >"$repository/.venv/vspipe.log" 2>&1 </dev/null || _fail "vspipe does not start: $(tail -n 1 "$repository/.venv/vspipe.log")"
    for extra in "$@"; do
        printf '%s\n' "$wanted" >"$repository/.venv/.installed-$extra"
    done
}
