"""The circuit breaker: open after failures in a row, one probe per cool-down."""

from pipelines.breaker import CircuitBreaker
from tests.unit.pipelines.cache.fakes import Clock


def _open_breaker(clock: Clock) -> CircuitBreaker:
    breaker = CircuitBreaker(failures_to_open=2, cool_down_s=5, clock_s=clock)
    breaker.failed()
    breaker.failed()
    return breaker


def test_only_failures_in_a_row_open_it() -> None:
    """A success in between starts the count again."""
    breaker = CircuitBreaker(failures_to_open=2)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert not breaker.is_open
    assert breaker.admit()
    breaker.failed()
    assert breaker.is_open


def test_while_open_one_probe_per_cool_down_is_admitted() -> None:
    """Also when the probe never reports back."""
    clock = Clock()
    breaker = _open_breaker(clock)
    assert not breaker.admit()
    clock.now_s = 5
    assert [breaker.admit() for _ in range(3)] == [True, False, False]
    clock.now_s = 10
    assert [breaker.admit() for _ in range(2)] == [True, False]


def test_a_probe_that_succeeds_closes_it() -> None:
    """From then on everybody is admitted."""
    clock = Clock()
    breaker = _open_breaker(clock)
    clock.now_s = 5
    breaker.admit()
    breaker.succeeded()
    assert [breaker.admit() for _ in range(3)] == [True] * 3


def test_a_probe_that_fails_starts_the_cool_down_anew() -> None:
    """The time runs from the failure, not from the probe's start."""
    clock = Clock()
    breaker = _open_breaker(clock)
    clock.now_s = 5
    breaker.admit()
    clock.now_s = 6
    breaker.failed()
    clock.now_s = 10.9
    assert not breaker.admit()
    clock.now_s = 11
    assert breaker.admit()
