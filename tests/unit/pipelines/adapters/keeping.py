"""An engine and a clock for tests of what a replica keeps in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from pipelines.adapters.keeper import AdapterKeeper
from pipelines.adapters.manifest import FILES
from pipelines.protocols import EncodedSegment
from pipelines.types import LoadedAdapter, Outcome
from tests.fakes import ManualEngine

KeeperMaker = Callable[..., AdapterKeeper]


class Clock:
    """Seconds that pass when the test says so."""

    now_s = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


class FileEngine(ManualEngine):
    """Takes as many bytes for an adapter as its files have, and says when rows have come."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[str, int] = {}
        self._submitted = asyncio.Event()

    def submit(self, rows: list[EncodedSegment]) -> list[Future[Outcome]]:
        """See `Engine`."""
        self._submitted.set()
        return super().submit(rows)

    async def until_rows(self, num_rows: int) -> None:
        """Return once so many rows wait for `finish`."""
        while len(self.rows) < num_rows:
            self._submitted.clear()
            await self._submitted.wait()

    def load_adapter(self, version: str, folder: Path) -> LoadedAdapter:
        """See `Engine`."""
        self.sizes[version] = sum((folder / file).stat().st_size for file in FILES)
        return super().load_adapter(version, folder)

    def adapters(self) -> dict[str, LoadedAdapter]:
        """See `Engine`."""
        return {
            version: LoadedAdapter(version, each.rank, self.sizes.get(version, 0), each.num_rows)
            for version, each in super().adapters().items()
        }
