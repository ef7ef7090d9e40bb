"""What the service reads its adapters and keys from is gone under a steady load: what was read before serves on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.access.keys import KeyLimits, KeyRecord, make_key
from deployments.access.meter import month_of
from deployments.access.redis_store import RedisKeyStore
from pipelines.adapters import AdapterRegistry
from pipelines.breaker import CircuitBreaker
from pipelines.shared_redis import SharedRedis
from tests.chaos.adapters import Publisher
from tests.chaos.conftest import ENGINE, LoadOn, Settled
from tests.chaos.harness import Clients, ClusterProcess, Load
from tests.chaos.table import record_nothing_lost
from tests.redis_server import RedisServer, running_redis
from tests.s3_server import S3Server, running_s3

pytestmark = pytest.mark.chaos

_BUCKET = "chaos-registry"
_URI = f"s3://{_BUCKET}/nllb"


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    """A real S3 with the registry of adapters."""
    with running_s3() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.variables.items():
            patch.setenv(name, value)
        server.files().mkdir(_BUCKET)
        yield server


@pytest.fixture(scope="module")
def publisher(s3_server: S3Server, demo_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    """Publishes there; the first version of `medical` is live."""
    # A probe at every turn: the test publishes as soon as the server is back.
    registry = AdapterRegistry(_URI, breaker=CircuitBreaker(cool_down_s=0))
    publisher = Publisher(registry, ENGINE, demo_model_path, tmp_path_factory.mktemp("adapters"))
    publisher.publish("medical")
    return publisher


@pytest.fixture(scope="module")
def key_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis with the keys and their usage; it writes all that it has to disk."""
    with running_redis(tmp_path_factory.mktemp("keys"), durable=True) as server:
        yield server


def _put(server: RedisServer, record: KeyRecord) -> None:
    async def put() -> None:
        redis = SharedRedis(_url(server), timeout_s=5, content="keys")
        await RedisKeyStore(redis).put(record)
        await redis.close()

    asyncio.run(put())


def _url(server: RedisServer) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(scope="module")
def key(key_server: RedisServer) -> tuple[str, KeyRecord]:
    """The key that the load shows: with a quota and a rate that it does not reach."""
    limits = KeyLimits(requests_per_second=1000, characters_per_month=10**9, concurrent_requests=100)
    text, record = make_key("load", ("translate",), limits)
    _put(key_server, record)
    return text, record


@pytest.fixture(scope="module")
def settings(publisher: Publisher, key_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Adapters from S3; keys that are needed, and read again at nearly every request."""
    return {
        "adapters.registry": _URI,
        "adapters.copies_dir": str(tmp_path_factory.mktemp("copies")),
        "adapters.watch_interval_s": 0.5,
        "access.keys": "required",
        "access.store": "redis",
        "access.redis_url": _url(key_server),
        "access.key_lifetime_s": 0.1,
    }


@pytest.fixture(scope="module")
def variables(s3_server: S3Server) -> dict[str, str]:
    """Where S3 is."""
    return s3_server.variables


@pytest.fixture(scope="module")
def clients(key: tuple[str, KeyRecord]) -> Clients:
    """Every other one asks for the adapter."""
    return Clients(headers={"X-API-Key": key[0]}, adapters=(None, "medical"))


async def _serves(running: Load, version: str) -> None:
    await running.until_served(version)
    await running.until(60)


async def test_the_registry_hangs_and_goes_on(s3_server: S3Server, publisher: Publisher, load: LoadOn) -> None:
    """What is loaded is served; what is published afterwards as well."""
    async with load() as running:
        running.fault()
        s3_server.freeze()
        await running.until(240)
        s3_server.thaw()
        await _serves(running, await asyncio.to_thread(publisher.publish, "medical"))
    record_nothing_lost("Adapter registry (S3) hung, goes on later", running.report)


async def test_the_registry_is_killed_and_started_again(
    s3_server: S3Server, publisher: Publisher, load: LoadOn
) -> None:
    """The same where connections are refused."""
    async with load() as running:
        running.fault()
        await asyncio.to_thread(s3_server.crash)
        await running.until(240)
        await asyncio.to_thread(s3_server.start)
        await _serves(running, await asyncio.to_thread(publisher.publish, "medical"))
    record_nothing_lost("Adapter registry (S3) killed, started again later", running.report)


async def test_a_translator_dies_while_the_registry_hangs(
    cluster: ClusterProcess, s3_server: S3Server, publisher: Publisher, load: LoadOn, settled: Settled
) -> None:
    """Its successor takes what is live from the copies on disk."""
    async with load() as running:
        s3_server.freeze()
        await running.until(30)
        running.fault()
        await asyncio.to_thread(cluster.kill, "Translator")
        await settled()
        await running.until(120)
        s3_server.thaw()
        await _serves(running, await asyncio.to_thread(publisher.publish, "medical"))
    record_nothing_lost("SIGKILL of a translator replica while the registry hangs", running.report)


async def test_the_redis_of_the_keys_is_killed_and_started_again(
    key_server: RedisServer, key: tuple[str, KeyRecord], load: LoadOn
) -> None:
    """The key that is known goes on, one that is not gets 503 and no details, and usage is added later."""
    stranger_key, stranger = make_key("stranger", ("translate",))
    await asyncio.to_thread(_put, key_server, stranger)
    before = await _num_characters(key_server, key[1])
    async with load() as running:
        running.fault()
        await asyncio.to_thread(key_server.kill)
        await running.until(60)
        refused = await _ask(running.ports[0], stranger_key)
        await running.until(60)
        await asyncio.to_thread(key_server.start)
        async with asyncio.timeout(60):
            while (accepted := await _ask(running.ports[0], stranger_key)).status_code == 503:
                await asyncio.sleep(0.1)
        await running.until(60)
    record_nothing_lost("Redis of the keys killed, started again later", running.report)
    assert refused.status_code == 503
    assert refused.json()["error"]["message"] == "the store of the keys cannot be reached"
    assert accepted.status_code == 200
    # Redis may have added what it did not live to confirm: of each client one text.
    charged = await _num_characters(key_server, key[1]) - before
    assert 0 <= charged - running.report.num_characters <= 6 * 80


async def _ask(port: int, key: str) -> httpx.Response:
    body = {"text": "Hello.", "source_lang": "eng_Latn", "target_lang": "spa_Latn"}
    async with httpx.AsyncClient(timeout=60) as client:
        return await client.post(f"http://127.0.0.1:{port}/api/v1/translate", json=body, headers={"X-API-Key": key})


async def _num_characters(server: RedisServer, record: KeyRecord) -> int:
    redis = SharedRedis(_url(server), timeout_s=5, content="keys")
    usage = await RedisKeyStore(redis).usage(record.id, month_of(datetime.now(UTC)))
    await redis.close()
    return usage.num_characters
