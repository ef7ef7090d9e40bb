"""Tries again what may be tried again: with growing, random pauses, and never past the deadline.

Pauses are random between zero and a bound that doubles ("full jitter"; Brooker 2015, Exponential Backoff And Jitter),
so that those who failed together do not come back together. Does not know what is tried.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

_T = TypeVar("_T")
_FIRST_PAUSE_S = 0.05
_MAX_PAUSE_S = 2.0
_MAX_ATTEMPTS = 10


async def retry(
    attempt: Callable[[], Awaitable[_T]],
    *,
    on: type[Exception] | tuple[type[Exception], ...],
    deadline_s: float | None = None,
    max_attempts: int = _MAX_ATTEMPTS,
    again: Callable[[], None] = lambda: None,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> _T:
    """Return what the first successful attempt returns.

    Args:
        attempt: Is called once or more; doing it twice does no harm.
        on: Errors that another attempt may fix. The last attempt's error is raised.
        deadline_s: Of the monotonic clock, after which nobody waits: no pause reaches past it.
        max_attempts: Of all calls of `attempt`.
        again: Is called before each attempt but the first.
        pause: Sleeps.
    """
    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(on),
        stop=_stop(deadline_s, max_attempts),
        wait=tenacity.wait_random_exponential(multiplier=_FIRST_PAUSE_S, max=_MAX_PAUSE_S),
        before_sleep=lambda _: again(),
        reraise=True,
        sleep=pause,
    )
    return await retrying(attempt)


def retry_blocking(
    attempt: Callable[[], _T],
    *,
    on: type[Exception] | tuple[type[Exception], ...],
    max_attempts: int = 4,
    again: Callable[[], None] = lambda: None,
    pause: Callable[[float], None] = time.sleep,
) -> _T:
    """Do the same in a thread that may be held up."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(on),
        stop=tenacity.stop_after_attempt(max_attempts),
        wait=tenacity.wait_random_exponential(multiplier=_FIRST_PAUSE_S, max=_MAX_PAUSE_S),
        before_sleep=lambda _: again(),
        reraise=True,
        sleep=pause,
    )
    return retrying(attempt)


def _stop(deadline_s: float | None, max_attempts: int) -> Callable[[tenacity.RetryCallState], bool]:
    deadline = math.inf if deadline_s is None else deadline_s

    def stop(state: tenacity.RetryCallState) -> bool:
        # `upcoming_sleep` is drawn before this is asked.
        return state.attempt_number >= max_attempts or time.monotonic() + state.upcoming_sleep >= deadline

    return stop
