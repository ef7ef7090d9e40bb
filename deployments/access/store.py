"""Where keys and their usage are kept. Does not know what a key allows, nor who asks."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from deployments.access.keys import KeyRecord
from pipelines.sqlite_file import SqliteFile

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS usage (
    key_id TEXT NOT NULL, month TEXT NOT NULL, characters INTEGER NOT NULL, requests INTEGER NOT NULL,
    PRIMARY KEY (key_id, month)
);
CREATE TABLE IF NOT EXISTS added (token TEXT PRIMARY KEY, unix_s REAL NOT NULL);
CREATE INDEX IF NOT EXISTS added_by_time ON added (unix_s);
"""
TOKEN_LIFETIME_S = 600


@dataclass(frozen=True, slots=True)
class Usage:
    """What a key used in a month (UTC)."""

    num_characters: int = 0
    num_requests: int = 0


class Added(NamedTuple):
    """What came of adding to a usage."""

    fits: bool
    """Whether it was added; else it would have been over the quota."""
    used: Usage
    """By now."""


class KeyStore(Protocol):
    """Keeps keys and counts what they use. Every method may raise `UnavailableError`."""

    async def get(self, key_id: str) -> KeyRecord | None:
        """Return the record of a key."""
        ...

    async def put(self, record: KeyRecord) -> None:
        """Keep a record, in place of an earlier one of the same key."""
        ...

    async def all(self) -> list[KeyRecord]:
        """Return every record, oldest first."""
        ...

    async def add_usage(
        self, key_id: str, month: str, usage: Usage, *, quota: int | None = None, token: str | None = None
    ) -> Added:
        """Add to what a key used in a month (`2026-11`), at once for all replicas.

        What would make it more characters than the quota is not added; no two that add at the same time both pass.
        What was added under a token is not added under it again for `TOKEN_LIFETIME_S`: who got no answer asks again.
        """
        ...

    async def usage(self, key_id: str, month: str) -> Usage:
        """Return what a key used in a month."""
        ...


class SqliteKeyStore:
    """A `KeyStore` in a file, shared by the processes of one machine."""

    def __init__(self, file: Path) -> None:
        """Use a file, which is made with the first key."""
        self._file = SqliteFile(file, _SCHEMA, content="keys")

    async def get(self, key_id: str) -> KeyRecord | None:
        """See `KeyStore`."""
        rows = await self._file.run(lambda db: db.execute("SELECT record FROM keys WHERE id = ?", (key_id,)).fetchall())
        return KeyRecord.model_validate_json(rows[0][0]) if rows else None

    async def put(self, record: KeyRecord) -> None:
        """See `KeyStore`."""
        row = (record.id, record.model_dump_json())
        await self._file.run(lambda db: db.execute("INSERT OR REPLACE INTO keys VALUES (?, ?)", row))

    async def all(self) -> list[KeyRecord]:
        """See `KeyStore`."""
        rows = await self._file.run(lambda db: db.execute("SELECT record FROM keys").fetchall())
        return sorted((KeyRecord.model_validate_json(row[0]) for row in rows), key=lambda record: record.created)

    async def add_usage(
        self, key_id: str, month: str, usage: Usage, *, quota: int | None = None, token: str | None = None
    ) -> Added:
        """See `KeyStore`."""

        def work(db: sqlite3.Connection) -> Added:
            db.execute("BEGIN IMMEDIATE")
            used = _used(db, key_id, month)
            now_s = time.time()
            db.execute("DELETE FROM added WHERE unix_s < ?", (now_s - TOKEN_LIFETIME_S,))
            if token is not None and db.execute("SELECT 1 FROM added WHERE token = ?", (token,)).fetchone():
                return Added(True, used)
            total = Usage(used.num_characters + usage.num_characters, used.num_requests + usage.num_requests)
            if quota is not None and total.num_characters > quota:
                return Added(False, used)
            row = (key_id, month, total.num_characters, total.num_requests)
            db.execute("INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?)", row)
            if token is not None:
                db.execute("INSERT INTO added VALUES (?, ?)", (token, now_s))
            return Added(True, total)

        return await self._file.run(work)

    async def usage(self, key_id: str, month: str) -> Usage:
        """See `KeyStore`."""
        return await self._file.run(lambda db: _used(db, key_id, month))


def _used(db: sqlite3.Connection, key_id: str, month: str) -> Usage:
    command = "SELECT characters, requests FROM usage WHERE key_id = ? AND month = ?"
    row = db.execute(command, (key_id, month)).fetchone()
    return Usage(*row) if row else Usage()
