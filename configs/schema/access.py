"""Who may use the service, and what one request may ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    ByteSize,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from configs.schema.section import MIB, Name, PositiveBytes, RedisUrl, Section


class LimitSettings(Section):
    """What one request may ask for, and how many may ask at the same time."""

    max_text_chars: PositiveInt = 100_000
    """Longest text of a request or of one item; over it 413. Nothing is ever cut."""
    max_batch_items: PositiveInt = 128
    """Most items of a batch request; over it 413."""
    max_body_bytes: PositiveBytes = ByteSize(2 * MIB)
    """Largest body that is read; over it 413."""
    max_glossary_terms: PositiveInt = 5_000
    """Most terms of a glossary that comes with a request."""
    max_kept_terms: PositiveInt = 1_000
    """Most entries of `do_not_translate` in a request."""
    max_kept_patterns: PositiveInt = 20
    """Most entries of `protect_patterns` in a request."""
    max_json_pointers: PositiveInt = 100
    """Most entries of `json_include`, and of `json_exclude`, in a request."""
    max_segment_chars: PositiveInt = 500
    """Longest piece that the model is given at a time; longer sentences are split at clauses."""
    request_timeout_s: PositiveFloat = 60.0
    """Time after which a request is answered with 504."""
    body_timeout_s: PositiveFloat = 20.0
    """Time within which a client sends its whole body; over it 408."""
    max_ongoing_requests: NonNegativeInt = 256
    """Requests that one ingress replica works on at the same time; over it 503 with Retry-After. 0 refuses all."""


def _rate(rate: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8}/(second|minute|hour|day)", rate):
        raise ValueError("should be a count per second, minute, hour or day, such as 600/minute")
    return rate


Endpoint = Literal[
    "translate",
    "batch-translate",
    "detect",
    "documents",
    "glossaries",
    "adapters",
    "languages",
    "models",
    "cache",
    "usage",
    "admin",
    "other",
    "*",
]


def _network(network: str) -> str:
    try:
        ip_network(network)
    except ValueError:
        raise ValueError("should be an address or a network, such as 10.0.0.0/8") from None
    return network


def _origin(origin: str) -> str:
    if not re.fullmatch(r"https?://[^/*\s]+", origin):
        raise ValueError("should be scheme, host and maybe port, such as https://www.example.org")
    return origin


class AccessSettings(Section):
    """Who may use the service, and how much of it."""

    keys: Literal["none", "optional", "required"] = "none"
    """Whether callers show a key: not asked for, needed for glossaries and administration, or for all but health."""
    store: Literal["sqlite", "redis"] = "sqlite"
    """Where keys, usage and the windows of rate limits are kept; replicas on several nodes need Redis."""
    sqlite_file: Name = "var/keys.sqlite3"
    """Of `store: sqlite`; a relative path is taken from the checkout."""
    redis_url: RedisUrl | None = None
    """Of `store: redis`: `redis://user:password@host:6379/1`, or `rediss://` for TLS."""
    redis_timeout_ms: PositiveInt = 250
    """Longest wait for one answer of Redis."""
    key_lifetime_s: PositiveFloat = 5.0
    """How long an ingress replica believes what it read of a key; a revoked key works no longer than that."""
    key_grace_s: NonNegativeFloat = 900.0
    """How long a key that was read is accepted while the store cannot be reached."""
    rate_limits: Mapping[Endpoint, Annotated[str, AfterValidator(_rate)]] = {}
    """Requests per endpoint and caller: `{"translate": "600/minute"}`; `*` is every endpoint that is not named."""
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ("127.0.0.1/32", "::1/128")
    """Networks whose `X-Forwarded-For` says who the client is."""
    cors_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    """Sites whose pages may call the service from a browser."""

    @model_validator(mode="after")
    def _redis_has_an_address(self) -> Self:
        if self.store == "redis" and self.redis_url is None:
            raise ValueError("access.store = 'redis' needs access.redis_url")
        return self
