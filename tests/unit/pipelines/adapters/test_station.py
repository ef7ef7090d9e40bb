"""Segments wait for their own adapter alone, and keep it to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipelines.adapters import AdapterRegistry
from pipelines.adapters.station import AdapterStation
from pipelines.errors import UnknownAdapterError
from pipelines.station import EngineStation
from pipelines.types import Failure, Segment, Translation
from tests.unit.pipelines.adapters.keeping import FileEngine, KeeperMaker


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
