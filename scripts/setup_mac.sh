#!/usr/bin/env bash
# Prepares a Mac: finds a Python of the right architecture, makes .venv (scripts/setup.sh), folders, and tries the GPU.
#
#   scripts/setup_mac.sh
#   PYTHON=/opt/homebrew/bin/python3.12 scripts/setup_mac.sh
#
# May be run again at any time. docs/MACOS_SETUP.md says more, and what has never been run on a Mac.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

main() {
    if [[ $(uname -s) != Darwin ]]; then
        fail "This script prepares a Mac; here, run: make install"
    fi
    check_chip
    find_arm_python
    PYTHON=$python NEEDED_GB=3 scripts/setup.sh
    mkdir -p models/lora-adapters
    try_gpu
    echo "Ready. Start the service with: make serve"
}

check_chip() {
    if [[ $(sysctl -n hw.optional.arm64 2>/dev/null) != 1 ]]; then
        fail "This is an Intel Mac, for which PyTorch (since 2.3) and Ray (since 2.50) have no builds:" \
            "run the service in a Linux container or on another machine, as docs/MACOS_SETUP.md shows."
    fi
    if [[ $(uname -m) != arm64 ]]; then
        fail "This terminal runs under Rosetta, as if the Mac were an Intel one:" \
            "open one without \"Open using Rosetta\" (arch -arm64 zsh), then run this again."
    fi
}

# A Mac that was migrated from an Intel one often has an x86-64 Python first on PATH.
find_arm_python() {
    for python in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3.14 python3; do
        if "$python" -c 'import platform, sys; sys.exit(sys.version_info < (3, 11) or platform.machine() != "arm64")' \
            2>/dev/null; then
            return
        fi
    done
    fail "No Python 3.11 or newer for Apple Silicon was found: install one, as with brew install python@3.12, or name it," \
        "as in PYTHON=/opt/homebrew/bin/python3.12 scripts/setup_mac.sh"
}

try_gpu() {
    if .venv/bin/python -c 'import torch; assert (torch.ones(2, device="mps") + 1).sum().item() == 4' 2>/dev/null; then
        echo "The GPU answers through MPS and will be used; NLLB__MODEL__DEVICE=cpu chooses the CPU."
    else
        echo "The GPU does not answer through MPS: the service will run on the CPU."
    fi
}

fail() {
    echo "$*" >&2
    exit 1
}

main
