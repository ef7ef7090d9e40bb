"""Counts the characters that a key has translated this month, and refuses what is over its quota."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from deployments.access.callers import Caller, current_caller
from deployments.access.keys import KeyRecord
from deployments.access.store import KeyStore, Usage
from pipelines.errors import ForbiddenError, QuotaExceededError, UnavailableError

_LOGGER = logging.getLogger(__name__)


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
    async def charge(self, num_characters: int) -> AsyncIterator[None]:
        """Charge the block's work, unless it raises.

        Raises:
            QuotaExceededError: It would be over the quota of this month.
        """
        key = _key_of(current_caller.get())
        if key is None:
            yield
            return
        month = month_of(self._now())
        await self._add(key, month, num_characters)
        try:
            yield
        except BaseException:
            self._owed[key.id, month] -= num_characters
            raise

    async def usage(self, key: KeyRecord) -> Usage:
        """Return what a key used this month.

        Raises:
            UnavailableError: The store cannot be reached.
        """
        return await self._store.usage(key.id, month_of(self._now()))

    async def _add(self, key: KeyRecord, month: str, num_characters: int) -> None:
        owed = self._owed.pop((key.id, month), 0)
        try:
            used = await self._store.add_usage(key.id, month, Usage(num_characters + owed, 1))
            quota = key.limits.characters_per_month
            # Added first and taken back if it was too much: requests at the same time cannot both pass.
            if quota is not None and used.num_characters > quota:
                self._owed[key.id, month] -= num_characters
                raise self._over_quota(quota, used.num_characters - num_characters, num_characters)
        except UnavailableError:
            self._owed[key.id, month] += owed + num_characters
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
