"""What the service says of itself: log, metrics and traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, SecretStr

from configs.schema.section import HttpUrl, LanguagePair, Name, Ratio, Section


class LoggingSettings(Section):
    """What the log says, and in which form."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe messages that are written."""
    format: Literal["json", "text"] = "json"
    """One JSON object per line for machines, or text for a terminal."""
    calls: bool = True
    """One line for each request, each of its texts, and each call of a station: who, what, how long."""
    texts: bool = False
    """Put sources and translations into those lines. They are your users' words: for debugging alone."""


class MetricsSettings(Section):
    """What is measured, and who may read it at `GET /metrics`."""

    language_pairs: tuple[LanguagePair, ...] = ()
    """Pairs with a label of their own, the rest is `other`; empty takes the first `max_language_pairs` that come."""
    max_language_pairs: PositiveInt = 20
    """Most pairs with a label of their own when `language_pairs` is empty."""
    max_adapters: PositiveInt = 50
    """Most adapter versions with a label of their own; later ones are `other`."""
    report_interval_s: PositiveFloat = 2.0
    """Time between two reports of a replica's figures to Ray, which passes them on in its own time."""
    scrape_cache_s: NonNegativeFloat = 3.0
    """How long an answer of `GET /metrics` is reused before the nodes are asked again."""
    token: SecretStr | None = None
    """Bearer token that `GET /metrics` asks for; null lets everyone read. Set NLLB__METRICS__TOKEN, never a file."""


class TracingSettings(Section):
    """Whether and where spans of requests go."""

    endpoint: HttpUrl | None = None
    """OTLP over HTTP, such as http://collector:4318/v1/traces; null makes no spans."""
    headers: Mapping[Name, SecretStr] = {}
    """Sent along with each export, such as a token; set NLLB__TRACING__HEADERS, never a file."""
    sampling_ratio: Ratio = 1.0
    """Share of the traces that begin here which are recorded; what a client's `traceparent` says is kept."""
    service_name: Name = "nllb"
    """What the collector calls this service."""
