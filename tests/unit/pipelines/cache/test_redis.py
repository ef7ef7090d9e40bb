"""The store in Redis, against a real server: what ails Redis costs a hit, never a request.

Time-outs are generous where Redis is well, so that a busy machine fails no test, and short where it is not.
"""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from pipelines.breaker import CircuitBreaker
from pipelines.cache.redis import RedisStore
from pipelines.errors import UnavailableError
from tests.redis_server import RedisServer, running_redis
from tests.unit.pipelines.cache.fakes import Clock

AMPLE_S = 30.0
SHORT_S = 0.05


@asynccontextmanager
async def store_of(server: RedisServer, **arguments: object) -> AsyncIterator[RedisStore]:
    """A store that is closed at the end."""
    settings = {"password": server.password, "ttl_s": 60, "operation_timeout_s": AMPLE_S} | arguments
    store = RedisStore("127.0.0.1", server.port, **settings)  # type: ignore[arg-type]
    try:
        yield store
    finally:
        await store.close()


async def soon(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds, at most `AMPLE_S`."""
    async with asyncio.timeout(AMPLE_S):
        while not await condition():  # noqa: ASYNC110 - the condition is a server's
            await asyncio.sleep(0.01)


async def holds(store: RedisStore, entry: bytes | None) -> bool:
    """Whether the store answers for the key `a` with this."""
    return await store.get_many(["a"]) == [entry]


async def test_entries_come_back_in_the_order_of_the_keys(redis_server: RedisServer) -> None:
    """One answer per key, None for what is not there; no keys need no Redis."""
    async with store_of(redis_server) as store:
        await store.put_many({"a": b"1", "b": b"\x00\xff"})
        assert await store.get_many(["b", "x", "a", "b"]) == [b"\x00\xff", None, b"1", b"\x00\xff"]
        assert await store.get_many([]) == []
        await store.put_many({})


@pytest.mark.parametrize(("ttl_s", "low", "high"), [(60, 50, 60), (None, -1, -1)])
async def test_entries_carry_their_age(redis_server: RedisServer, ttl_s: int | None, low: int, high: int) -> None:
    """Redis forgets an entry by itself; without an age it keeps it (TTL -1)."""
    async with store_of(redis_server, ttl_s=ttl_s, key_prefix="mine:") as store:
        await store.put_many({"a": b"1"})
    left_s = redis_server.command("TTL", "mine:a")
    assert isinstance(left_s, int)
    assert low <= left_s <= high


async def test_clear_removes_its_own_keys_only(redis_server: RedisServer) -> None:
    """Keys of other services stay, also where the prefix reads as a pattern; more than one page is removed."""
    for name in ("other:a", "min:a", "mine:a"):
        redis_server.command("SET", name, "theirs")
    async with store_of(redis_server, key_prefix="m[i]*:") as store:
        await store.put_many({str(number): b"1" for number in range(2500)})
        assert await store.clear() == 2500
        assert await store.clear() == 0
    assert redis_server.command("DBSIZE") == 3


async def test_stats_tell_the_servers_state(redis_server: RedisServer) -> None:
    """Keys, memory, its bound and evictions come from Redis."""
    redis_server.command("CONFIG", "SET", "maxmemory", 100_000_000)
    async with store_of(redis_server) as store:
        await store.put_many({"a": b"1", "b": b"2"})
        stats = await store.stats()
    assert (stats.type, stats.available, stats.entries, stats.errors) == ("redis", True, 2, 0)
    assert (stats.max_entries, stats.max_bytes, stats.evictions) == (None, 100_000_000, 0)
    assert stats.size_bytes is not None
    assert stats.size_bytes > 0


async def test_a_redis_that_is_down_is_a_miss_and_comes_back(redis_server: RedisServer) -> None:
    """Killed: reads find nothing, writes keep nothing, clearing says so; started again: it works again."""
    clock = Clock()
    breaker = CircuitBreaker(failures_to_open=3, cool_down_s=5, clock_s=clock)
    async with store_of(redis_server, breaker=breaker) as store:
        await store.put_many({"a": b"1"})
        redis_server.kill()
        for _ in range(3):
            assert await holds(store, None)
            await store.put_many({"a": b"2"})
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1"):
            await store.clear()
        stats = await store.stats()
        assert (stats.available, stats.entries, stats.size_bytes, stats.evictions) == (False, None, None, None)
        assert breaker.is_open

        redis_server.start()
        assert await holds(store, None)
        clock.now_s += 5
        assert await holds(store, None)
        await store.put_many({"a": b"3"})
        assert await holds(store, b"3")
        assert (await store.stats()).available


async def test_a_frozen_redis_costs_a_few_time_outs_and_then_nothing(redis_server: RedisServer) -> None:
    """After the breaker opened nothing is sent, until a probe finds Redis awake; no answer is taken for another's."""
    clock = Clock()
    breaker = CircuitBreaker(failures_to_open=3, cool_down_s=5, clock_s=clock)
    async with store_of(redis_server, operation_timeout_s=SHORT_S, breaker=breaker) as store:
        names = [f"{number}" for number in range(20)]

        async def written() -> bool:
            await store.put_many({name: name.encode() for name in names})
            return await store.get_many(names) == [name.encode() for name in names]

        await soon(written)
        num_errors = (await store.stats()).errors
        redis_server.freeze()
        for name in names:
            assert await store.get_many([name]) == [None]
        assert (await store.stats()).errors - num_errors == 3

        redis_server.thaw()
        clock.now_s += 5

        async def awake() -> bool:
            clock.now_s += 5
            return (await store.stats()).available

        await soon(awake)
        for name in names:
            assert await store.get_many([name]) in ([name.encode()], [None])


async def test_late_operations_of_a_frozen_redis_leave_no_connection_behind(redis_server: RedisServer) -> None:
    """Many operations and cancelled callers at once, more than connections, and all connections work afterwards."""
    breaker = CircuitBreaker(failures_to_open=10**6)
    async with store_of(redis_server, operation_timeout_s=SHORT_S, max_connections=4, breaker=breaker) as store:
        redis_server.freeze()
        callers = [asyncio.create_task(store.get_many(["a"])) for _ in range(40)]
        await asyncio.sleep(0)
        for caller in callers[::2]:
            caller.cancel()
        assert [await caller for caller in callers[1::2]] == [[None]] * 20
        redis_server.thaw()

        async def all_work() -> bool:
            await store.put_many({"a": b"1"})
            return await asyncio.gather(*(store.get_many(["a"]) for _ in range(8))) == [[b"1"]] * 8

        await soon(all_work)


async def test_a_full_redis_still_reads(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """Refused writes are counted, said once, and do not close the cache; with room again it writes again."""
    async with store_of(redis_server) as store:
        await store.put_many({"a": b"1"})
        redis_server.command("CONFIG", "SET", "maxmemory", 1)
        for _ in range(5):
            await store.put_many({"b": b"2"})
        assert await store.get_many(["a", "b"]) == [b"1", None]
        assert (await store.stats()).errors == 5
        assert [record.getMessage().split(" with ")[1] for record in caplog.records] == [
            "OutOfMemoryError; said only once"
        ]
        redis_server.command("CONFIG", "SET", "maxmemory", 0)
        await store.put_many({"b": b"2"})
        assert await store.get_many(["a", "b"]) == [b"1", b"2"]


async def test_a_password_that_changes_is_a_miss_until_it_is_right_again(tmp_path: Path) -> None:
    """With a wrong password nothing is found and nothing raises; set right, the cache comes back."""
    clock = Clock()
    breaker = CircuitBreaker(failures_to_open=2, cool_down_s=5, clock_s=clock)
    with running_redis(tmp_path, password="right") as server:
        async with store_of(server, breaker=breaker) as store:
            await store.put_many({"a": b"1"})
            assert await holds(store, b"1")
            server.command("ACL", "SETUSER", "default", "resetpass", ">wrong")
            server.password = "wrong"
            server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            for _ in range(3):
                assert await holds(store, None)
            assert breaker.is_open

            server.command("ACL", "SETUSER", "default", "resetpass", ">right")
            clock.now_s += 5
            assert await holds(store, b"1")


async def test_something_else_on_the_port_is_a_miss() -> None:
    """A server that speaks another protocol is an ill Redis."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        store = RedisStore("127.0.0.1", server.sockets[0].getsockname()[1], operation_timeout_s=AMPLE_S)
        assert await holds(store, None)
        assert not (await store.stats()).available
        await store.close()


async def test_a_caller_does_not_wait_for_a_slow_connection() -> None:
    """Opening a connection may take longer than an operation may; the caller goes on without it."""
    over = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        store = RedisStore("127.0.0.1", port, tls=True, connect_timeout_s=1e6, operation_timeout_s=SHORT_S)
        async with asyncio.timeout(AMPLE_S):
            assert await holds(store, None)
        over.set()
        await store.close()


async def test_tls_encrypts_and_verifies(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through TLS with a certificate of a known authority entries come back; from an unknown one it is a miss."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_redis = await asyncio.open_connection("127.0.0.1", redis_server.port)
        await asyncio.gather(_pump(reader, to_redis[1]), _pump(to_redis[0], writer))

    async with await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context) as front:
        port = front.sockets[0].getsockname()[1]
        distrustful = RedisStore("127.0.0.1", port, tls=True, operation_timeout_s=AMPLE_S)
        assert not (await distrustful.stats()).available
        await distrustful.close()

        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        trustful = RedisStore("127.0.0.1", port, tls=True, connect_timeout_s=AMPLE_S, operation_timeout_s=AMPLE_S)
        await trustful.put_many({"a": b"1"})
        assert await holds(trustful, b"1")
        await trustful.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
    await writer.wait_closed()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the connections that the second loop leaves open
def test_a_store_outlives_its_event_loop(redis_server: RedisServer) -> None:
    """Each loop opens its own connections, also where the store was not closed in the one before."""
    store = RedisStore("127.0.0.1", redis_server.port, operation_timeout_s=AMPLE_S)

    async def use(entry: bytes, *, close: bool) -> None:
        await store.put_many({"a": entry})
        assert await holds(store, entry)
        assert (await store.stats()).errors == 0
        if close:
            await store.close()

    asyncio.run(use(b"1", close=True))
    asyncio.run(use(b"2", close=False))
    asyncio.run(use(b"3", close=True))
    gc.collect()
