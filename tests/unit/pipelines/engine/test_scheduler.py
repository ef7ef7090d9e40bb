"""The scheduler: order, bounds, and that nobody starves."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipelines.engine.footprint import Footprint
from pipelines.engine.scheduler import Scheduler, Ticket

MAX_ROWS = 8
MAX_CACHED_TOKENS = 600
AGING_ROUNDS = 3
ROWS_PER_TRIAL = 4


def make_ticket(
    key: int, *, num_rows: int = 1, tokens: int = 10, priority: int = 0, deadline: float = math.inf
) -> Ticket:
    """Return a ticket whose rows remember as much as their source is long."""
    return Ticket(key, num_rows, tokens, tokens, priority, deadline)


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


def test_memory_is_priced_as_it_is_allocated() -> None:
    """Every row has the longest one's length, and both are powers of two: one long request keeps short ones out."""
    scheduler = Scheduler(64, max_join_tokens=10_000, max_cached_tokens=32 * 16 + 32 * 64)
    for key in range(40):
        scheduler.add(Ticket(key, 1, 10, 40))
    assert len(admitted_keys(scheduler)) == 32
    for key in range(40):
        scheduler.leave(key)
    for key in range(40):
        scheduler.add(Ticket(100 + key, 1, 10, 500 if key == 0 else 40))
    assert admitted_keys(scheduler) == [100, 101, 102, 103]
    for key in range(40):
        scheduler.leave(100 + key)
    scheduler.add(Ticket(200, 1, 2000, 2000))
    scheduler.add(Ticket(201, 1, 10, 10))
    assert admitted_keys(scheduler) == [200], "what is over the bound is decoded alone"
    assert admitted_keys(scheduler) == []


def test_a_long_row_ends_although_the_batch_is_sometimes_too_large() -> None:
    """With memory for 8 rows of 16, under a steady load of short ones, no long row begins again and again."""
    scheduler = Scheduler(16, rows_per_trial=20)
    left = {0: 3000}
    scheduler.add(make_ticket(0))
    num_failures, num_steps = 0, 0
    while 0 in left:
        while len(scheduler.waiting) < 4:
            left[len(left)] = 6
            scheduler.add(make_ticket(len(left) - 1))
        scheduler.admit()
        keys = [ticket.key for ticket in scheduler.running]
        num_steps += 1
        assert num_steps < 5000
        if len(keys) > 8:
            num_failures += 1
            scheduler.retreat()
            left |= {key: 3000 if key == 0 else 6 for key in keys}
            continue
        for key in keys:
            left[key] -= 1
            if left[key] == 0:
                scheduler.leave(key)
                if key == 0:
                    del left[0]
    assert num_failures < 10


def test_a_size_that_failed_is_tried_again_when_many_have_finished() -> None:
    """Memory that others took may have become free."""
    scheduler = Scheduler(4, rows_per_trial=10)
    for key in range(40):
        scheduler.add(make_ticket(key))
    sizes = []
    scheduler.admit()
    scheduler.retreat()
    for _ in range(30):
        scheduler.admit()
        sizes.append(len(scheduler.running))
        scheduler.leave(scheduler.running[0].key)
    assert sizes.index(3) < 3
    assert sizes.index(4) == 10


def test_one_bad_request_does_not_keep_the_batch_small() -> None:
    """Who fails alone was at fault: what failed with it may be tried again at once."""
    scheduler = Scheduler(8)
    for key in range(40):
        scheduler.add(make_ticket(key))
    scheduler.admit()
    while len(scheduler.running) > 1:
        scheduler.retreat()
        scheduler.admit()
    (bad,) = scheduler.running
    scheduler.retreat()
    scheduler.leave(bad.key)
    for _ in range(8):
        scheduler.admit()
        scheduler.leave(scheduler.running[0].key)
    scheduler.admit()
    assert len(scheduler.running) == 8


class SchedulerMachine(RuleBasedStateMachine):
    """Any order of events keeps the bounds, loses nobody, and lets everybody in within a bounded time."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(
            MAX_ROWS,
            max_join_tokens=60,
            max_cached_tokens=MAX_CACHED_TOKENS,
            aging_rounds=AGING_ROUNDS,
            rows_per_trial=ROWS_PER_TRIAL,
        )
        self.failed_rows = math.inf
        self.num_finished = 0
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
            self.num_finished += key in [ticket.key for ticket in self.scheduler.running]
            if self.num_finished == ROWS_PER_TRIAL:
                self.failed_rows = math.inf
            self.scheduler.leave(key)
            self.known.remove(key)

    @rule()
    def fail(self) -> None:
        """A step fails."""
        running = self.scheduler.running
        if len(running) == 1:
            self.failed_rows = math.inf
        elif running:
            self.failed_rows = min(self.failed_rows, sum(ticket.num_rows for ticket in running))
            self.num_finished = 0
        self.scheduler.retreat()

    @invariant()
    def nobody_is_lost_or_doubled(self) -> None:
        """Everyone who has not left is either waiting or running."""
        keys = [ticket.key for ticket in self.scheduler.waiting + self.scheduler.running]
        assert sorted(keys) == sorted(self.known)

    @invariant()
    def bounds_hold(self) -> None:
        """Rows and memory are within their bounds and below what failed, unless one request alone exceeds them."""
        running = self.scheduler.running
        num_rows = sum(ticket.num_rows for ticket in running)
        assert num_rows <= MAX_ROWS
        if len(running) > 1:
            assert _cached_tokens(running) <= MAX_CACHED_TOKENS
            assert num_rows < self.failed_rows

    def teardown(self) -> None:
        """Once nobody arrives any more, all get in."""
        for _ in range(2 * len(self.known) + 1):
            self.scheduler.admit()
            for ticket in self.scheduler.running:
                self.scheduler.leave(ticket.key)
        assert self.scheduler.waiting == []


def _cached_tokens(tickets: list[Ticket]) -> int:
    footprint = Footprint()
    for ticket in tickets:
        footprint = footprint.plus(ticket.num_rows, ticket.num_source_tokens, ticket.num_target_tokens)
    return footprint.num_tokens


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
