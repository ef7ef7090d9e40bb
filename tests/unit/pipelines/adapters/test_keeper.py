"""Adapters in a replica's memory: there before they are needed, gone only when nobody needs them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.adapters import AdapterRegistry
from pipelines.adapters.listing import Listing
from pipelines.errors import OverloadedError
from pipelines.types import Segment
from tests.adapter_files import draft, write_adapter
from tests.unit.pipelines.adapters.keeping import FileEngine, KeeperMaker


class SlowRegistry:
    """A registry whose listing takes until the test says so."""

    def __init__(self, registry: AdapterRegistry) -> None:
        self._registry = registry
        self.may_answer = threading.Event()

    def listing(self) -> Listing:
        """See `AdapterRegistry`."""
        self.may_answer.wait(10)
        return self._registry.listing()


async def test_what_is_live_on_trial_or_new_is_loaded(
    registry: AdapterRegistry, keeper_of: KeeperMaker, publish: Callable[..., None], engine: FileEngine
) -> None:
    """Live first, then the canary, then where a rollback goes and the newest; nothing older."""
    publish(6)
    for version in (1, 2, 3):
        registry.promote("medical", version)
    registry.canary("medical", 5, 10)
    report = await keeper_of().sync()
    assert engine.reads == ["medical@3", "medical@5", "medical@2", "medical@6"]
    assert set(report.held) == set(engine.reads)
    assert (report.replica, report.base_revision, dict(report.problems)) == ("r1", "1", {})


def test_a_replica_that_starts_has_what_is_live(
    registry: AdapterRegistry, keeper_of: KeeperMaker, publish: Callable[..., None], engine: FileEngine
) -> None:
    """`start` returns when it is loaded."""
    publish(2)
    registry.promote("medical", 1)
    keeper_of().start()
    assert engine.reads[0] == "medical@1"


async def test_those_who_ask_at_once_share_one_load(
    keeper_of: KeeperMaker, publish: Callable[..., None], engine: FileEngine
) -> None:
    """Many requests and a look at the registry: the folder is read once."""
    publish()
    keeper = keeper_of()

    async def use() -> None:
        async with keeper.using("medical@1"):
            assert keeper.holds("medical@1")

    await asyncio.gather(*(use() for _ in range(20)), keeper.sync(), keeper.sync())
    assert engine.reads == ["medical@1"]


async def test_a_caller_who_gives_up_stops_no_load(keeper_of: KeeperMaker, publish: Callable[..., None]) -> None:
    """The load goes on for those who still wait, and for the next."""
    publish()
    keeper = keeper_of()

    async def use() -> None:
        async with keeper.using("medical@1"):
            pass

    impatient, patient = asyncio.create_task(use()), asyncio.create_task(use())
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    assert keeper.holds("medical@1")
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_the_least_recently_used_leaves(
    keeper_of: KeeperMaker, publish: Callable[..., None], engine: FileEngine
) -> None:
    """Over the limit of bytes; what was used since stays."""
    publish(3)
    keeper = keeper_of(room_for=2.5)
    for version in ("medical@1", "medical@2", "medical@1", "medical@3"):
        async with keeper.using(version):
            pass
    assert set(engine.adapters()) == {"medical@1", "medical@3"}


async def test_what_is_in_use_never_leaves(
    keeper_of: KeeperMaker, publish: Callable[..., None], engine: FileEngine
) -> None:
    """Held by a request that has not reached the engine, or by rows in it; a third is refused in the meantime."""
    publish(3)
    keeper = keeper_of(room_for=2.5)
    async with keeper.using("medical@1"):
        async with keeper.using("medical@2"):
            engine.submit(engine.encode([Segment("a", "eng_Latn", "hin_Deva", "medical@2")]))  # type: ignore[arg-type]
        with pytest.raises(OverloadedError, match="no room for medical@3"):
            async with keeper.using("medical@3"):
                pass
        engine.finish(1)
        async with keeper.using("medical@3"):
            assert set(engine.adapters()) == {"medical@1", "medical@3"}


async def test_nobody_leaves_for_what_cannot_fit(
    registry: AdapterRegistry,
    keeper_of: KeeperMaker,
    publish: Callable[..., None],
    engine: FileEngine,
    tmp_path: Path,
) -> None:
    """A request for an adapter larger than all the room is refused for good, and costs no other one its place."""
    publish(2)
    registry.publish("large", write_adapter(tmp_path / "large", rank=64), draft(rank=64, alpha=128))
    keeper = keeper_of(room_for=2.5)
    for version in ("medical@1", "medical@2"):
        async with keeper.using(version):
            pass
    with pytest.raises(OverloadedError, match="no room for large@1") as refused:
        async with keeper.using("large@1"):
            pass
    assert refused.value.retry_after_s is None
    assert set(engine.adapters()) == {"medical@1", "medical@2"}


async def test_a_slow_registry_takes_no_thread_of_others(registry: AdapterRegistry, keeper_of: KeeperMaker) -> None:
    """Requests are tokenised in the event loop's threads, of which there may be one."""
    slow = SlowRegistry(registry)
    keeper = keeper_of(registry=slow)
    with ThreadPoolExecutor(1) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        looking = asyncio.create_task(keeper.sync())
        await asyncio.sleep(0.05)
        assert await asyncio.to_thread(slow.may_answer.is_set) is False
        slow.may_answer.set()
        await looking


async def test_the_pinned_never_leave(
    registry: AdapterRegistry, keeper_of: KeeperMaker, publish: Callable[..., None], engine: FileEngine
) -> None:
    """A pinned name keeps what is live of it, a pinned version itself; both are loaded without being asked for."""
    publish(4)
    publish(1, name="legal")
    registry.promote("legal", 1)
    keeper = keeper_of(room_for=3.5, pinned=("legal", "medical@2"))
    await keeper.sync()
    for version in ("medical@1", "medical@3", "medical@4"):
        async with keeper.using(version):
            pass
    assert set(engine.adapters()) == {"legal@1", "medical@2", "medical@4"}


async def test_what_is_live_is_not_pushed_out_by_what_may_be_needed(
    registry: AdapterRegistry, keeper_of: KeeperMaker, publish: Callable[..., None], engine: FileEngine
) -> None:
    """Spares take free room only; a promoted version pushes spares out."""
    publish(3)
    registry.promote("medical", 1)
    keeper = keeper_of(room_for=1.5)
    await keeper.sync()
    assert set(engine.adapters()) == {"medical@1"}
    registry.promote("medical", 2)
    await keeper.sync()
    assert set(engine.adapters()) == {"medical@2"}


async def test_a_retired_version_leaves(
    registry: AdapterRegistry, keeper_of: KeeperMaker, publish: Callable[..., None], engine: FileEngine
) -> None:
    """Its memory is given back."""
    publish(2)
    registry.promote("medical", 1)
    keeper = keeper_of()
    await keeper.sync()
    registry.retire("medical", 2)
    await keeper.sync()
    assert set(engine.adapters()) == {"medical@1"}
