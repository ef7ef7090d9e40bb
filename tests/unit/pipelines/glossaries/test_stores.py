"""What is kept of glossaries, in a file and in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipelines.errors import UnavailableError
from pipelines.glossaries.record import GlossaryVersion
from pipelines.glossaries.redis_store import RedisGlossaryStore
from pipelines.glossaries.store import GlossaryStore, SqliteGlossaryStore
from pipelines.shared_redis import SharedRedis


@pytest.fixture(params=["sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[GlossaryStore]:
    """An empty store of each kind."""
    if request.param == "sqlite":
        yield SqliteGlossaryStore(tmp_path / "var" / "glossaries.sqlite3")
        return
    server = request.getfixturevalue("redis_server")
    server.command("FLUSHALL")
    redis = SharedRedis(f"redis://127.0.0.1:{server.port}/0", timeout_s=5, content="glossaries")
    yield RedisGlossaryStore(redis)
    await redis.close()


def _glossary(id: str = "medical", **entries: str) -> GlossaryVersion:
    return GlossaryVersion(id, 0, "eng_Latn", "hin_Deva", entries or {"heart": "दिल"}, match_case=True)


async def test_versions_are_numbered_and_stay(store: GlossaryStore) -> None:
    """A new version does not change the one before it."""
    first = await store.create(_glossary(heart="दिल"))
    second = await store.add(_glossary(heart="हृदय"))
    assert first is not None
    assert second is not None
    assert (first.version, second.version) == (1, 2)
    assert await store.get("medical") == second
    assert await store.get("medical", 1) == first
    assert await store.versions("medical") == [1, 2]


async def test_those_who_write_together_get_numbers_of_their_own(store: GlossaryStore) -> None:
    """Ten writers, ten versions."""
    await store.create(_glossary())
    written = await asyncio.gather(*(store.add(_glossary(term=str(n))) for n in range(10)))
    kept = {(each.version, each.entries["term"]) for each in written if each is not None}
    assert sorted(version for version, _ in kept) == list(range(2, 12))
    assert {term for _, term in kept} == set(map(str, range(10)))


async def test_of_those_who_create_together_one_does(store: GlossaryStore) -> None:
    """Ten with one name: one writes the first version, the others are told that there is one."""
    written = await asyncio.gather(*(store.create(_glossary(term=str(n))) for n in range(10)))
    (created,) = [each for each in written if each is not None]
    assert await store.get("medical") == created
    assert await store.versions("medical") == [1]


async def test_what_was_removed_gets_no_new_version(store: GlossaryStore) -> None:
    """Only a glossary that is there does; one that is removed at the same time is not made again by it."""
    assert await store.add(_glossary()) is None
    await store.create(_glossary())
    added, removed, _ = await asyncio.gather(
        store.add(_glossary(term="new")), store.delete("medical"), store.add(_glossary(term="newer"))
    )
    assert removed >= 1
    assert (await store.versions("medical"), await store.newest()) == ([], [])
    assert added is None or added.version == 2


async def test_the_newest_of_all_are_listed(store: GlossaryStore) -> None:
    """By name, each in its newest version."""
    for name in ("b", "a"):
        await store.create(_glossary(name))
    await store.add(_glossary("a"))
    assert [each.name for each in await store.newest()] == ["a@2", "b@1"]


async def test_what_is_not_there_is_not_there(store: GlossaryStore) -> None:
    """Unknown names and versions are None; a deleted glossary is gone with all its versions."""
    assert (await store.get("medical"), await store.versions("medical"), await store.delete("medical")) == (None, [], 0)
    await store.create(_glossary())
    await store.add(_glossary())
    assert await store.get("medical", 7) is None
    assert await store.delete("medical") == 2
    assert (await store.get("medical"), await store.newest()) == (None, [])


async def test_an_unusable_store_says_so(tmp_path: Path) -> None:
    """A folder in the file's place, a Redis that is not there: unavailable, not a stack trace."""
    with pytest.raises(UnavailableError, match="glossaries"):
        await SqliteGlossaryStore(tmp_path).newest()
    redis = SharedRedis("redis://127.0.0.1:1/0", timeout_s=0.2, content="glossaries")
    with pytest.raises(UnavailableError, match="glossaries"):
        await RedisGlossaryStore(redis).newest()
    await redis.close()
