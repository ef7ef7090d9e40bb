"""A verdict of the gate is told to the cluster there is; tests/train asks a real one for it."""

from __future__ import annotations

import os
import subprocess
import sys

from configs.loader import ROOT

TELL = """
import sys
from configs.schema import TrainingSettings
from train.verdict import tell_cluster

tell_cluster(True, TrainingSettings())
print("ray" in sys.modules)
"""


def test_without_a_cluster_nobody_is_told() -> None:
    """Not even Ray is imported, let alone started."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-c", TELL], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
