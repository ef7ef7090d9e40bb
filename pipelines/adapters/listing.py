"""What a registry holds, by the names of its files: looks at the store, and reads nothing.

What no adapter can be called is none: a copy that somebody left beside the adapters, say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.adapters.alias_log import RECORD_PATH
from pipelines.adapters.manifest import MANIFEST_FILE, NAME
from pipelines.adapters.store import CreateOnlyStore

_VERSION_FOLDER = rf"adapters/({NAME})/([1-9][0-9]{{0,8}})"
_MANIFEST_PATH = re.compile(f"{_VERSION_FOLDER}/{re.escape(MANIFEST_FILE)}")
_CLAIM_PATH = re.compile(f"{_VERSION_FOLDER}/[^/]+")


@dataclass(frozen=True, slots=True)
class Listing:
    """What exists, by name."""

    versions: Mapping[str, tuple[int, ...]]
    records: Mapping[str, int]
    """Number of the newest record of each alias."""

    @property
    def names(self) -> tuple[str, ...]:
        """Adapters with a version, sorted."""
        return tuple(sorted(self.versions))


def list_all(store: CreateOnlyStore) -> Listing:
    """Return which versions and alias records exist.

    Raises:
        UnavailableError: The store cannot be read.
    """
    versions: dict[str, list[int]] = {}
    records: dict[str, int] = {}
    # A listing takes its time, and an alias may move to a version that is published meanwhile. Aliases first: what
    # they name is there when the versions are listed.
    aliases = store.paths("aliases")
    for path in store.paths():
        if match := _MANIFEST_PATH.fullmatch(path):
            versions.setdefault(match[1], []).append(int(match[2]))
    for match in filter(None, map(RECORD_PATH.fullmatch, aliases)):
        records[match[1]] = max(records.get(match[1], 0), int(match[2]))
    return Listing({name: tuple(sorted(found)) for name, found in versions.items()}, records)


def list_published(store: CreateOnlyStore, name: str) -> list[int]:
    """Return the versions of an adapter that have a manifest, the oldest first."""
    return _numbers(store, name, _MANIFEST_PATH)


def list_claimed(store: CreateOnlyStore, name: str) -> list[int]:
    """Return the versions of an adapter that have any file, the oldest first."""
    return _numbers(store, name, _CLAIM_PATH)


def _numbers(store: CreateOnlyStore, name: str, pattern: re.Pattern[str]) -> list[int]:
    found = (pattern.fullmatch(path) for path in store.paths(f"adapters/{name}"))
    return sorted({int(match[2]) for match in found if match})
