"""Routes for those who run the service: health and the cache."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import APIRouter, Response

from deployments import schemas
from deployments.routes.catalog import model_entry
from deployments.routes.responses import ERRORS
from deployments.service import TranslationService
from deployments.shared_answer import SharedAnswer
from pipelines.errors import EngineError, UnavailableError

T = TypeVar("T")
# All replicas are asked for it, and whoever reaches the port may ask.
_HEALTH_LIFETIME_S = 1.0
# Ray Serve's: a deployment that grows or shrinks by itself lacks nothing.
_WHOLE = {"HEALTHY", "UPSCALING", "DOWNSCALING"}


def operation_routes(service: TranslationService) -> APIRouter:
    """Return the routes."""
    router = APIRouter()
    whole_health = SharedAnswer(lambda: _health(service), _HEALTH_LIFETIME_S)

    @router.get("/cache/stats", summary="What the cache holds and did", responses={503: ERRORS[503]})
    async def cache_stats() -> schemas.CacheStatsResponse:
        stats = await service.fleet.cache_stats()
        enabled = service.fleet.cache_enabled
        return schemas.CacheStatsResponse(
            enabled=enabled, available=enabled and bool(stats.get("available", True)), stats=stats
        )

    @router.delete("/cache", summary="Empty the cache", responses={503: ERRORS[503]})
    async def clear_cache() -> schemas.CacheClearedResponse:
        return schemas.CacheClearedResponse(removed=await service.fleet.clear_cache())

    @router.get("/health", summary="What runs, and how it is", responses={503: {"model": schemas.HealthResponse}})
    async def health(response: Response) -> schemas.HealthResponse:
        report = await whole_health.get()
        response.status_code = 503 if report.status == "unhealthy" else 200
        return report

    @router.get("/health/live", summary="Is this process alive?")
    async def live() -> schemas.StatusResponse:
        return schemas.StatusResponse(status="alive")

    @router.get("/health/ready", summary="Does a translation come back?", responses={503: ERRORS[503]})
    async def ready() -> schemas.StatusResponse:
        probe = await service.probe()
        if not probe["ok"]:
            raise UnavailableError(f"no translation comes back: {probe['error']}", retry_after_s=1.0)
        return schemas.StatusResponse(status="ready")

    return router


async def _health(service: TranslationService) -> schemas.HealthResponse:
    fleet = service.fleet
    probe = await service.probe()  # first: where no translator runs, it makes one start
    model, deployments, batching, cache = await asyncio.gather(
        _if_known(service.model_info()),
        _if_known(fleet.deployments()),
        _if_known(fleet.batching()),
        _if_known(fleet.cache_stats()),
    )
    whole = (
        all(part is not None for part in (model, deployments, batching, cache))
        and (cache or {}).get("available", True)
        and all(each["status"] in _WHOLE for each in (deployments or {}).values())
    )
    return schemas.HealthResponse(
        status="unhealthy" if not probe["ok"] else "healthy" if whole else "degraded",
        uptime_s=service.uptime_s,
        translation=probe,
        deployments=deployments or {},
        batching=batching or {},
        model=None if model is None else model_entry(model),
        cache={"enabled": fleet.cache_enabled, **(cache or {})},
    )


async def _if_known(part: Awaitable[T]) -> T | None:
    """Leave out what cannot be asked: the rest is known all the same."""
    try:
        return await part
    except (UnavailableError, EngineError):
        return None
