"""Where glossaries are kept; by default in a file that the processes of one machine share."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from pipelines.glossaries.record import GlossaryVersion
from pipelines.sqlite_file import SqliteFile

_SCHEMA = """
CREATE TABLE IF NOT EXISTS glossaries (
    id TEXT NOT NULL, version INTEGER NOT NULL, record TEXT NOT NULL, PRIMARY KEY (id, version)
);
"""


class GlossaryStore(Protocol):
    """Keeps versions of glossaries; a version is never changed. Every method may raise `UnavailableError`."""

    async def create(self, glossary: GlossaryVersion) -> GlossaryVersion | None:
        """Write a first version, or return None if there is such a glossary; of many at once one succeeds."""
        ...

    async def add(self, glossary: GlossaryVersion) -> GlossaryVersion | None:
        """Write the next version, or return None if there is no such glossary.

        Its number is given here, whatever it says.
        """
        ...

    async def get(self, glossary_id: str, version: int | None = None) -> GlossaryVersion | None:
        """Return a version, by default the newest."""
        ...

    async def versions(self, glossary_id: str) -> list[int]:
        """Return the numbers of a glossary's versions, oldest first; none if there is no such glossary."""
        ...

    async def newest(self) -> list[GlossaryVersion]:
        """Return the newest version of every glossary, by name."""
        ...

    async def delete(self, glossary_id: str) -> int:
        """Remove a glossary and return how many versions it had."""
        ...


class SqliteGlossaryStore:
    """A `GlossaryStore` in a file, which is made with the first glossary."""

    def __init__(self, file: Path) -> None:
        self._file = SqliteFile(file, _SCHEMA, content="glossaries")

    async def create(self, glossary: GlossaryVersion) -> GlossaryVersion | None:
        """See `GlossaryStore`."""
        return await self._file.run(lambda db: _write(db, glossary, first=True))

    async def add(self, glossary: GlossaryVersion) -> GlossaryVersion | None:
        """See `GlossaryStore`."""
        return await self._file.run(lambda db: _write(db, glossary, first=False))

    async def get(self, glossary_id: str, version: int | None = None) -> GlossaryVersion | None:
        """See `GlossaryStore`."""
        command = (
            "SELECT record FROM glossaries WHERE id = ?1 "
            "AND version = COALESCE(?2, (SELECT MAX(version) FROM glossaries WHERE id = ?1))"
        )
        row = await self._file.run(lambda db: db.execute(command, (glossary_id, version)).fetchone())
        return GlossaryVersion.from_json(row[0]) if row else None

    async def versions(self, glossary_id: str) -> list[int]:
        """See `GlossaryStore`."""
        command = "SELECT version FROM glossaries WHERE id = ? ORDER BY version"
        return [row[0] for row in await self._file.run(lambda db: db.execute(command, (glossary_id,)).fetchall())]

    async def newest(self) -> list[GlossaryVersion]:
        """See `GlossaryStore`."""
        command = "SELECT record, MAX(version) FROM glossaries GROUP BY id ORDER BY id"
        rows = await self._file.run(lambda db: db.execute(command).fetchall())
        return [GlossaryVersion.from_json(row[0]) for row in rows]

    async def delete(self, glossary_id: str) -> int:
        """See `GlossaryStore`."""
        command = "DELETE FROM glossaries WHERE id = ?"
        return int(await self._file.run(lambda db: db.execute(command, (glossary_id,)).rowcount))


def _write(db: sqlite3.Connection, glossary: GlossaryVersion, *, first: bool) -> GlossaryVersion | None:
    db.execute("BEGIN IMMEDIATE")  # whoever writes at the same time waits here, before reading what there is
    newest = db.execute("SELECT MAX(version) FROM glossaries WHERE id = ?", (glossary.id,)).fetchone()[0]
    if first != (newest is None):
        return None
    numbered = replace(glossary, version=(newest or 0) + 1)
    db.execute("INSERT INTO glossaries VALUES (?, ?, ?)", (numbered.id, numbered.version, numbered.to_json()))
    return numbered
