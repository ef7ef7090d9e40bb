"""Counts the characters that a key has translated this month, and refuses what is over its quota."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deployments.access.callers import Caller, current_caller
from deployments.access.keys import KeyRecord
from deployments.access.store import KeyStore, Usage
from pipelines.errors import ForbiddenError, QuotaExceededError, UnavailableError

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class Bill:
    """What a request pays for.

    Attributes:
        num_characters: Charged when the work begins.
        num_done: Of these, as many as were translated; the rest is given back when the work ends, however it ends.
    """

    num_characters: int
    num_done: int = 0


class Meter:
    """Charges the caller of the current request.

    While the store cannot be reached nobody is refused; what was used is added later.

    Args:
        store: Of the usage.
        now: The time, in UTC.
    """

    def __init__(self, store: KeyStore, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._now = now
        self._owed: defaultdict[tuple[str, str], int] = defaultdict(int)

    @asynccontextmanager
    async def charge(self, num_characters: int) -> AsyncIterator[Bill]:
        """Charge the block's work; the block writes into the bill what it has done.

        Raises:
            QuotaExceededError: It would be over the quota of this month.
        """
        bill = Bill(num_characters)
        key = _key_of(current_caller.get())
        if key is None:
            yield bill
            return
        month = month_of(self._now())
        await self._add(key, month, num_characters)
        try:
            yield bill
        finally:
            await self._give_back(key, month, bill.num_characters - bill.num_done)

    async def usage(self, key: KeyRecord) -> Usage:
        """Return what a key used this month.

        Raises:
            UnavailableError: The store cannot be reached.
        """
        return await self._store.usage(key.id, month_of(self._now()))

    async def _add(self, key: KeyRecord, month: str, num_characters: int) -> None:
        quota = key.limits.characters_per_month
        try:
            await self._settle(key.id, month)
            added = await self._store.add_usage(key.id, month, Usage(num_characters, 1), quota=quota)
        except UnavailableError:
            self._owe(key.id, month, num_characters)
            return
        if quota is not None and not added.fits:
            raise self._over_quota(quota, added.used.num_characters, num_characters)

    async def _give_back(self, key: KeyRecord, month: str, num_characters: int) -> None:
        if num_characters <= 0:
            return
        self._owed[key.id, month] -= num_characters
        # At once: the key's next request may go to another replica, and be refused for what this one still owes.
        with suppress(UnavailableError):
            await self._settle(key.id, month)

    async def _settle(self, key_id: str, month: str) -> None:
        if self._owed.get((key_id, month)):
            # To its end: a caller who hangs up is given back what was not done, too.
            await asyncio.shield(self._write_owed(key_id, month))

    async def _write_owed(self, key_id: str, month: str) -> None:
        owed = self._owed.pop((key_id, month), 0)
        try:
            await self._store.add_usage(key_id, month, Usage(owed))
        except UnavailableError:
            self._owe(key_id, month, owed)
            raise

    def _owe(self, key_id: str, month: str, num_characters: int) -> None:
        self._owed[key_id, month] += num_characters
        _LOGGER.warning("the usage of a key could not be written; it will be added later")

    def _over_quota(self, quota: int, num_used: int, num_characters: int) -> QuotaExceededError:
        now = self._now()
        next_month = (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)
        return QuotaExceededError(
            f"this key may translate {quota} characters a month; {num_used} are used, and this request has "
            f"{num_characters}",
            retry_after_s=(next_month - now).total_seconds(),
        )


def check_adapter(adapter: str | None, field: str) -> None:
    """Refuse an adapter that the caller's key may not ask for.

    Raises:
        ForbiddenError: The message names those that it may ask for.
    """
    key = _key_of(current_caller.get())
    if adapter is None or key is None or key.limits.adapters is None:
        return
    if adapter.partition("@")[0] not in key.limits.adapters:
        allowed = ", ".join(key.limits.adapters) or "none"
        raise ForbiddenError(f"this key may not use adapter {adapter!r}; allowed: {allowed}", field=field)


def month_of(time: datetime) -> str:
    """Return the month that usage counts for: `2026-11`."""
    return f"{time:%Y-%m}"


def _key_of(caller: Caller | None) -> KeyRecord | None:
    return None if caller is None else caller.key
