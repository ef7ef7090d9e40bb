"""Which adapters are in memory, and how many rows use each? Knows no tensors and no engine; safe from any thread.

A version is immutable, so a loaded one is never read again, and a row that began with it ends with it: as long as a
row uses an adapter, it stays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pipelines.errors import UnknownAdapterError
from pipelines.types import LoadedAdapter


class Resident(Protocol):
    """What is held of an adapter."""

    @property
    def rank(self) -> int:
        """See `LoadedAdapter.rank`."""
        ...

    @property
    def num_bytes(self) -> int:
        """See `LoadedAdapter.num_bytes`."""
        ...


R = TypeVar("R", bound=Resident)


@dataclass(slots=True)
class _Entry(Generic[R]):
    adapter: R
    num_rows: int = 0


class ResidentAdapters(Generic[R]):
    """Adapters by version, with the rows that use them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry[R]] = {}
        self._loading: dict[str, Future[None]] = {}

    def load(self, version: str, read: Callable[[], R]) -> LoadedAdapter:
        """Have a version in memory; `read` runs in this thread, once for all that ask for the version meanwhile.

        Raises:
            Exception: Whatever `read` raised, to all that waited for it; the next call tries again.
        """
        with self._lock:
            if version in self._entries:
                return self._loaded(version)
            under_way = self._loading.get(version)
            if under_way is None:
                done = self._loading[version] = Future()
        if under_way is not None:
            under_way.result()
            return self.load(version, read)
        try:
            adapter = read()
        except BaseException as error:
            with self._lock:
                del self._loading[version]
            done.set_exception(error)
            raise
        with self._lock:
            self._entries[version] = _Entry(adapter)
            del self._loading[version]
            loaded = self._loaded(version)
        done.set_result(None)
        return loaded

    def unload(self, version: str) -> bool:
        """Forget a version; False while a row uses it, True once it is not there."""
        with self._lock:
            entry = self._entries.get(version)
            if entry is not None and entry.num_rows:
                return False
            self._entries.pop(version, None)
            return True

    def acquire(self, version: str, num_rows: int) -> R:
        """Count rows that use a version from now on, and return it.

        Raises:
            UnknownAdapterError: It is not loaded.
        """
        with self._lock:
            entry = self._entries.get(version)
            if entry is None:
                raise UnknownAdapterError(f"adapter {version!r} is not loaded", field="adapter")
            entry.num_rows += num_rows
            return entry.adapter

    def release(self, version: str, num_rows: int) -> None:
        """Take back what `acquire` counted."""
        with self._lock:
            self._entries[version].num_rows -= num_rows

    def snapshot(self) -> dict[str, LoadedAdapter]:
        """What is loaded now, by version."""
        with self._lock:
            return {version: self._loaded(version) for version in self._entries}

    def _loaded(self, version: str) -> LoadedAdapter:
        entry = self._entries[version]
        return LoadedAdapter(version, entry.adapter.rank, entry.adapter.num_bytes, entry.num_rows)
