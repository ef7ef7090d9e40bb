"""Routes for those who run the service: health and the cache."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from deployments import schemas
from deployments.routes.catalog import model_entry
from deployments.routes.responses import ERRORS
from deployments.service import TranslationService
from pipelines.errors import EngineError, UnavailableError

# Ray Serve's: a deployment that grows or shrinks by itself lacks nothing.
_WHOLE = {"HEALTHY", "UPSCALING", "DOWNSCALING"}


def operation_routes(service: TranslationService) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

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
        report = await _health(service)
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
    probe = await service.probe()
    model = None
    cache: dict[str, Any] = {"enabled": service.fleet.cache_enabled}
    deployments: dict[str, Any] = {}
    batching: dict[str, Any] = {}
    whole = True
    try:
        model = model_entry(await service.model_info())
        deployments = await service.fleet.deployments()
        batching = await service.fleet.batching()
        cache |= await service.fleet.cache_stats()
    except (UnavailableError, EngineError):
        whole = False
    whole = whole and cache.get("available", True) and all(d["status"] in _WHOLE for d in deployments.values())
    return schemas.HealthResponse(
        status="unhealthy" if not probe["ok"] else "healthy" if whole else "degraded",
        uptime_s=service.uptime_s,
        translation=probe,
        deployments=deployments,
        batching=batching,
        model=model,
        cache=cache,
    )
