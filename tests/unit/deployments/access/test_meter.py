"""Who pays for what: quotas that several replicas share, work that was not done, a store that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.access.callers import Caller, current_caller
from deployments.access.keys import KeyLimits, KeyRecord, make_key
from deployments.access.meter import Meter
from deployments.access.store import Added, SqliteKeyStore, Usage
from pipelines.errors import EngineError, QuotaExceededError, UnavailableError

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
_, KEY = make_key("Ann", ("translate",), KeyLimits(characters_per_month=100))


class _Store(SqliteKeyStore):
    """May be unreachable, or hold up what is written."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.reachable = True
        self.writes = asyncio.Event()
        self.writes.set()
        self.written = asyncio.Event()
        self.answers = True

    async def add_usage(
        self, key_id: str, month: str, usage: Usage, *, quota: int | None = None, token: str | None = None
    ) -> Added:
        if not self.reachable:
            raise UnavailableError("the store of the keys cannot be used")
        await self.writes.wait()
        added = await super().add_usage(key_id, month, usage, quota=quota, token=token)
        self.written.set()
        if not self.answers:
            raise UnavailableError("the store of the keys cannot be reached")
        return added


@pytest.fixture(autouse=True)
def caller() -> Iterator[KeyRecord]:
    """A key with a quota of 100 characters, which all requests show."""
    token = current_caller.set(Caller(KEY, "203.0.113.9"))
    yield KEY
    current_caller.reset(token)


@pytest.fixture
def store(tmp_path: Path) -> _Store:
    """That all replicas share."""
    return _Store(tmp_path / "keys.sqlite3")


def _meter(store: _Store) -> Meter:
    return Meter(store, now=lambda: NOW)


async def _work(meter: Meter, num_characters: int, num_done: int | None = None) -> None:
    async with meter.charge(num_characters) as bill:
        bill.num_done = num_characters if num_done is None else num_done


async def _fail(meter: Meter, num_characters: int) -> None:
    async with meter.charge(num_characters):
        raise EngineError("the model failed on this segment")


async def test_what_is_over_the_quota_costs_nothing_anywhere(store: _Store) -> None:
    """After a refusal the key has all that it had, on this replica and on every other."""
    with pytest.raises(QuotaExceededError, match="0 are used, and this request has 1000") as caught:
        await _work(_meter(store), 1000)
    assert caught.value.retry_after_s == 12 * 3600  # at the month's end
    await _work(_meter(store), 100)
    assert await _meter(store).usage(KEY) == Usage(100, 1)


async def test_a_refused_request_does_not_take_others_with_it(store: _Store) -> None:
    """Of those at the same time each is let in that fits."""
    meter = _meter(store)
    done = await asyncio.gather(*(_work(meter, size) for size in (1000, 2, 2, 2, 2, 2)), return_exceptions=True)
    assert [type(each) for each in done if each is not None] == [QuotaExceededError]
    assert await meter.usage(KEY) == Usage(10, 5)


async def test_what_was_not_done_is_given_back_at_once(store: _Store) -> None:
    """The rest of a request that ended early, and all of one that failed, is free for other replicas by then."""
    await _work(_meter(store), 60, num_done=25)
    assert await _meter(store).usage(KEY) == Usage(25, 1)
    with pytest.raises(EngineError):
        await _fail(_meter(store), 75)
    assert await _meter(store).usage(KEY) == Usage(25, 2)


async def test_who_hangs_up_is_given_back_what_was_not_done(store: _Store) -> None:
    """However often the request is cancelled while that is written."""
    started = asyncio.Event()

    async def request() -> None:
        async with _meter(store).charge(60):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(request())
    await started.wait()
    store.writes.clear()
    store.written.clear()
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    store.writes.set()
    await store.written.wait()
    assert await store.usage(KEY.id, "2026-11") == Usage(0, 1)


async def test_who_hangs_up_while_the_charge_is_written_pays_nothing(store: _Store) -> None:
    """What was charged by then is given back, however often the request is cancelled meanwhile."""
    store.writes.clear()
    task = asyncio.create_task(_work(_meter(store), 60))
    await asyncio.sleep(0)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    store.writes.set()
    for _ in range(2):  # the charge, and what is given back
        await store.written.wait()
        store.written.clear()
    assert await store.usage(KEY.id, "2026-11") == Usage(0, 1)


async def test_a_charge_whose_answer_is_lost_is_made_once(store: _Store) -> None:
    """It is asked for again, as is what is given back, and the key pays for what was done."""
    meter = _meter(store)
    store.answers = False
    await _work(meter, 40, num_done=25)
    await _work(meter, 10)
    store.answers = True
    await _work(meter, 1)
    assert await meter.usage(KEY) == Usage(36, 3)


async def test_what_could_not_be_written_is_added_later(store: _Store) -> None:
    """While the store is gone all are let in; then the key pays for what was done, and is held to its quota again."""
    meter = _meter(store)
    await _work(meter, 50)
    store.reachable = False
    await _work(meter, 80)
    await _work(meter, 30, num_done=0)
    store.reachable = True
    with pytest.raises(QuotaExceededError, match="130 are used"):
        await _work(meter, 1)
    assert (await meter.usage(KEY)).num_characters == 130


async def test_a_refund_that_could_not_be_written_is_made_later(store: _Store) -> None:
    """With the key's next request on this replica."""
    meter = _meter(store)
    async with meter.charge(100):
        store.reachable = False
    store.reachable = True
    await _work(meter, 40)
    assert (await meter.usage(KEY)).num_characters == 40
