"""How long each part of a run took, for those who wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


class Phases:
    """Parts that follow each other. The first begins with the process: loading torch and Ray takes seconds, too.

    Args:
        first: What the first part is called.
        clock_unix_s: The time.
    """

    def __init__(self, first: str, *, clock_unix_s: Callable[[], float] = time.time) -> None:
        self._clock_unix_s = clock_unix_s
        self._begun: list[tuple[str, float]] = [(first, psutil.Process().create_time())]

    def begin(self, name: str) -> None:
        """End the part that runs and begin another one; nothing happens if it is the same."""
        if self._begun[-1][0] != name:
            self._begun.append((name, self._clock_unix_s()))

    def as_text(self) -> str:
        """Return a line for each part, and the sum."""
        ends = [begun_s for _, begun_s in self._begun[1:]] + [self._clock_unix_s()]
        parts = [(name, end_s - begun_s) for (name, begun_s), end_s in zip(self._begun, ends, strict=True)]
        parts.append(("in all", ends[-1] - self._begun[0][1]))
        width = max(len(name) for name, _ in parts)
        return "\n".join(f"  {name:{width}}  {took_s:6.1f} s" for name, took_s in parts)
