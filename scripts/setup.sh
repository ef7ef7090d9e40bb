#!/usr/bin/env bash
# Makes .venv with the pinned dependencies, once: a second run with nothing changed returns at once.
#
#   make install                      the first Python on PATH that fits
#   make install PYTHON=python3.12    this one
#   NEEDED_GB=3 make install          goes on with less disk than PyTorch with CUDA takes
#
# pip's own settings (an index or a proxy in PIP_* variables or pip.conf) are honoured.
# Exit codes: 1 other, 3 no Python, 4 no venv module, 5 no disk, 6 no index, 7 no wheel, 8 versions in conflict.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly ROOT=$PWD VENV=.venv STAMP=.venv/.installed LOG=.venv/install.log
readonly NEEDED_GB=${NEEDED_GB:-9} # PyTorch with CUDA takes 6 when installed and 3 on its way; without CUDA 3 will do.
readonly SEARCHED=(python3.11 python3.12 python3.13 python3.14 python3 python)

main() {
    if ! is_current; then install; fi
    # Without a compiler int8 is slower; everything else is the same.
    "$VENV/bin/python" -m pipelines.engine.kernels.build || true
}

install() {
    if ! is_usable; then
        check_disk
        make_venv
    fi
    echo "Installing the pinned dependencies into $VENV; the first time takes some minutes."
    rm -f "$LOG"
    # The build's own requirement first and alone: a small package that shows whether an index answers.
    pip_install --retries 2 setuptools
    pip_install --no-build-isolation --editable '.[train,dev]'
    stamp >"$STAMP"
}

# The folder is part of the stamp: scripts in a virtual environment hold its absolute path.
stamp() {
    echo "$ROOT"
    cat pyproject.toml constraints.txt | cksum
}

is_current() {
    [[ -f $STAMP && $(<"$STAMP") == "$(stamp)" ]] && is_usable
}

is_usable() {
    fits "$VENV/bin/python" && ! was_moved && is_asked_for && "$VENV/bin/python" -c 'import pip' 2>/dev/null
}

was_moved() {
    [[ -f $STAMP && $(head -n 1 "$STAMP") != "$ROOT" ]]
}

is_asked_for() {
    [[ -z ${PYTHON:-} || $(version "$VENV/bin/python") == "$(version "$PYTHON")" ]]
}

version() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

check_disk() {
    local free_kb
    free_kb=$(df -Pk . | awk 'NR == 2 {print $4}')
    if ((free_kb < NEEDED_GB * 1024 * 1024)); then no_disk; fi
}

make_venv() {
    local python
    python=$(find_python)
    if [[ -L $VENV ]]; then rm "$VENV"; fi # what it leads to is somebody else's, and would be emptied
    if ! "$python" -m venv --clear "$VENV" >/dev/null 2>&1; then
        fail 4 "$python cannot make a virtual environment: install its venv module" \
            "(on Debian and Ubuntu: apt-get install python$(version "$python")-venv), then run make again."
    fi
}

find_python() {
    local candidate
    if [[ -n ${PYTHON:-} ]]; then
        if fits "$PYTHON"; then
            echo "$PYTHON"
            return
        fi
        fail 3 "PYTHON=$PYTHON is not a Python 3.11 or newer that runs: name one that is, as in make install PYTHON=python3.12."
    fi
    for candidate in "${SEARCHED[@]}"; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail 3 "No Python 3.11 or newer was found on PATH: install one, or name it, as in make install PYTHON=/path/to/python3.11."
}

fits() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Wheels only: of the dependencies nothing is built, so no compiler is needed.
pip_install() {
    "$VENV/bin/python" -m pip --log "$LOG" --disable-pip-version-check install \
        --only-binary=:all: --constraint constraints.txt "$@" 2>/dev/null || explain
}

explain() {
    local missing
    if logged 'No space left on device'; then no_disk; fi
    if logged 'CERTIFICATE_VERIFY_FAILED|SSLError'; then
        fail 6 "The package index was reached but its certificate is not trusted: set PIP_CERT to your authority's file, then run make again."
    fi
    if logged 'Retrying \(Retry|Max retries exceeded|ConnectionError|Connection broken|ReadTimeoutError|403 Client Error|50[0-9] Server Error'; then
        fail 6 "The package index cannot be reached: check the network, or set PIP_INDEX_URL or PIP_PROXY, then run make again."
    fi
    missing=$(sed -nE 's/.*No matching distribution found for ([^ ]+).*/\1/p' "$LOG" | tail -n 1)
    if [[ -n $missing ]]; then
        fail 7 "The package index has no wheel of $missing for $(platform): use Python 3.11 to 3.14 on Linux or Apple Silicon."
    fi
    if logged 'ResolutionImpossible'; then
        fail 8 "pyproject.toml asks for versions that constraints.txt does not allow: fix one of them ($LOG has the details)."
    fi
    fail 1 "pip could not install the dependencies: $LOG says why."
}

logged() {
    grep -qE "$1" "$LOG" 2>/dev/null
}

platform() {
    "$VENV/bin/python" -c 'import platform as p; print("Python", p.python_version(), "on", p.system(), p.machine())'
}

no_disk() {
    fail 5 "Not enough disk space: $NEEDED_GB GB must be free in $ROOT and in ${TMPDIR:-/tmp}; free some, then run make again."
}

fail() {
    local code=$1
    shift
    echo "$*" >&2
    exit "$code"
}

main
