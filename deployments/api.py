"""The HTTP API: what every request passes on its way in, and the routes under `/api/v1`."""

from __future__ import annotations

from collections.abc import Sized

from fastapi import FastAPI
from pydantic import SecretStr
from ray.serve.context import _get_internal_replica_context
from starlette.middleware.cors import CORSMiddleware

from configs.schema import AccessSettings
from deployments.access.configured import Access, configured_access
from deployments.access.guard import GuardMiddleware
from deployments.access.headers import SecurityHeadersMiddleware
from deployments.access.origins import OriginMiddleware
from deployments.access.usage import usage_routes
from deployments.adapters import AdapterFollower
from deployments.cluster_metrics import MetricsPage
from deployments.documentation import documented_api
from deployments.http_errors import UnexpectedErrorMiddleware, install_error_handlers
from deployments.middleware import BodyLimitMiddleware, RequestIdMiddleware
from deployments.request_log import TraceMiddleware
from deployments.request_metrics import MetricsMiddleware
from deployments.routes.adapters import adapter_routes
from deployments.routes.admin import admin_routes
from deployments.routes.catalog import catalog_routes
from deployments.routes.glossaries import glossary_routes
from deployments.routes.metrics import metrics_routes
from deployments.routes.operation import operation_routes
from deployments.routes.responses import ERRORS
from deployments.routes.translation import translation_routes
from deployments.service import TranslationService
from deployments.shedding import LoadSheddingMiddleware
from deployments.telemetry import Telemetry
from monitoring.recorder import Recorder
from pipelines.adapters.shadow import Shadows


def create_api(
    service: TranslationService,
    recorder: Recorder | None = None,
    access: Access | None = None,
    *,
    telemetry: Telemetry | None = None,
    adapters: AdapterFollower | None = None,
    shadows: Shadows | None = None,
    metrics_page: MetricsPage | None = None,
    metrics_token: SecretStr | None = None,
    accept_queue: Sized | None = None,
) -> FastAPI:
    """Return the ASGI application of a service.

    Args:
        service: Does the work.
        recorder: Of what it does; None keeps it to itself.
        access: Who may ask for it; None lets everybody.
        telemetry: Of spans and the log's lines; None makes none.
        adapters: Follows the registry; None serves no adapters.
        shadows: Compares candidates, if any does.
        metrics_page: Behind `GET /metrics`; None answers that there is none.
        metrics_token: What `GET /metrics` asks for as a bearer token; None asks for nothing.
        accept_queue: Connections that wait until they are read; None sheds no load.
    """
    access = access or configured_access(AccessSettings())
    recorder = recorder or Recorder()
    api = documented_api()
    # The last one added is the first to see a request.
    api.add_middleware(
        BodyLimitMiddleware,
        max_body_bytes=int(service.limits.max_body_bytes),
        timeout_s=service.limits.body_timeout_s,
    )
    api.add_middleware(GuardMiddleware, guard=access.guard, recorder=recorder)
    api.add_middleware(OriginMiddleware, allowed=access.cors_origins)
    if accept_queue is not None:
        api.add_middleware(
            LoadSheddingMiddleware,
            check_room=service.check_room,
            queue=accept_queue,
            timeout_s=lambda: service.limits.request_timeout_s,
            recorder=recorder,
        )
    api.add_middleware(UnexpectedErrorMiddleware)
    if access.cors_origins:
        api.add_middleware(
            CORSMiddleware,
            allow_origins=access.cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"],
        )
    api.add_middleware(SecurityHeadersMiddleware)
    api.add_middleware(MetricsMiddleware, recorder=recorder)
    if telemetry is not None:
        api.add_middleware(TraceMiddleware, telemetry=telemetry)
    api.add_middleware(RequestIdMiddleware, behind_serve=_get_internal_replica_context() is not None)
    install_error_handlers(api)
    api.include_router(translation_routes(service), prefix="/api/v1", tags=["translation"])
    api.include_router(glossary_routes(service.glossaries), prefix="/api/v1", tags=["glossaries"], responses=ERRORS)
    api.include_router(catalog_routes(service), prefix="/api/v1", tags=["catalog"])
    api.include_router(adapter_routes(adapters, shadows), prefix="/api/v1", tags=["catalog"])
    api.include_router(operation_routes(service), prefix="/api/v1", tags=["operation"])
    api.include_router(usage_routes(access.meter), prefix="/api/v1", tags=["access"])
    api.include_router(admin_routes(service), prefix="/api/v1", tags=["operation"])
    api.include_router(metrics_routes(metrics_page, metrics_token), tags=["operation"])
    return api
