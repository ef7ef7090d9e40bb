"""Asks Ray Serve's controller what runs. Knows nothing of who wants to know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from pipelines.errors import UnavailableError

_T = TypeVar("_T")
_TIMEOUT_S = 5.0


class ServeStatus(Generic[_T]):
    """One question at a time, which all share who ask meanwhile.

    It blocks a thread for as long as the controller is away: one of its own, so that nothing else waits for it.

    Args:
        ask: Asks, in a thread.
        timeout_s: Longest wait for an answer.
    """

    def __init__(self, ask: Callable[[], _T], timeout_s: float = _TIMEOUT_S) -> None:
        self._ask = ask
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="serve-status")
        self._asking: asyncio.Future[_T] | None = None

    async def get(self) -> _T:
        """Return the answer.

        Raises:
            UnavailableError: There is none in time.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().run_in_executor(self._thread, self._ask)
        done, _ = await asyncio.wait([self._asking], timeout=self._timeout_s)
        if not done:
            raise UnavailableError("the controller of Ray Serve does not answer", retry_after_s=1.0)
        return done.pop().result()
