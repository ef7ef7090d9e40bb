"""Adapters in a replica's memory: there before they are needed, gone only when nobody needs them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from pipelines.adapters import AdapterRegistry
from pipelines.adapters.keeper import AdapterKeeper
from pipelines.adapters.station import AdapterStation
from pipelines.errors import (
    AdapterBaseError,
    InvalidAdapterError,
    OverloadedError,
    TranslationError,
    UnknownAdapterError,
)
from pipelines.protocols import EncodedSegment
from pipelines.station import EngineStation
from pipelines.types import Failure, LoadedAdapter, Outcome, Segment, Translation
from tests.adapter_files import draft, unmounted
from tests.fakes import ManualEngine

KeeperMaker = Callable[..., AdapterKeeper]


class Clock:
    """Seconds that pass when the test says so."""

    now_s = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


class FileEngine(ManualEngine):
    """Takes as many bytes for an adapter as its files have, and says when rows have come."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[str, int] = {}
        self._submitted = asyncio.Event()

    def submit(self, rows: list[EncodedSegment]) -> list[Future[Outcome]]:
        """See `Engine`."""
        self._submitted.set()
        return super().submit(rows)

    async def until_rows(self, num_rows: int) -> None:
        """Return once so many rows wait for `finish`."""
        while len(self.rows) < num_rows:
            self._submitted.clear()
            await self._submitted.wait()

    def load_adapter(self, version: str, folder: Path) -> LoadedAdapter:
        """See `Engine`."""
        self.sizes[version] = sum(path.stat().st_size for path in folder.iterdir())
        return super().load_adapter(version, folder)

    def adapters(self) -> dict[str, LoadedAdapter]:
        """See `Engine`."""
        return {
            version: LoadedAdapter(version, each.rank, self.sizes.get(version, 0), each.num_rows)
            for version, each in super().adapters().items()
        }


@pytest.fixture
def engine() -> FileEngine:
    """An engine without adapters."""
    return FileEngine()


@pytest.fixture
def clock() -> Clock:
    """The keeper's clock."""
    return Clock()


@pytest.fixture
def keeper_of(registry: AdapterRegistry, engine: FileEngine, tmp_path: Path, clock: Clock) -> KeeperMaker:
    """Make a keeper; `room_for` is how many of the test's adapters fit."""

    def make(room_for: float = 100, **options: Any) -> AdapterKeeper:
        size = registry.manifest("medical", 1).num_bytes if registry.versions("medical") else 1
        return AdapterKeeper(
            engine,
            registry,
            tmp_path / "copies",
            max_bytes=int(room_for * size),
            replica="r1",
            clock_s=clock,
            **options,
        )

    return make


@pytest.fixture
def publish(registry: AdapterRegistry, adapter: Path) -> Callable[..., None]:
    """Publish versions of `medical`, or of another name."""

    def publish(count: int = 1, name: str = "medical", **said: Any) -> None:
        for _ in range(count):
            registry.publish(name, adapter, draft(**said))

    return publish


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


async def test_a_spoilt_version_is_reported_and_what_was_served_stays(
    registry: AdapterRegistry,
    keeper_of: KeeperMaker,
    publish: Callable[..., None],
    engine: FileEngine,
    tmp_path: Path,
    clock: Clock,
) -> None:
    """It is not fetched again and again, but once in a while; mended, it is loaded and the report is clean."""
    publish(2)
    registry.promote("medical", 1)
    keeper = keeper_of()
    weights = tmp_path / "registry/adapters/medical/2/adapter_model.safetensors"
    sound = weights.read_bytes()
    weights.write_bytes(sound[:-8] + b"12345678")
    registry.promote("medical", 2)
    report = await keeper.sync()
    assert set(report.held) == {"medical@1"}
    assert "SHA-256" in report.problems["medical@2"]
    with pytest.raises(InvalidAdapterError, match="SHA-256"):
        async with keeper.using("medical@2"):
            pass
    weights.write_bytes(sound)
    assert "medical@2" not in (await keeper.sync()).held
    clock.now_s += 60
    report = await keeper.sync()
    assert ("medical@2" in report.held, dict(report.problems)) == (True, {})


async def test_another_base_models_adapter_is_never_loaded(
    registry: AdapterRegistry, keeper_of: KeeperMaker, publish: Callable[..., None], engine: FileEngine
) -> None:
    """Whoever asks for it is told so."""
    publish(base_revision="another")
    registry.promote("medical", 1)
    keeper = keeper_of()
    assert "was trained on fake another" in (await keeper.sync()).problems["medical@1"]
    with pytest.raises(AdapterBaseError):
        async with keeper.using("medical@1"):
            pass
    assert engine.reads == []


@pytest.mark.parametrize(("version", "kind"), [("medical@9", UnknownAdapterError), ("medical", TranslationError)])
async def test_what_does_not_exist_is_an_error(
    keeper_of: KeeperMaker, publish: Callable[..., None], version: str, kind: type[TranslationError]
) -> None:
    """And is remembered by no report."""
    publish()
    with pytest.raises(kind):
        async with keeper_of().using(version):
            pass


async def test_a_registry_that_is_away_changes_nothing(
    registry: AdapterRegistry,
    keeper_of: KeeperMaker,
    publish: Callable[..., None],
) -> None:
    """What is loaded stays and is used; the report says what is wrong, until it is not."""
    publish()
    registry.promote("medical", 1)
    keeper = keeper_of()
    await keeper.sync()
    with unmounted(registry):
        report = await keeper.sync()
        assert set(report.held) == {"medical@1"}
        assert "cannot be reached" in str(report.registry_problem)
        assert (registry.breaker.state, registry.num_retries) == ("open", 2)
        async with keeper.using("medical@1"):
            assert keeper.holds("medical@1")
    assert (await keeper.sync()).registry_problem is None
    assert (registry.breaker.state, registry.num_retries) == ("closed", 2)


async def test_a_segment_waits_for_its_own_adapter_alone(
    registry: AdapterRegistry, keeper_of: KeeperMaker, publish: Callable[..., None], engine: FileEngine
) -> None:
    """One request, three adapters: what is loaded goes on, what cannot be loaded fails alone, order is kept."""
    publish()
    registry.promote("medical", 1)
    station = AdapterStation(EngineStation(engine), keeper_of())

    def segment(text: str, adapter: str | None) -> Segment:
        return Segment(text, "eng_Latn", "hin_Deva", adapter)

    asked = [segment("a", "medical@1"), segment("b", "medical@7"), segment("c", None), segment("d", "medical@1")]
    task = asyncio.create_task(station.translate(asked))
    await engine.until_rows(3)
    engine.finish(3)
    first, second, *others = await task
    assert (first, others) == (Translation("A"), [Translation("C"), Translation("D")])
    assert isinstance(second, Failure)
    assert isinstance(second.error, UnknownAdapterError)


async def test_rows_end_with_the_version_they_began_with(
    registry: AdapterRegistry, keeper_of: KeeperMaker, publish: Callable[..., None], engine: FileEngine
) -> None:
    """A promotion while a row is decoded, in a memory that holds one: the row's version stays until it is done."""
    publish(2)
    registry.promote("medical", 1)
    keeper = keeper_of(room_for=1.5)
    station = AdapterStation(EngineStation(engine), keeper)
    task = asyncio.create_task(station.translate([Segment("a", "eng_Latn", "hin_Deva", "medical@1")]))
    await engine.until_rows(1)
    registry.promote("medical", 2)
    assert "no room for medical@2" in (await keeper.sync()).problems["medical@2"]
    engine.finish(1)
    assert await task == [Translation("A")]
    assert set((await keeper.sync()).held) == {"medical@2"}
