# Sourced by the scripts beside it: makes a virtual environment that holds this checkout and what a script needs.
#
#     PYTHON         the interpreter, 3.11 or newer (python3)
#     XPGRAPH_VENV   the environment's folder (.venv in the root); one that is there already is used as it is
#     XPGRAPH_TORCH  pip's words for PyTorch, options included. On Linux, the wheel of the package index may bring
#                    gigabytes of CUDA packages; a CPU build does all that the tests ask.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${XPGRAPH_VENV:-$root/.venv}
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
read -ra torch <<<"${XPGRAPH_TORCH:-torch==2.13.0}"

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# setup EXTRAS [WORDS FOR PIP...]: install the checkout with these extras, unless that was done and nothing changed.
setup() {
    local extras=$1 python=${PYTHON:-python3} key stamp
    shift
    command -v "$python" >/dev/null || fail "there is no $python here; install Python 3.11 or newer, or set PYTHON."
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is $("$python" --version 2>&1); xpgraph needs 3.11 or newer: PYTHON=python3.12 $0"
    key=$("$python" -c 'import sys; print(sys.version, sys.base_prefix)' | cat - "$root/pyproject.toml" | cksum)
    stamp=$venv/.xpgraph-${extras//,/-}
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$key $*" ] && [ -x "$venv/bin/python" ]; then
        return
    fi
    interpreter "$python"
    echo "$(basename "$0"): installing .${extras:+[$extras]} into $venv" >&2
    (cd "$root" && "$venv/bin/python" -m pip install -q -e ".${extras:+[$extras]}" "$@")
    echo "$key $*" >"$stamp"
}

# An environment that these scripts made follows the interpreter; another one stays as it is.
interpreter() {
    local made="$venv/.xpgraph-made" wanted
    wanted=$("$1" -c 'import sys; print(sys.version, sys.base_prefix)')
    if [ -f "$made" ]; then
        if [ "$(cat "$made")" = "$wanted" ] && "$venv/bin/python" -c 'import pip' 2>/dev/null; then return; fi
        rm -rf "$venv"
    elif [ -x "$venv/bin/python" ]; then
        return
    elif [ -e "$venv" ]; then
        fail "$venv is there and is no virtual environment; move it away, or set XPGRAPH_VENV."
    fi
    mkdir -p "$venv"
    echo "unfinished" >"$made"
    "$1" -m venv "$venv" || fail "could not make $venv; on Debian and Ubuntu, install python3-venv first."
    echo "$wanted" >"$made"
}

# oldest NAMES...: pip's words for the oldest version of each that pyproject.toml declares.
oldest() {
    local name
    for name; do
        sed -n "s/^ *\"$name>=\([0-9.]*\)\".*/$name==\1/p" "$root/pyproject.toml"
    done | tr '\n' ' '
}
