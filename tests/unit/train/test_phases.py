"""The parts of a run add up to the time since its process began."""

from __future__ import annotations

import re

import psutil

from train.phases import Phases


def test_parts_follow_each_other_from_the_process_begin() -> None:
    """A part that is begun twice in a row is one."""
    began_s = psutil.Process().create_time()
    times = iter([began_s + passed_s for passed_s in (2.0, 5.0, 11.5)])
    phases = Phases("loading", clock_unix_s=lambda: next(times))
    for name in ("checking", "training", "training"):
        phases.begin(name)
    assert re.findall(r"(\S[\w ]*\S) +([\d.]+) s", phases.as_text()) == [
        ("loading", "2.0"),
        ("checking", "3.0"),
        ("training", "6.5"),
        ("in all", "11.5"),
    ]
