"""What cannot be done in time is refused at once, and nothing else is."""

from __future__ import annotations

from contextlib import suppress

import pytest

from pipelines.admission import Backlog, weighed_tokens
from pipelines.errors import OverloadedError
from pipelines.protocols import EncodedSegment
from pipelines.types import DecodingOptions, Segment
from tests.unit.pipelines.cache.fakes import Clock


def _row(num_tokens: int, **decoding: int) -> EncodedSegment:
    segment = Segment("x" * num_tokens, "eng_Latn", "spa_Latn", decoding=DecodingOptions(**decoding))
    return EncodedSegment(segment, (1,) * num_tokens)


def _measured(clock: Clock, tokens_per_s: float) -> Backlog:
    """A backlog that has seen one second of full load."""
    backlog = Backlog(clock_s=clock)
    backlog.did(0, is_crowded=True)
    clock.now_s += 1
    backlog.did(tokens_per_s, is_crowded=True)
    assert backlog.tokens_per_s == tokens_per_s
    return backlog


def test_a_row_weighs_what_is_read_and_written() -> None:
    """Wider beams write more, a bound on the output less."""
    assert weighed_tokens(_row(10)) == 20
    assert weighed_tokens(_row(10, num_beams=4)) == 50
    assert weighed_tokens(_row(10, max_new_tokens=3)) == 13


def test_what_fits_before_the_deadline_is_taken_and_what_does_not_is_refused() -> None:
    """At 100 tokens a second, behind 100: these take 1 s, and a quarter of that to be sure."""
    clock = Clock()
    backlog = _measured(clock, tokens_per_s=100)
    with backlog.promise([_row(50)], priority=0, deadline_s=None):
        with backlog.promise([_row(5)], priority=0, deadline_s=clock.now_s + 1.26):
            assert backlog.tokens == 110
        with (
            pytest.raises(OverloadedError, match=r"would take 1\.2 s, but only 1\.2 s") as refusal,
            backlog.promise([_row(5)], priority=0, deadline_s=clock.now_s + 1.24),
        ):
            pass
    assert refusal.value.retry_after_s == 1.0
    assert backlog.num_refused == 1
    assert backlog.tokens == 0


def test_a_long_text_finds_room_where_a_short_one_does() -> None:
    """Were short ones let in where long ones are not, a busy service would translate nothing else."""
    clock = Clock()
    backlog = _measured(clock, tokens_per_s=100)
    for left_s, num_taken in ((1.26, 2), (1.24, 0)):
        taken = []
        with backlog.promise([_row(50)], priority=0, deadline_s=None):
            for num_tokens in (1, 10):
                with (
                    suppress(OverloadedError),
                    backlog.promise([_row(num_tokens)], priority=0, deadline_s=clock.now_s + left_s),
                ):
                    taken.append(num_tokens)
        assert len(taken) == num_taken


def test_a_text_that_cannot_be_done_by_its_deadline_is_refused_whatever_waits() -> None:
    """At 100 tokens a second, behind 20: its own 100 take 1 s."""
    clock = Clock()
    backlog = _measured(clock, tokens_per_s=100)
    with (
        backlog.promise([_row(10)], priority=0, deadline_s=None),
        pytest.raises(OverloadedError, match=r"would take 1\.2 s"),
        backlog.promise([_row(50)], priority=0, deadline_s=clock.now_s + 1.19),
    ):
        pass


def test_the_wait_until_another_try_is_what_is_missing() -> None:
    """And no more than a minute."""
    clock = Clock()
    backlog = _measured(clock, tokens_per_s=10)
    waits = []
    for tokens in (150, 10_000):
        with (
            backlog.promise([_row(tokens)], priority=0, deadline_s=None),
            pytest.raises(OverloadedError) as refusal,
            backlog.promise([_row(5)], priority=0, deadline_s=clock.now_s + 1),
        ):
            pass
        waits.append(refusal.value.retry_after_s)
    assert waits == [36.5, 60.0]


def test_the_refused_come_back_one_after_the_other() -> None:
    """At 100 tokens a second, behind 200: each of those that would take 1 s is told to come a second after the last."""
    clock = Clock()
    backlog = _measured(clock, tokens_per_s=100)
    with backlog.promise([_row(100)], priority=0, deadline_s=None):

        def wait_s(priority: int) -> float | None:
            with (
                pytest.raises(OverloadedError) as refusal,
                backlog.promise([_row(50)], priority=priority, deadline_s=clock.now_s + 2),
            ):
                pass
            return refusal.value.retry_after_s

        assert [wait_s(priority=0) for _ in range(3)] == [1.0, 2.0, 3.0]
        assert wait_s(priority=1) == 1.0  # bulk has a sequence of its own
        clock.now_s += 2
        assert wait_s(priority=0) == 2.0
        assert max(wait_s(priority=0) or 0.0 for _ in range(100)) == 60.0


def test_interactive_work_does_not_wait_for_bulk() -> None:
    """Bulk is refused behind what goes before it, interactive work only behind its own."""
    clock = Clock()
    backlog = _measured(clock, tokens_per_s=100)
    soon = clock.now_s + 1.5
    with backlog.promise([_row(500)], priority=1, deadline_s=None):
        with backlog.promise([_row(25)], priority=0, deadline_s=soon):
            pass
        with pytest.raises(OverloadedError), backlog.promise([_row(25)], priority=1, deadline_s=soon):
            pass


def test_nothing_is_refused_on_a_guess() -> None:
    """While the speed is unknown, without a deadline, and with nothing ahead: only trying tells."""
    clock = Clock()
    fresh = Backlog(clock_s=clock)
    soon = clock.now_s + 0.1
    with (
        fresh.promise([_row(10_000)], priority=0, deadline_s=None),
        fresh.promise([_row(10_000)], priority=0, deadline_s=soon),
    ):
        pass
    slow = _measured(clock, tokens_per_s=1)
    with slow.promise([_row(10_000)], priority=0, deadline_s=clock.now_s + 0.1):
        pass


def test_what_was_measured_before_counts_until_more_is_known() -> None:
    """The first flood after a start is refused what cannot be done; its own speed takes over in seconds."""
    clock = Clock()
    backlog = Backlog(clock, tokens_per_s=100)
    with (
        backlog.promise([_row(50)], priority=0, deadline_s=None),
        pytest.raises(OverloadedError),
        backlog.promise([_row(5)], priority=0, deadline_s=clock.now_s + 1.24),
    ):
        pass
    backlog.did(0, is_crowded=True)
    for _ in range(20):
        clock.now_s += 1
        backlog.did(50, is_crowded=True)
    assert backlog.tokens_per_s == pytest.approx(50, rel=0.15)


def test_only_time_under_full_load_is_measured() -> None:
    """An hour of one request a minute says nothing of what could be done."""
    clock = Clock()
    backlog = Backlog(clock_s=clock)
    for _ in range(60):
        clock.now_s += 60
        backlog.did(20, is_crowded=False)
    assert backlog.tokens_per_s is None
    backlog = _measured(clock, tokens_per_s=100)
    for _ in range(60):
        clock.now_s += 1
        backlog.did(200, is_crowded=True)
    assert backlog.tokens_per_s == pytest.approx(200, rel=0.01)


def _work(backlog: Backlog, clock: Clock, tokens_per_s: int, pause_s: float = 0.0) -> None:
    """Half a minute of work, one call after the other, so that none ever waits."""
    for _ in range(30):
        row = _row(tokens_per_s // 2)
        with backlog.promise([row], priority=0, deadline_s=None) as promise:
            clock.now_s += 1
            promise.fulfil(weighed_tokens(row), is_crowded=False)
        clock.now_s += pause_s


def test_a_speed_from_a_slow_minute_is_not_believed_for_ever() -> None:
    """What refuses too much is never crowded; what it does all the same shows that it can do more."""
    clock = Clock()
    backlog = _measured(clock, tokens_per_s=10)
    _work(backlog, clock, tokens_per_s=100)
    assert backlog.tokens_per_s == pytest.approx(100, rel=0.1)


def test_work_without_a_crowd_says_only_what_can_be_done_at_least() -> None:
    """Not that the engine is slow; pauses do not count, nor does what was begun before the measurement."""
    clock = Clock()
    backlog = _measured(clock, tokens_per_s=100)
    _work(backlog, clock, tokens_per_s=20)
    assert backlog.tokens_per_s == 100
    _work(backlog, clock, tokens_per_s=200, pause_s=600)
    assert backlog.tokens_per_s == pytest.approx(200, rel=0.1)
    long_text = _row(50_000)
    with backlog.promise([long_text], priority=0, deadline_s=None) as promise:
        _work(backlog, clock, tokens_per_s=20)
        promise.fulfil(weighed_tokens(long_text), is_crowded=False)
    _work(backlog, clock, tokens_per_s=20)
    assert backlog.tokens_per_s == pytest.approx(200, rel=0.1)


def test_a_peak_hardly_changes_what_is_promised() -> None:
    """Half a second at three times the speed: those that ask again and again are still refused."""
    clock = Clock()
    backlog = _measured(clock, tokens_per_s=100)
    clock.now_s += 0.5
    backlog.did(150, is_crowded=True)
    assert backlog.tokens_per_s is not None
    assert 105 < backlog.tokens_per_s < 115


def test_a_pause_after_all_have_left_is_no_full_load() -> None:
    """Callers that wait give up together, and the next one comes ten minutes later: the speed is what it was."""
    clock = Clock()
    backlog = _measured(clock, tokens_per_s=100)
    with backlog.promise([_row(10), _row(30)], priority=0, deadline_s=None) as promise:
        promise.fulfil(weighed_tokens(_row(10)), is_crowded=True)
    clock.now_s += 600
    with backlog.promise([_row(10)], priority=0, deadline_s=None) as promise:
        promise.fulfil(weighed_tokens(_row(10)), is_crowded=True)
    assert backlog.tokens_per_s == 100


def test_what_is_done_or_given_up_is_not_ahead_any_more() -> None:
    """Row by row while the call runs, and the rest when it ends, cancelled or not."""
    backlog = Backlog()

    def fail_after_one_row() -> None:
        with backlog.promise([_row(10), _row(30)], priority=0, deadline_s=None) as promise:
            promise.fulfil(weighed_tokens(_row(10)), is_crowded=False)
            assert backlog.tokens == 60
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_one_row()
    assert backlog.tokens == 0
