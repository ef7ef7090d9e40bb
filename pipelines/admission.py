"""Can this be done in time? Weighs what has been promised already against how fast it is being done.

Work is measured in *weighed tokens*: what a segment makes the encoder read and, for each hypothesis, the decoder write,
guessed from its source. How many of them are done in a second is measured while segments wait, in the same unit, so a
wrong guess does no harm as long as it is equally wrong for all. Knows no engine and no event loop.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pipelines.errors import Full, OverloadedError
from pipelines.protocols import EncodedSegment

_MEASURED_S = 0.5  # less of full load says little
# The time constant by which what was measured is forgotten. Half a second is lumpy, and callers that are refused come
# again and again: were it forgotten faster, they would be let in at every peak, and be late.
_MEMORY_S = 10.0
# Without full load, the length of a measurement: long against a row, whose work counts only if all of it is inside.
_UNCROWDED_S = 30.0
_MAX_RETRY_AFTER_S = 60.0
# Speed varies, and what will be written is a guess: what is let in should be done even if that takes a quarter longer.
_MARGIN = 1.25
# Who is full stays so until this share of a call's time is free: many refusals are then one to those who ask.
_ROOM = 0.02


def weighed_tokens(row: EncodedSegment) -> float:
    """Return what a row costs: it is read once, and about as much is written for each hypothesis."""
    options = row.segment.decoding
    written = row.num_tokens if options.max_new_tokens is None else min(row.num_tokens, options.max_new_tokens)
    return row.num_tokens + max(1, options.num_beams) * written


class Returns:
    """When refused callers may come back: one after the other, as fast as their work can be done.

    Were all of them told the same second, they would come back together, and nearly all in vain.
    """

    def __init__(self) -> None:
        self._next_s = -math.inf

    def hold(self, until_s: float) -> None:
        """Let nobody come back before."""
        self._next_s = max(self._next_s, until_s)

    def retry_after_s(self, now_s: float, earliest_s: float, work_s: float) -> float:
        """Return how long the next caller, with so much work, has to wait."""
        returns_s = min(max(earliest_s, self._next_s), now_s + _MAX_RETRY_AFTER_S)
        self._next_s = returns_s + work_s
        return max(1.0, returns_s - now_s)


class Promise:
    """The work of one call, until it is done or given up."""

    def __init__(self, backlog: Backlog, tokens: float, priority: int, begun_s: float) -> None:
        self._backlog = backlog
        self._priority = priority
        self._left = tokens
        self._begun_s = begun_s

    def fulfil(self, tokens: float, *, is_crowded: bool) -> None:
        """A row is done. `is_crowded`: whether others wait, so that the engine is as busy as it can be."""
        self._backlog.did(tokens, is_crowded, begun_s=self._begun_s)
        self._give_up(tokens)

    def end(self) -> None:
        """What is not done will not be."""
        self._give_up(self._left)

    def _give_up(self, tokens: float) -> None:
        self._left -= tokens
        self._backlog.forget(tokens, self._priority)


class Backlog:
    """What one engine has been asked for and has not done yet.

    Args:
        clock_s: The clock of the deadlines, which never goes back.
        tokens_per_s: Weighed tokens per second under full load, as measured before; None is unknown.
        name: Of the engine, among all that a caller may be sent to.
    """

    def __init__(
        self, clock_s: Callable[[], float] = time.monotonic, tokens_per_s: float | None = None, name: str = ""
    ) -> None:
        self._clock_s = clock_s
        self._name = name
        self._tokens: defaultdict[int, float] = defaultdict(float)
        self._returns: defaultdict[int, Returns] = defaultdict(Returns)  # of refused callers, by priority
        self._tokens_per_s = tokens_per_s
        self._was_crowded = False
        self._last_done_s = self._busy_since_s = clock_s()
        self._crowded_s = 0.0
        self._crowded_tokens = 0.0
        self._busy_s = 0.0
        self._busy_tokens = 0.0
        self.num_done = 0
        """Rows that were translated since the start."""
        self.num_refused = 0
        """Calls that were refused since the start."""

    @property
    def tokens(self) -> float:
        """Weighed tokens that are promised and not done."""
        return sum(self._tokens.values())

    @property
    def tokens_per_s(self) -> float | None:
        """Weighed tokens per second under full load, or None as long as it is unknown."""
        return self._tokens_per_s

    @contextmanager
    def promise(self, rows: Sequence[EncodedSegment], *, priority: int, deadline_s: float | None) -> Iterator[Promise]:
        """Take on the rows of one call for the length of the block.

        Raises:
            OverloadedError: They cannot be done by the deadline, behind what goes before them.
        """
        tokens = sum(map(weighed_tokens, rows))
        self._check(tokens, priority, deadline_s)
        now_s = self._clock_s()
        if self.tokens == 0:
            # Whoever waited has left; the pause before is no measure of speed.
            self._last_done_s, self._was_crowded = now_s, False
        self._tokens[priority] += tokens
        promise = Promise(self, tokens, priority, begun_s=now_s)
        try:
            yield promise
        finally:
            promise.end()

    def did(self, tokens: float, is_crowded: bool, *, begun_s: float = -math.inf) -> None:
        """Measure: a row of so much was done since the last time, of a call that was taken on at `begun_s`."""
        now_s = self._clock_s()
        passed_s = now_s - self._last_done_s
        if self._was_crowded:
            self._crowded_s += passed_s
            self._crowded_tokens += tokens
        self._busy_s += passed_s
        self._busy_tokens += tokens if begun_s >= self._busy_since_s else 0.0
        self._last_done_s, self._was_crowded = now_s, is_crowded
        self.num_done += 1
        if self._crowded_s >= _MEASURED_S:
            measured = self._crowded_tokens / self._crowded_s
            known = measured if self._tokens_per_s is None else self._tokens_per_s
            self._tokens_per_s = measured + (known - measured) * math.exp(-self._crowded_s / _MEMORY_S)
        elif self._busy_s >= _UNCROWDED_S and self._tokens_per_s is not None:
            # So much at least: who was slow for a minute, and refuses since, is never crowded and learns no better.
            self._tokens_per_s = max(self._tokens_per_s, self._busy_tokens / self._busy_s)
        else:
            return
        self._crowded_s = self._crowded_tokens = self._busy_s = self._busy_tokens = 0.0
        self._busy_since_s = now_s

    def forget(self, tokens: float, priority: int) -> None:
        """So much is not promised any more."""
        self._tokens[priority] = max(0.0, self._tokens[priority] - tokens)

    def _check(self, tokens: float, priority: int, deadline_s: float | None) -> None:
        if self._tokens_per_s is None or deadline_s is None:
            return
        ahead = sum(waiting for level, waiting in self._tokens.items() if level <= priority)
        if ahead == 0:
            return  # Nothing goes before it: whether it can be done at all, only trying tells.
        # What is ahead decides, and has the margin; were its own work added to that, only short texts would find room.
        needed_s = max(_MARGIN * ahead, ahead + tokens) / self._tokens_per_s
        now_s = self._clock_s()
        left_s = max(0.0, deadline_s - now_s)
        if needed_s > left_s:
            self.num_refused += 1
            work_s = tokens / self._tokens_per_s
            raise OverloadedError(
                f"with the work already waiting this would take {needed_s:.1f} s, but only {left_s:.1f} s are left",
                retry_after_s=self._returns[priority].retry_after_s(now_s, now_s + needed_s - left_s, work_s),
                full=self._full(ahead / self._tokens_per_s, left_s, work_s),
            )

    def _full(self, ahead_s: float, left_s: float, work_s: float) -> Full | None:
        if _MARGIN * ahead_s <= left_s:
            return None  # it was refused for its own length
        return Full(self._name, for_s=ahead_s - (1 - _ROOM) * left_s / _MARGIN, work_s=work_s)
