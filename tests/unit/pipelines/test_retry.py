"""Tries again with growing random pauses, never past the deadline, never what cannot be fixed."""

from __future__ import annotations

import time

import pytest

from pipelines.errors import EngineError, UnavailableError
from pipelines.retry import retry, retry_blocking


class _Flaky:
    """Fails a number of times, then answers."""

    def __init__(self, num_failures: int, error: type[Exception] = UnavailableError) -> None:
        self.num_calls = 0
        self._num_failures = num_failures
        self._error = error

    def __call__(self) -> str:
        self.num_calls += 1
        if self.num_calls <= self._num_failures:
            raise self._error("not now")
        return "answer"

    async def later(self) -> str:
        """Answer on the event loop."""
        return self()


class _Pauses(list[float]):
    async def __call__(self, pause_s: float) -> None:
        self.append(pause_s)


async def test_it_is_tried_until_it_answers() -> None:
    """Four failures, five calls, four pauses whose bounds double; each repetition is told."""
    flaky, pauses, told = _Flaky(4), _Pauses(), []
    assert await retry(flaky.later, on=UnavailableError, again=lambda: told.append(1), pause=pauses) == "answer"
    assert (flaky.num_calls, len(told)) == (5, 4)
    assert all(0 <= pause_s <= 0.05 * 2**index for index, pause_s in enumerate(pauses))
    assert any(pauses)


async def test_the_last_error_is_raised_when_the_attempts_are_used_up() -> None:
    """It, and not a wrapper."""
    flaky = _Flaky(99)
    with pytest.raises(UnavailableError, match="not now"):
        await retry(flaky.later, on=UnavailableError, max_attempts=3, pause=_Pauses())
    assert flaky.num_calls == 3


async def test_nobody_pauses_past_the_deadline() -> None:
    """A deadline that is over leaves one attempt."""
    flaky = _Flaky(99)
    with pytest.raises(UnavailableError):
        await retry(flaky.later, on=UnavailableError, deadline_s=time.monotonic() - 1, pause=_Pauses())
    assert flaky.num_calls == 1


async def test_no_pause_reaches_past_the_deadline() -> None:
    """A thousandth of a second before it, a longer pause is the end."""
    pauses = _Pauses()
    with pytest.raises(UnavailableError):
        await retry(_Flaky(99).later, on=UnavailableError, deadline_s=time.monotonic() + 0.001, pause=pauses)
    assert all(pause_s < 0.001 for pause_s in pauses)


async def test_what_another_try_does_not_mend_is_not_tried() -> None:
    """Only the errors that are named."""
    flaky = _Flaky(1, EngineError)
    with pytest.raises(EngineError):
        await retry(flaky.later, on=UnavailableError, pause=_Pauses())
    assert flaky.num_calls == 1


def test_the_same_in_a_thread() -> None:
    """Blocking calls are tried again alike."""
    flaky, pauses, told = _Flaky(2), [], []
    answer = retry_blocking(flaky, on=UnavailableError, again=lambda: told.append(1), pause=pauses.append)
    assert (answer, len(pauses), len(told)) == ("answer", 2, 2)
    assert any(pauses)
    with pytest.raises(UnavailableError):
        retry_blocking(_Flaky(99), on=UnavailableError, max_attempts=2, pause=pauses.append)
