"""The logs of all aliases, in a store: read them, and add a record if nobody was faster.

What a change means is in `pipelines.adapters.alias`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from pipelines.adapters.alias import Action, Alias, AliasRecord, alias_of
from pipelines.adapters.manifest import NAME
from pipelines.adapters.store import CreateOnlyStore
from pipelines.errors import InvalidAdapterError, UnavailableError

RECORD_PATH = re.compile(rf"aliases/({NAME})/([0-9]{{8}})\.json")
_MAX_RECORD_BYTES = 1 << 20
_MAX_ATTEMPTS = 100

Change = Callable[[AliasRecord | None], Mapping[str, Any]]
"""From the newest record to what is to be another; empty if nothing is."""


class AliasLog:
    """One log per alias, each a folder of numbered records."""

    def __init__(self, store: CreateOnlyStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._read: dict[tuple[str, int], AliasRecord] = {}  # records are never changed

    def records(self, name: str) -> tuple[AliasRecord, ...]:
        """Return an alias' whole log, the oldest record first.

        Raises:
            InvalidAdapterError: A record is damaged.
        """
        found = (RECORD_PATH.fullmatch(path) for path in self._store.paths(f"aliases/{name}"))
        return tuple(self.record(name, number) for number in sorted(int(match[2]) for match in found if match))

    def record(self, name: str, number: int) -> AliasRecord:
        """Return one record.

        Raises:
            InvalidAdapterError: It is damaged, or may not be read.
        """
        if (name, number) not in self._read:
            self._read[name, number] = self._read_record(name, number)
        return self._read[name, number]

    def change(self, name: str, action: Action, version: int | None, change: Change) -> Alias:
        """Compare and swap: what was decided on the newest record counts only if no other came after it.

        Raises:
            AdapterConflictError: The change is not possible in the alias' present state.
            UnavailableError: The store cannot be written.
        """
        for _ in range(_MAX_ATTEMPTS):
            records = self.records(name)
            last = records[-1] if records else None
            changed = change(last)
            if last is not None and not changed:
                return alias_of(name, records)
            state = last.model_dump() if last is not None else {}
            number = last.number + 1 if last is not None else 1
            stamp = {"number": number, "action": action, "version": version, "at": self._now()}
            record = AliasRecord.model_validate({**state, **changed, **stamp, "nonce": uuid.uuid4().hex})
            with suppress(FileExistsError):
                self._store.create(record_path(name, number), record.model_dump_json().encode() + b"\n")
                return alias_of(name, (*records, record))
        raise UnavailableError(f"alias {name} changes faster than this change could be made", retry_after_s=1.0)

    def _read_record(self, name: str, number: int) -> AliasRecord:
        path = record_path(name, number)
        try:
            record = AliasRecord.model_validate_json(self._store.read(path, _MAX_RECORD_BYTES))
        except PermissionError as error:
            raise InvalidAdapterError(str(error), field=path) from None
        except (ValueError, FileNotFoundError) as error:  # pydantic's errors are ValueErrors
            raise InvalidAdapterError(f"{path}: cannot be used: {error}", field=path) from None
        if record.number != number:
            raise InvalidAdapterError(f"{path}: says that it is number {record.number}", field=path)
        return record


def record_path(name: str, number: int) -> str:
    """Return where a record is in a registry."""
    return f"aliases/{name}/{number:08d}.json"
