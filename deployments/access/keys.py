"""What a key is: its text, its hash, what it allows. Does not know where keys are kept.

A key reads `nllb_<id>_<secret>`. The id finds the record; of the secret only a SHA-256 is kept. The secret has 256
random bits, so nothing that is slower to compute would make it harder to guess (NIST SP 800-63B, 5.1.2).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, PositiveInt

Scope = Literal["translate", "documents", "glossaries", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_KEY = re.compile(r"nllb_([0-9a-f]{12})_([0-9a-f]{64})")
_NO_HASH = "0" * 64


class KeyLimits(BaseModel):
    """What one key may use; None is without a limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_second: PositiveInt | None = None
    characters_per_month: PositiveInt | None = None
    concurrent_requests: PositiveInt | None = None
    adapters: tuple[str, ...] | None = None
    """Names of the adapters that a request may ask for (all their versions)."""


class KeyRecord(BaseModel):
    """What is kept of a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    """Whose it is, or what for; for people."""
    secret_sha256: str
    scopes: tuple[Scope, ...]
    limits: KeyLimits = KeyLimits()
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or now < self.expires)

    def allows(self, scope: Scope | None) -> bool:
        """Whether the key may do what needs this scope; `admin` includes all others, None needs none."""
        return scope is None or scope in self.scopes or "admin" in self.scopes


def make_key(
    name: str, scopes: tuple[Scope, ...], limits: KeyLimits | None = None, expires: datetime | None = None
) -> tuple[str, KeyRecord]:
    """Return a new key as text, to be shown once, and its record."""
    key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    record = KeyRecord(
        id=key_id,
        name=name,
        secret_sha256=_sha256(secret),
        scopes=scopes,
        limits=limits or KeyLimits(),
        created=datetime.now(UTC),
        expires=expires,
    )
    return _text(key_id, secret), record


def with_new_secret(record: KeyRecord) -> tuple[str, KeyRecord]:
    """Return a new text for the same key, and the record that goes with it; the old text is worth nothing then."""
    secret = secrets.token_hex(32)
    return _text(record.id, secret), record.model_copy(update={"secret_sha256": _sha256(secret)})


def key_id_of(text: str) -> str | None:
    """Return the id of a key's text, or None if it is no key."""
    match = _KEY.fullmatch(text)
    return match.group(1) if match else None


def matches(text: str, record: KeyRecord | None) -> bool:
    """Whether a text is this record's key, in a time that does not depend on either."""
    match = _KEY.fullmatch(text)
    given = _sha256(match.group(2) if match else "")
    kept = record.secret_sha256 if record is not None else _NO_HASH
    return hmac.compare_digest(given, kept) and record is not None


def _text(key_id: str, secret: str) -> str:
    return f"nllb_{key_id}_{secret}"


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
