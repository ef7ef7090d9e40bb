"""What runs, and how it is."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from deployments.schemas.catalog import ModelEntry
from deployments.schemas.wire import WireModel


class CacheStatsResponse(WireModel):
    """What the cache holds and did. Counters start with the cache's process."""

    enabled: bool
    available: bool = Field(description="False while the store behind the cache cannot be reached.")
    stats: dict[str, Any]


class CacheClearedResponse(WireModel):
    """How many entries were removed."""

    removed: int


class HealthResponse(WireModel):
    """What runs and how it is.

    Unhealthy means that no translation comes back; degraded, that one does, but a deployment or the cache is not whole.
    """

    status: Literal["healthy", "degraded", "unhealthy"]
    uptime_s: float
    translation: dict[str, Any] = Field(description="The latest probe: whether it came back, and how long it took.")
    deployments: dict[str, Any] = Field(description="Status and number of replicas of each deployment.")
    batching: dict[str, Any] = Field(description="Encoder batches and rows of all translator replicas, and of each.")
    model: ModelEntry | None
    cache: dict[str, Any]


class StatusResponse(WireModel):
    """A probe's answer."""

    status: str
