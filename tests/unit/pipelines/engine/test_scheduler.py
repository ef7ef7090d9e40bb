"""The scheduler: order, bounds, and that nobody starves."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipelines.engine.scheduler import Scheduler, Ticket

MAX_ROWS = 8
MAX_CACHED_TOKENS = 400
AGING_ROUNDS = 3


def make_ticket(
    key: int, *, num_rows: int = 1, tokens: int = 10, priority: int = 0, deadline: float = math.inf
) -> Ticket:
    """Return a ticket whose rows remember twice their source."""
    return Ticket(key, num_rows, tokens, 2 * tokens, priority, deadline)


def admitted_keys(scheduler: Scheduler) -> list[int]:
    """Return who joins now."""
    return [ticket.key for ticket in scheduler.admit()]


def test_priority_then_deadline_then_arrival() -> None:
    """Lower priority numbers join first, among them the earlier deadline, among those the earlier arrival."""
    scheduler = Scheduler(MAX_ROWS)
    scheduler.add(make_ticket(1, priority=1, deadline=0.0))
    scheduler.add(make_ticket(2))
    scheduler.add(make_ticket(3))
    scheduler.add(make_ticket(4, deadline=9.0))
    assert admitted_keys(scheduler) == [4, 2, 3, 1]


def test_rows_and_source_tokens_bound_what_joins() -> None:
    """No more rows than are free join, and no more source tokens at once than allowed, but always one request."""
    scheduler = Scheduler(4, max_join_tokens=100)
    for key, tokens in enumerate((300, 60, 60, 60)):
        scheduler.add(make_ticket(key, tokens=tokens))
    assert [admitted_keys(scheduler) for _ in range(4)] == [[0], [1], [2], [3]]
    scheduler.add(make_ticket(9))
    assert admitted_keys(scheduler) == []
    scheduler.leave(2)
    assert admitted_keys(scheduler) == [9]


def test_a_wide_request_is_overtaken_only_so_often() -> None:
    """Narrow ones pass while it does not fit; then rows are kept free for it."""
    scheduler = Scheduler(4, aging_rounds=2)
    for key in range(4):
        scheduler.add(make_ticket(key))
    scheduler.admit()
    scheduler.add(make_ticket(50, num_rows=4))
    for key in range(2):
        scheduler.leave(key)
        scheduler.add(make_ticket(10 + key))
        assert admitted_keys(scheduler) == [10 + key]
    scheduler.add(make_ticket(99))
    for key in (2, 3, 10):
        scheduler.leave(key)
        assert admitted_keys(scheduler) == []
    scheduler.leave(11)
    assert admitted_keys(scheduler) == [50]


def test_a_low_priority_is_not_starved_by_a_stream_of_high_ones() -> None:
    """Every round that lets others past brings it forward."""
    scheduler = Scheduler(1, aging_rounds=2)
    scheduler.add(make_ticket(0, priority=3))
    for key in range(1, 20):
        scheduler.add(make_ticket(key, deadline=0.0))
        (joined,) = admitted_keys(scheduler)
        scheduler.leave(joined)
        if joined == 0:
            return
    pytest.fail("it never joined")


def test_a_deep_backlog_lets_like_lengths_in_together() -> None:
    """With many waiting, those of one priority join sorted by length."""
    scheduler = Scheduler(2)
    for key, tokens in enumerate((50, 10, 40, 20, 30)):
        scheduler.add(make_ticket(key, tokens=tokens))
    assert admitted_keys(scheduler) == [1, 3]


def test_after_a_retreat_the_batch_is_halved_and_grows_back() -> None:
    """Rows that were too many together come back half as many at a time, in their old order."""
    scheduler = Scheduler(4)
    for key in range(5):
        scheduler.add(make_ticket(key))
    assert admitted_keys(scheduler) == [0, 1, 2, 3]
    scheduler.retreat()
    assert admitted_keys(scheduler) == [0, 1]
    scheduler.leave(0)
    assert admitted_keys(scheduler) == [2, 3]


class SchedulerMachine(RuleBasedStateMachine):
    """Any order of events keeps the bounds, loses nobody, and lets everybody in within a bounded time."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(
            MAX_ROWS, max_join_tokens=60, max_cached_tokens=MAX_CACHED_TOKENS, aging_rounds=AGING_ROUNDS
        )
        self.known: set[int] = set()
        self.next_key = 0

    @rule(
        num_rows=st.integers(1, MAX_ROWS),
        tokens=st.integers(1, 80),
        priority=st.integers(0, 2),
        deadline=st.sampled_from([1.0, 2.0, math.inf]),
    )
    def arrive(self, num_rows: int, tokens: int, priority: int, deadline: float) -> None:
        """A request arrives."""
        self.scheduler.add(
            make_ticket(self.next_key, num_rows=num_rows, tokens=tokens, priority=priority, deadline=deadline)
        )
        self.known.add(self.next_key)
        self.next_key += 1

    @rule()
    def admit(self) -> None:
        """A step begins."""
        was_idle = not self.scheduler.running
        waiting = self.scheduler.waiting
        admitted = self.scheduler.admit()
        assert admitted or not (was_idle and waiting), "an empty batch always takes someone"

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """A request finishes or is cancelled."""
        if self.known:
            key = data.draw(st.sampled_from(sorted(self.known)))
            self.scheduler.leave(key)
            self.known.remove(key)

    @rule()
    def fail(self) -> None:
        """A step fails."""
        self.scheduler.retreat()

    @invariant()
    def nobody_is_lost_or_doubled(self) -> None:
        """Everyone who has not left is either waiting or running."""
        keys = [ticket.key for ticket in self.scheduler.waiting + self.scheduler.running]
        assert sorted(keys) == sorted(self.known)

    @invariant()
    def bounds_hold(self) -> None:
        """Rows and cached tokens are within their bounds, unless one request alone exceeds them."""
        running = self.scheduler.running
        assert sum(ticket.num_rows for ticket in running) <= MAX_ROWS
        assert len(running) == 1 or sum(ticket.num_cached_tokens for ticket in running) <= MAX_CACHED_TOKENS

    def teardown(self) -> None:
        """Once nobody arrives any more, all get in."""
        for _ in range(2 * len(self.known) + 1):
            self.scheduler.admit()
            for ticket in self.scheduler.running:
                self.scheduler.leave(ticket.key)
        assert self.scheduler.waiting == []


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
