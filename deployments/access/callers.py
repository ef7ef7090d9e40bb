"""Who asks? Finds the key that a request shows, and where the request comes from.

Does not know what the caller may do; see `deployments.access.guard`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Literal

from cachetools import LRUCache
from starlette.datastructures import Headers

from deployments.access.keys import KeyRecord, key_id_of, matches
from deployments.access.store import KeyStore
from pipelines.errors import UnauthenticatedError, UnavailableError

_MAX_KNOWN_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request.

    Attributes:
        key: The key that was shown, or None.
        address: Of the client, as far as proxies can be trusted.
    """

    key: KeyRecord | None
    address: str

    @property
    def identity(self) -> str:
        """What limits are counted by: the key, or where there is none the address.

        Of IPv6 the first 64 bits: whoever has one address has all that begin alike (RFC 6177).
        """
        return f"key:{self.key.id}" if self.key is not None else f"address:{_site_of(self.address)}"


current_caller: ContextVar[Caller | None] = ContextVar("current_caller", default=None)
"""The caller of the request that the current task works for."""


class Authenticator:
    """Turns a request's headers into a key.

    Args:
        mode: `none` ignores keys, `optional` checks those that are shown, `required` refuses requests without one.
        store: Of the keys.
        lifetime_s: How long a record that was read is believed.
        grace_s: How long it is believed while the store cannot be reached.
        clock_s: Any clock that never goes back.
    """

    def __init__(
        self,
        mode: Literal["none", "optional", "required"],
        store: KeyStore,
        *,
        lifetime_s: float = 5.0,
        grace_s: float = 900.0,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.mode = mode
        self._store = store
        self._lifetime_s = lifetime_s
        self._grace_s = grace_s
        self._clock_s = clock_s
        # Only keys that exist: whoever guesses ids must not push out those that are known.
        self._known: LRUCache[str, _Known] = LRUCache(_MAX_KNOWN_KEYS)

    async def key_of(self, headers: Headers) -> KeyRecord | None:
        """Return the key that a request shows, or None if it shows none (or keys are not asked for).

        Raises:
            UnauthenticatedError: What it shows is not a valid key.
            UnavailableError: The store cannot be reached, and the key was not seen before.
        """
        text = None if self.mode == "none" else _shown(headers)
        if text is None:
            return None
        key_id = key_id_of(text)
        record = await self._record(key_id) if key_id is not None else None
        if not matches(text, record) or record is None or not record.is_valid(datetime.now(UTC)):
            raise UnauthenticatedError("the API key is not valid")
        return record

    async def _record(self, key_id: str) -> KeyRecord | None:
        known = self._known.get(key_id)
        now_s = self._clock_s()
        if known is not None and now_s < known.read_s + self._lifetime_s:
            return known.record
        try:
            record = await self._store.get(key_id)
        except UnavailableError:
            if known is not None and now_s < known.read_s + self._grace_s:
                return known.record
            raise
        if record is None:
            self._known.pop(key_id, None)
        else:
            self._known[key_id] = _Known(record, now_s)
        return record


@dataclass(frozen=True, slots=True)
class _Known:
    record: KeyRecord
    read_s: float


def _shown(headers: Headers) -> str | None:
    if (key := headers.get("x-api-key")) is not None:
        return key.strip()
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


class ProxyTrust:
    """Knows whose `X-Forwarded-For` to believe.

    Args:
        networks: Of the proxies, in CIDR form.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ip_network(network) for network in networks]

    def client_address(self, peer: str, forwarded_for: str) -> str:
        """Return the last address of the chain that is no trusted proxy.

        Args:
            peer: Who opened the connection.
            forwarded_for: The header `X-Forwarded-For`, each proxy having added whom it heard from.
        """
        address = peer
        for hop in reversed([hop.strip() for hop in forwarded_for.split(",") if hop.strip()]):
            if not self._is_trusted(address) or not _is_address(hop):
                break
            address = hop
        return address

    def _is_trusted(self, address: str) -> bool:
        if not _is_address(address):
            return False
        parsed = ip_address(address)
        # On a socket of both kinds an IPv4 peer reads `::ffff:10.0.0.2`.
        ipv4 = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
        return any(parsed in network or (ipv4 is not None and ipv4 in network) for network in self._networks)


def _site_of(address: str) -> str:
    parsed = ip_address(address) if _is_address(address) else None
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((int(parsed) >> 64 << 64, 64)))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
