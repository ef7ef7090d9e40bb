"""Rates and slots, in the process and in a real Redis that may die."""

from __future__ import annotations

from pathlib import Path

import limits

from deployments.access.keys import make_key
from deployments.access.limiter import LocalSlots, RateLimiter, RedisSlots, Slots
from deployments.access.redis_store import RedisKeyStore
from pipelines.shared_redis import SharedRedis
from tests.redis_server import RedisServer, running_redis

RATE = limits.RateLimitItemPerHour(3)


def _shared(server: RedisServer) -> SharedRedis:
    return SharedRedis(f"redis://127.0.0.1:{server.port}/0", timeout_s=5, content="keys")


async def _check_rates(limiter: RateLimiter, other: RateLimiter) -> None:
    windows = [await each.hit(RATE, "translate", "a") for each in (limiter, other, limiter, other)]
    assert [window.allowed for window in windows] == [True, True, True, False]
    assert [window.remaining for window in windows] == [2, 1, 0, 0]
    assert 0 < windows[-1].reset_s <= windows[-1].window_s == 3600
    assert (await limiter.hit(RATE, "translate", "b")).allowed
    assert (await limiter.hit(RATE, "languages", "a")).allowed


async def test_a_rate_is_counted_per_endpoint_and_caller() -> None:
    """The fourth of three is refused, with the time until one is allowed; others are not disturbed."""
    limiter = RateLimiter()
    await _check_rates(limiter, limiter)


async def test_replicas_share_one_count_in_redis(redis_server: RedisServer) -> None:
    """Two limiters over one Redis count together."""
    one, other = _shared(redis_server), _shared(redis_server)
    await _check_rates(RateLimiter(one), RateLimiter(other))
    await one.close()
    await other.close()


async def test_without_its_redis_a_replica_counts_by_itself() -> None:
    """Nobody is refused for Redis' sake, and the limit still holds; the breaker opens."""
    redis = SharedRedis("redis://127.0.0.1:1/0", timeout_s=1, content="keys")
    limiter = RateLimiter(redis)
    assert [(await limiter.hit(RATE, "a")).allowed for _ in range(4)] == [True, True, True, False]
    assert redis.breaker.state == "open"
    await redis.close()


async def test_a_full_redis_is_counted_without_and_not_given_up(tmp_path: Path) -> None:
    """It refuses to count, so the replica does; keys are still read from it, whatever rates and slots meet."""
    with running_redis(tmp_path) as server:
        redis = _shared(server)
        _, record = make_key("Ann", ("translate",))
        await RedisKeyStore(redis).put(record)
        server.command("CONFIG", "SET", "maxmemory", "1")
        limiter, slots = RateLimiter(redis), RedisSlots(redis)
        assert [(await limiter.hit(RATE, "a")).allowed for _ in range(4)] == [True, True, True, False]
        assert [await slots.take("a", 3, 60) is not None for _ in range(4)] == [True, True, True, False]
        assert await RedisKeyStore(redis).get(record.id) == record
        assert redis.breaker.state == "closed"
        await redis.close()


async def _check_slots(one: Slots, other: Slots) -> None:
    first = await one.take("a", 2, 60)
    assert first is not None
    assert await other.take("a", 2, 60) is not None
    assert await one.take("a", 2, 60) is None
    assert await one.take("b", 2, 60) is not None
    await one.give_back("a", first)
    assert await other.take("a", 2, 60) is not None


async def test_slots_are_taken_and_given_back() -> None:
    """Two of two are taken, the third is refused until one comes back."""
    slots = LocalSlots()
    await _check_slots(slots, slots)


async def test_replicas_share_slots_and_leases_end(redis_server: RedisServer) -> None:
    """Together over one Redis; a lease whose holder died is free again when it ends."""
    redis = _shared(redis_server)
    await _check_slots(RedisSlots(redis), RedisSlots(redis))
    assert await RedisSlots(redis).take("c", 1, lease_s=-1) is not None
    assert await RedisSlots(redis).take("c", 1, lease_s=60) is not None
    await redis.close()


async def test_without_redis_slots_are_those_of_the_process() -> None:
    """Taken before or after Redis went, each goes back to where it is from."""
    redis = SharedRedis("redis://127.0.0.1:1/0", timeout_s=1, content="keys")
    slots = RedisSlots(redis)
    token = await slots.take("a", 1, 60)
    assert token is not None
    assert await slots.take("a", 1, 60) is None
    await slots.give_back("a", token)
    assert await slots.take("a", 1, 60) is not None
    await redis.close()
