"""`GET /api/v1/usage`: what the caller's key used this month, and what it may use."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import Field

from deployments.access.callers import current_caller
from deployments.access.keys import KeyLimits
from deployments.access.meter import Meter, month_of
from deployments.access.store import Usage
from deployments.schemas import ErrorResponse, WireModel


class UsageLimits(WireModel):
    """What a key may use; null is without a limit."""

    requests_per_second: int | None
    characters_per_month: int | None
    concurrent_requests: int | None
    adapters: list[str] | None


class UsageResponse(WireModel):
    """What the caller used this month."""

    key: str | None = Field(description="Id of the key that was shown; null without one: nothing is counted then.")
    name: str | None
    scopes: list[str]
    month: str = Field(description="In UTC, as `2026-11`.")
    characters: int = Field(description="Characters of source text.")
    requests: int
    limits: UsageLimits


def usage_routes(meter: Meter) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.get(
        "/usage",
        summary="What this key used this month",
        responses={401: {"model": ErrorResponse, "description": "The key is not valid"}},
    )
    async def usage() -> UsageResponse:
        caller = current_caller.get()
        key = None if caller is None else caller.key
        used = Usage() if key is None else await meter.usage(key)
        limits = KeyLimits() if key is None else key.limits
        return UsageResponse(
            key=None if key is None else key.id,
            name=None if key is None else key.name,
            scopes=[] if key is None else list(key.scopes),
            month=month_of(datetime.now(UTC)),
            characters=used.num_characters,
            requests=used.num_requests,
            limits=UsageLimits(
                requests_per_second=limits.requests_per_second,
                characters_per_month=limits.characters_per_month,
                concurrent_requests=limits.concurrent_requests,
                adapters=None if limits.adapters is None else list(limits.adapters),
            ),
        )

    return router
