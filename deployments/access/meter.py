"""Counts the characters that a key has translated this month, and refuses what is over its quota."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from deployments.access.callers import Caller, current_caller
from deployments.access.keys import KeyRecord
from deployments.access.store import KeyStore, Usage
from pipelines.errors import ForbiddenError, QuotaExceededError, UnavailableError

_LOGGER = logging.getLogger(__name__)
_OWED = "the usage of a key could not be written; it will be added later"


@dataclass(slots=True)
class Bill:
    """What a request pays for.

    Attributes:
        num_characters: Charged when the work begins.
        num_done: Of these, as many as were translated; the rest is given back when the work ends, however it ends.
    """

    num_characters: int
    num_done: int = 0


@dataclass(slots=True)
class _Debt:
    """What is still to be added to a key's month.

    Attributes:
        asked: By its token, what the store was asked to add and may have added.
        rest: What it was not yet asked to add.
    """

    asked: dict[str, Usage] = field(default_factory=dict)
    rest: Usage = field(default_factory=Usage)

    @property
    def is_settled(self) -> bool:
        return not self.asked and self.rest == Usage()

    def add(self, usage: Usage) -> None:
        characters = self.rest.num_characters + usage.num_characters
        self.rest = Usage(characters, self.rest.num_requests + usage.num_requests)

    def next(self) -> tuple[str, Usage]:
        # All of the rest at once, and only when nothing else is left: however long the store is gone, it is one more.
        if not self.asked:
            self.asked[uuid.uuid4().hex], self.rest = self.rest, Usage()
        return next(iter(self.asked.items()))


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
        self._owed: dict[tuple[str, str], _Debt] = {}

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
        charging = asyncio.ensure_future(self._add(key, month, num_characters))
        try:
            # To its end: only then is it known what there is to give back to a caller who hung up meanwhile.
            await asyncio.shield(charging)
            yield bill
        finally:
            if bill.num_done < bill.num_characters:
                await asyncio.shield(self._give_back(key, month, bill.num_characters - bill.num_done, charging))

    async def usage(self, key: KeyRecord) -> Usage:
        """Return what a key used this month.

        Raises:
            UnavailableError: The store cannot be reached.
        """
        return await self._store.usage(key.id, month_of(self._now()))

    async def _add(self, key: KeyRecord, month: str, num_characters: int) -> None:
        quota = key.limits.characters_per_month
        usage, token = Usage(num_characters, 1), uuid.uuid4().hex
        try:
            await self._settle(key.id, month)
        except UnavailableError:
            self._owe(key.id, month, usage)
            return
        try:
            added = await self._store.add_usage(key.id, month, usage, quota=quota, token=token)
        except UnavailableError:
            # It may have been added all the same; under the same token it is not added again.
            self._debt(key.id, month).asked[token] = usage
            _LOGGER.warning(_OWED)
            return
        if quota is not None and not added.fits:
            raise self._over_quota(quota, added.used.num_characters, num_characters)

    async def _give_back(self, key: KeyRecord, month: str, num_characters: int, charging: asyncio.Future[None]) -> None:
        await asyncio.wait([charging])
        if charging.cancelled() or charging.exception() is not None:
            return
        self._debt(key.id, month).add(Usage(-num_characters))
        # At once: the key's next request may go to another replica, and be refused for what this one still owes.
        try:
            await self._settle(key.id, month)
        except UnavailableError:
            _LOGGER.warning(_OWED)

    async def _settle(self, key_id: str, month: str) -> None:
        debt = self._owed.get((key_id, month))
        if debt is None:
            return
        while not debt.is_settled:
            token, usage = debt.next()
            await self._store.add_usage(key_id, month, usage, token=token)
            debt.asked.pop(token, None)
        if self._owed.get((key_id, month)) is debt:
            del self._owed[key_id, month]

    def _owe(self, key_id: str, month: str, usage: Usage) -> None:
        self._debt(key_id, month).add(usage)
        _LOGGER.warning(_OWED)

    def _debt(self, key_id: str, month: str) -> _Debt:
        return self._owed.setdefault((key_id, month), _Debt())

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
