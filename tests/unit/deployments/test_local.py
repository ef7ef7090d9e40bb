"""`python -m deployments.local`: what it says where it cannot start."""

from __future__ import annotations

import os
import subprocess
import sys

from configs.loader import ROOT


def test_what_is_wrong_is_said_with_its_value() -> None:
    """Square brackets in it are no markup."""
    command = [sys.executable, "-m", "deployments.local"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PORT": "[/x]"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Cannot start: variable PORT = '[/x]': should be")
