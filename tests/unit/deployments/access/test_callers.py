"""Who asks: the key that is shown, how long it is believed, and the address behind proxies."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from deployments.access.callers import Authenticator, Caller, ProxyTrust
from deployments.access.keys import KeyRecord, make_key
from pipelines.errors import UnauthenticatedError, UnavailableError
from tests.unit.pipelines.cache.fakes import Clock


class _Store:
    """Of one key; may be unreachable."""

    def __init__(self, record: KeyRecord) -> None:
        self.records = {record.id: record}
        self.reachable = True
        self.num_reads = 0

    async def get(self, key_id: str) -> KeyRecord | None:
        """See `KeyStore`."""
        self.num_reads += 1
        if not self.reachable:
            raise UnavailableError("the store of the keys cannot be reached")
        return self.records.get(key_id)


TEXT, RECORD = make_key("Ann", ("translate",))


@pytest.mark.parametrize(
    "headers", [{"X-API-Key": TEXT}, {"Authorization": f"Bearer {TEXT}"}, {"Authorization": f"bearer  {TEXT} "}]
)
async def test_a_key_may_be_shown_in_either_header(headers: dict[str, str]) -> None:
    """`X-API-Key`, or a bearer token."""
    assert await Authenticator("required", _Store(RECORD)).key_of(Headers(headers)) == RECORD


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic QTpC"}])
async def test_no_key_is_no_error_yet(headers: dict[str, str]) -> None:
    """Whether one is needed is the route's question."""
    assert await Authenticator("optional", _Store(RECORD)).key_of(Headers(headers)) is None


@pytest.mark.parametrize("key", ["", "secret", TEXT[:-1], TEXT.upper(), "nllb_" + "0" * 12 + "_" + "0" * 64])
async def test_a_wrong_key_is_refused_and_not_shown(key: str) -> None:
    """Also where keys are optional; the message does not repeat it."""
    with pytest.raises(UnauthenticatedError) as refusal:
        await Authenticator("optional", _Store(RECORD)).key_of(Headers({"X-API-Key": key}))
    assert not key or key not in refusal.value.message


async def test_where_keys_are_not_asked_for_the_store_is_not_read() -> None:
    """An `Authorization` header that is meant for somebody else does no harm."""
    store = _Store(RECORD)
    assert await Authenticator("none", store).key_of(Headers({"X-API-Key": "x"})) is None
    assert store.num_reads == 0


async def test_a_record_is_believed_for_its_lifetime_and_outlives_the_store() -> None:
    """Read once, then again after the lifetime; a store that is down is bridged for the grace, no longer."""
    store, clock = _Store(RECORD), Clock()
    authenticator = Authenticator("required", store, lifetime_s=5, grace_s=60, clock_s=clock)
    headers = Headers({"X-API-Key": TEXT})
    for clock.now_s in (0, 4):
        await authenticator.key_of(headers)
    assert store.num_reads == 1
    store.reachable = False
    clock.now_s = 59
    assert await authenticator.key_of(headers) == RECORD
    clock.now_s = 61
    with pytest.raises(UnavailableError):
        await authenticator.key_of(headers)


async def test_a_revoked_key_ends_with_the_lifetime_of_what_was_read() -> None:
    """Not later."""
    store, clock = _Store(RECORD), Clock()
    authenticator = Authenticator("required", store, lifetime_s=5, clock_s=clock)
    headers = Headers({"X-API-Key": TEXT})
    await authenticator.key_of(headers)
    store.records[RECORD.id] = RECORD.model_copy(update={"revoked": RECORD.created})
    clock.now_s = 5
    with pytest.raises(UnauthenticatedError):
        await authenticator.key_of(headers)


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.2", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.2", "6.6.6.6, 198.51.100.1, 10.0.0.3", "198.51.100.1"),
        ("10.0.0.2", "10.0.0.4", "10.0.0.4"),
        ("10.0.0.2", "not-an-address", "10.0.0.2"),
        ("", "198.51.100.1", ""),
        ("2001:db8::1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:10.0.0.2", "198.51.100.1", "198.51.100.1"),
        ("::ffff:203.0.113.9", "198.51.100.1", "::ffff:203.0.113.9"),
        ("10.0.0.2", "6.6.6.6, 198.51.100.1, ::ffff:10.0.0.3", "198.51.100.1"),
    ],
)
def test_only_trusted_proxies_name_the_client(peer: str, forwarded_for: str, expected: str) -> None:
    """What a client writes itself is left of what the first trusted proxy wrote, and is not believed."""
    assert ProxyTrust(["10.0.0.0/8", "2001:db8::/32"]).client_address(peer, forwarded_for) == expected


@pytest.mark.parametrize(
    ("address", "identity"),
    [
        ("192.0.2.7", "address:192.0.2.7"),
        ("::ffff:192.0.2.7", "address:192.0.2.7"),
        ("2001:db8:0:1::7", "address:2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", "address:2001:db8:0:1::/64"),
        ("fe80::1%eth0", "address:fe80::/64"),
        ("", "address:"),
    ],
)
def test_who_has_no_key_is_counted_by_address(address: str, identity: str) -> None:
    """Of IPv6 by the network: one machine has as many addresses in it as it likes."""
    assert Caller(None, address).identity == identity
