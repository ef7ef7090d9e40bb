"""A file of SQLite that the processes of one machine share. Knows nothing of what is in it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from pipelines.errors import UnavailableError

T = TypeVar("T")
_BUSY_TIMEOUT_S = 5.0


class SqliteFile:
    """Usable from any thread; nothing is opened before the first use.

    Args:
        path: Of the file, which is made with its folder, for its owner's eyes alone.
        schema: Statements that make the tables that are missing.
        content: What it keeps, for messages.
    """

    def __init__(self, path: Path, schema: str, *, content: str) -> None:
        self._path = path
        self._schema = schema
        self._content = content

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something in one transaction, in a thread.

        Raises:
            UnavailableError: The file cannot be used.
        """
        return await asyncio.to_thread(self._run, work)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if not self._path.exists():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.touch(mode=0o600)
            with closing(sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S)) as db, db:
                db.executescript(self._schema)
                return work(db)
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(f"the store of the {self._content} cannot be used") from error
