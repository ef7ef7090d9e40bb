"""The near cache: what it answers by itself, what it keeps, and what empties it."""

from __future__ import annotations

from dataclasses import replace

from pipelines.cache.memory import MemoryStore
from pipelines.cache.near import NearCache
from pipelines.errors import EngineError
from pipelines.types import DecodingOptions, Failure, Outcome, Segment, Translation
from tests.unit.pipelines.cache.asking import REVISION, segment, started, texts
from tests.unit.pipelines.cache.fakes import Clock, FakeStation

TTL_S = 60.0


def _found(asked: Segment) -> Outcome:
    """What a shared cache answers that has everything."""
    return Translation(asked.text.upper(), score=-0.5, num_source_tokens=3, num_target_tokens=2, cached=True)


def _near(station: FakeStation, clock: Clock | None = None) -> NearCache:
    return NearCache(MemoryStore(10, 10_000, TTL_S, clock_s=clock or Clock()), station, REVISION)


async def test_what_the_shared_cache_found_is_answered_again_without_it() -> None:
    """The same translation, still marked as cached, whatever the deadline and the priority; it counts as a hit."""
    station = FakeStation(_found)
    near = _near(station)
    first = await near.translate([segment("a")])
    assert await near.translate([segment("a", priority=1, deadline_s=5.0)]) == first == [_found(segment("a"))]
    assert len(station.calls) == 1
    stats = await near.stats()
    assert (stats.hits, stats.entries) == (1, 1)


async def test_a_new_translation_is_not_kept() -> None:
    """What is asked for once takes no room, and what the shared cache does not keep is never kept here."""
    station = FakeStation()
    near = _near(station)
    for _ in range(2):
        assert await near.translate([segment("a")]) == [Translation("A")]
    assert len(station.calls) == 2
    assert (await near.stats()).entries == 0


async def test_what_the_cache_of_another_model_found_is_not_kept() -> None:
    """While another model is rolled out, the cache of the one before may answer; its own answer is asked for again."""
    station = FakeStation(_found, "the model before")
    near = _near(station)
    for _ in range(2):
        assert await near.translate([segment("a")]) == [_found(segment("a"))]
    assert len(station.calls) == 2
    assert (await near.stats()).entries == 0


async def test_a_failure_is_passed_on_and_not_kept() -> None:
    """Its neighbours are."""
    failure = Failure(EngineError("the model failed on this segment"))
    station = FakeStation(lambda asked: failure if asked.text == "b" else _found(asked))
    near = _near(station)
    for _ in range(2):
        assert (await near.translate([segment("a"), segment("b")]))[1] is failure
    assert [[asked.text for asked in call] for call in station.calls] == [["a", "b"], ["b"]]


async def test_only_what_is_missing_goes_on_and_outcomes_stay_in_order() -> None:
    """Two are here and two are not: one call with those two, one outcome for each."""
    station = FakeStation(_found)
    near = _near(station)
    await near.translate([segment("b"), segment("d")])
    assert texts(await near.translate([segment(text) for text in "abcd"])) == ["A", "B", "C", "D"]
    assert [asked.text for asked in station.calls[1]] == ["a", "c"]


async def test_all_that_decides_an_output_tells_entries_apart() -> None:
    """Another adapter, another language or other decoding is another question."""
    asked = segment("a")
    others = [
        replace(asked, adapter="medical@1"),
        replace(asked, target_lang="spa_Latn"),
        replace(asked, decoding=DecodingOptions(num_beams=4)),
    ]
    station = FakeStation(_found)
    near = _near(station)
    for each in [asked, *others]:
        await near.translate([each])
    assert [call[0] for call in station.calls] == [asked, *others]


async def test_an_entry_is_forgotten_when_it_is_old() -> None:
    """After its age the shared cache is asked again, which may have been emptied by somebody else."""
    station, clock = FakeStation(_found), Clock()
    near = _near(station, clock)
    await near.translate([segment("a")])
    clock.now_s = TTL_S + 1
    await near.translate([segment("a")])
    assert len(station.calls) == 2


async def test_clearing_also_forgets_what_is_on_its_way() -> None:
    """An answer that the shared cache gave before it was emptied does not come back as an entry."""
    station = FakeStation(_found)
    near = _near(station)
    await near.translate([segment("a")])
    station.released.clear()
    asking = await started(near.translate([segment("b")]))
    assert await near.clear() == 1
    station.released.set()
    assert texts(await asking) == ["B"]
    assert (await near.stats()).entries == 0
