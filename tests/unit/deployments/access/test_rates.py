"""Which rate limits a request is counted by, and which of them decides."""

from __future__ import annotations

from typing import Any

import pytest
from limits import RateLimitItem

from deployments.access.callers import Caller
from deployments.access.guard import Guard
from deployments.access.keys import KeyLimits, make_key
from deployments.access.limiter import LocalSlots, Window
from deployments.access.routes import requirement_of

TRANSLATE = requirement_of("POST", "/api/v1/translate")
NOBODY: Any = None  # who is calling is not asked here
ENDPOINTS, KEYS_OWN = 10, 5  # requests: of the endpoint, of the key


class _Limiter:
    """Has so many requests left of each limit."""

    def __init__(self, left: dict[int, int]) -> None:
        self.counted: list[tuple[str, ...]] = []
        self._left = left

    async def hit(self, rate: RateLimitItem, *identifiers: str) -> Window:
        """See `RateLimiter`."""
        self.counted.append(identifiers)
        left = self._left[rate.amount]
        return Window(left >= 0, rate.amount, max(0, left), rate.get_expiry(), 1)


async def _count(limiter: Any, *callers: Caller) -> list[Window | None]:
    guard = Guard(NOBODY, NOBODY, limiter, LocalSlots(), rates={"translate": f"{ENDPOINTS}/hour"}, slot_lease_s=1)
    return [await guard.count(caller, TRANSLATE) for caller in callers]


def _caller(address: str = "203.0.113.9") -> Caller:
    _, record = make_key("Ann", ("translate",), KeyLimits(requests_per_second=KEYS_OWN))
    return Caller(record, address)


@pytest.mark.parametrize(
    ("left", "decides"),
    [
        ({ENDPOINTS: -1, KEYS_OWN: 4}, ENDPOINTS),
        ({ENDPOINTS: 9, KEYS_OWN: -1}, KEYS_OWN),
        ({ENDPOINTS: 1, KEYS_OWN: 4}, ENDPOINTS),
        ({ENDPOINTS: 9, KEYS_OWN: 1}, KEYS_OWN),
        ({ENDPOINTS: 0, KEYS_OWN: -1}, KEYS_OWN),
        ({ENDPOINTS: -1, KEYS_OWN: 0}, ENDPOINTS),
    ],
)
async def test_the_limit_that_leaves_least_room_decides(left: dict[int, int], decides: int) -> None:
    """One that refuses, before one that lets its last request in, before one with more to come."""
    (window,) = await _count(_Limiter(left), _caller())
    assert window is not None
    assert (window.limit, window.allowed) == (decides, left[decides] >= 0)


async def test_each_key_has_its_own_windows() -> None:
    """Two keys behind one address do not use up each other's requests, of an endpoint or in all."""
    limiter = _Limiter({ENDPOINTS: 1, KEYS_OWN: 1})
    callers = [_caller(), _caller()]
    await _count(limiter, *callers)
    assert limiter.counted == [
        identifiers for caller in callers for identifiers in (("translate", caller.identity), (caller.identity,))
    ]


async def test_who_has_no_key_is_counted_by_address() -> None:
    """By the endpoint's limit alone."""
    limiter = _Limiter({ENDPOINTS: 1})
    await _count(limiter, Caller(None, "203.0.113.9"))
    assert limiter.counted == [("translate", "address:203.0.113.9")]
