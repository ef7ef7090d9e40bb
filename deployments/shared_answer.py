"""One answer for all who ask within a short time: what takes calls to all replicas is not done for each who asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class SharedAnswer(Generic[_T]):
    """Finds an answer when it is asked for and the last one is too old; who asks meanwhile waits for the same.

    Args:
        find: Finds it. What it raises is raised to who asked, and the next who asks lets it try again.
        lifetime_s: How long an answer is good for.
        clock_s: Any clock that never goes back.
    """

    def __init__(
        self, find: Callable[[], Awaitable[_T]], lifetime_s: float, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._find = find
        self._lifetime_s = lifetime_s
        self._clock_s = clock_s
        self._lock = asyncio.Lock()
        self._known: tuple[float, _T] | None = None

    async def get(self) -> _T:
        """Return the answer, which is shared: not to be changed."""
        async with self._lock:
            if self._known is None or self._clock_s() - self._known[0] > self._lifetime_s:
                self._known = None
                answer = await self._find()
                self._known = (self._clock_s(), answer)
            return self._known[1]
