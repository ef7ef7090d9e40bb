"""Which adapters stay in an engine's memory, and which leave when room is needed.

The least recently used leaves first, never one that is pinned or in use. Knows no registry, and loads nothing.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.protocols import Engine

_LOGGER = logging.getLogger(__name__)


class AdapterMemory:
    """What an engine has for adapters. Belongs to one event loop.

    Args:
        engine: Holds the adapters.
        max_bytes: Most that they may take, as the engine counts them.

    Attributes:
        required: Versions that are meant to be here; they leave for a request alone.
        pinned: Versions that never leave.
    """

    def __init__(self, engine: Engine, max_bytes: int) -> None:
        self._engine = engine
        self.max_bytes = max_bytes
        self.required: frozenset[str] = frozenset()
        self.pinned: frozenset[str] = frozenset()
        self._order = itertools.count()
        self._last_use: dict[str, int] = {}
        self._leases: Counter[str] = Counter()
        self._reserved: dict[str, int] = {}

    def holds(self, version: str) -> bool:
        """Whether a version can be used at once."""
        return version in self._engine.adapters()

    @contextmanager
    def in_use(self, version: str) -> Iterator[None]:
        """Keep a version from leaving, be it here or on its way, as long as the block runs."""
        self._leases[version] += 1
        self._last_use[version] = next(self._order)
        try:
            yield
        finally:
            self._leases[version] -= 1
            if not self._leases[version]:
                del self._leases[version]

    def reserve(self, version: str, num_bytes: int, *, for_request: bool, spare: bool) -> bool:
        """Set room aside for a version that is to be loaded; False if others would have to leave that may not.

        Args:
            version: Its name.
            num_bytes: Of its file: what it takes in the engine is known once it is there, and about as much.
            for_request: Whether one that is required may leave for it.
            spare: Whether none may.
        """
        if not spare and not self._could_make_room(num_bytes, for_request=for_request):
            return False  # and nobody leaves in vain
        if not self._make_room(num_bytes, for_request=for_request, spare=spare):
            return False
        self._reserved[version] = num_bytes
        return True

    def release(self, version: str) -> None:
        """Give back what was set aside: the version is here now, or is not going to be."""
        self._reserved.pop(version, None)

    def settle(self, version: str) -> None:
        """Count a version that has come as used; it may have come out larger than its file."""
        self._last_use.setdefault(version, next(self._order))
        self._make_room(0, for_request=False, spare=False)

    def unload(self, version: str) -> bool:
        """Let a version leave, unless it is pinned or in use; whether it did."""
        if version in self.pinned or self._leases[version] or not self._engine.unload_adapter(version):
            return False
        self._last_use.pop(version, None)
        del self._leases[version]
        _LOGGER.info("adapter %s has left", version, extra={"adapter": version})
        return True

    def _could_make_room(self, num_bytes: int, *, for_request: bool) -> bool:
        staying = [
            each.num_bytes
            for version, each in self._engine.adapters().items()
            if version in self.pinned
            or version in self._leases
            or each.num_rows
            or (version in self.required and not for_request)
        ]
        return num_bytes + sum(self._reserved.values()) + sum(staying) <= self.max_bytes

    def _make_room(self, num_bytes: int, *, for_request: bool, spare: bool) -> bool:
        held = self._engine.adapters()
        total = num_bytes + sum(self._reserved.values()) + sum(each.num_bytes for each in held.values())
        victims = sorted(held, key=lambda version: (version in self.required, self._last_use.get(version, -1)))
        for version in () if spare else victims:
            if total <= self.max_bytes:
                break
            if (for_request or version not in self.required) and self.unload(version):
                total -= held[version].num_bytes
        return total <= self.max_bytes
