"""The HTTP API: routes under `/api/v1`, each turning the wire model into a call of the service and back."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import SecretStr, ValidationError
from ray.serve.context import _get_internal_replica_context
from starlette.middleware.cors import CORSMiddleware

from configs.schema import AccessSettings
from deployments import schemas
from deployments.access.configured import Access, configured_access
from deployments.access.guard import GuardMiddleware
from deployments.access.headers import SecurityHeadersMiddleware
from deployments.access.usage import usage_routes
from deployments.adapter_routes import adapter_routes
from deployments.adapters import AdapterFollower
from deployments.cluster_metrics import MetricsPage
from deployments.glossary_routes import glossary_routes
from deployments.http_errors import error_detail, install_error_handlers, note_error, request_id_of, validation_error
from deployments.middleware import BodyLimitMiddleware, RequestIdMiddleware
from deployments.request_log import TraceMiddleware
from deployments.request_metrics import MetricsMiddleware
from deployments.service import TranslationService
from deployments.telemetry import Telemetry
from monitoring.recorder import Recorder
from pipelines.adapters.shadow import Shadows
from pipelines.errors import EngineError, TranslationError, UnauthenticatedError, UnavailableError
from pipelines.types import ModelInfo, SegmentProgress, TranslationResult

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.ErrorResponse, "description": description}
    for status, description in {
        400: "Malformed JSON, unknown language or option, or an adapter that was not trained for these languages",
        401: "An API key is needed, or the one shown is not valid",
        403: "The API key does not allow this",
        404: "Unknown adapter",
        408: "The body did not arrive in time",
        409: "The name is taken, or the adapter does not fit the model",
        413: "Text, batch or body over the limit",
        422: "A field is missing or has the wrong type",
        429: "Over a rate limit or the key's quota; see Retry-After",
        503: "Overloaded or restarting; see Retry-After",
        504: "Not done within the deadline",
    }.items()
}


_EVENT = {
    "type": "object",
    "description": "One server-sent event; `data` is JSON.",
    "properties": {"event": {"enum": ["segment", "done", "error"]}, "data": {"type": "string"}},
    "required": ["event", "data"],
}


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
    """
    access = access or configured_access(AccessSettings())
    recorder = recorder or Recorder()
    api = FastAPI(
        title="NLLB on Ray",
        version="1",
        summary="Translation between 200 languages.",
        docs_url="/docs",
        openapi_url="/openapi.json",
    )
    # The last one added is the first to see a request.
    api.add_middleware(
        BodyLimitMiddleware,
        max_body_bytes=int(service.limits.max_body_bytes),
        timeout_s=service.limits.body_timeout_s,
    )
    api.add_middleware(GuardMiddleware, guard=access.guard, recorder=recorder)
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
    api.include_router(_translation_routes(service), prefix="/api/v1", tags=["translation"])
    api.include_router(glossary_routes(service.glossaries), prefix="/api/v1", tags=["glossaries"], responses=_ERRORS)
    api.include_router(_catalog_routes(service), prefix="/api/v1", tags=["catalog"])
    api.include_router(adapter_routes(adapters, shadows), prefix="/api/v1", tags=["catalog"])
    api.include_router(_operation_routes(service), prefix="/api/v1", tags=["operation"])
    api.include_router(usage_routes(access.meter), prefix="/api/v1", tags=["access"])
    api.include_router(_admin_routes(service), prefix="/api/v1", tags=["operation"])
    api.include_router(_metrics_route(metrics_page, metrics_token), tags=["operation"])
    return api


def _translation_routes(service: TranslationService) -> APIRouter:
    router = APIRouter(responses=_ERRORS)

    @router.post("/translate", summary="Translate a text")
    async def translate(body: schemas.TranslateRequest, request: Request) -> schemas.TranslateResponse:
        started_s = time.perf_counter()
        result = await service.translate(body)
        return _translate_response(result, await service.model_info(), request, started_s)

    @router.post("/batch-translate", summary="Translate many texts of any languages")
    async def batch_translate(body: schemas.BatchTranslateRequest, request: Request) -> schemas.BatchTranslateResponse:
        started_s = time.perf_counter()
        items = [_parse_item(item, f"items.{index}.") for index, item in enumerate(body.items)]
        results = await service.translate_batch(items)
        return schemas.BatchTranslateResponse(
            results=[_batch_item(result, request) for result in results],
            model=(await service.model_info()).name,
            latency_ms=_since_ms(started_s),
            request_id=request_id_of(request),
        )

    @router.post(
        "/translate/stream",
        summary="Translate a text, sentence by sentence",
        description="Server-sent events: `segment` for each finished piece in order (`index`, `text`, `cached`), then "
        "`done` with the whole answer of `/translate`, or `error`. The texts of the pieces follow each other.",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": _EVENT}}}},
    )
    async def translate_stream(body: schemas.TranslateRequest, request: Request) -> StreamingResponse:
        started_s = time.perf_counter()
        progress = service.stream(body)
        # What is wrong with the request is known before the first piece, and is an ordinary error.
        first = await anext(progress)

        async def events() -> AsyncIterator[str]:
            try:
                event: SegmentProgress | TranslationResult | None = first
                while event is not None:
                    if isinstance(event, SegmentProgress):
                        yield _event("segment", asdict(event))
                    else:
                        done = _translate_response(event, await service.model_info(), request, started_s)
                        yield _event("done", done.model_dump())
                    event = await anext(progress, None)
            except TranslationError as error:
                note_error(request.scope, error.code)
                yield _event("error", error_detail(error, request_id_of(request)).model_dump())
            finally:
                await progress.aclose()  # type: ignore[attr-defined]

        return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    @router.post("/detect", summary="Which language is a text in?")
    async def detect(body: schemas.DetectRequest, request: Request) -> schemas.DetectResponse:
        found = await service.detect(body.text)
        return schemas.DetectResponse(
            language=found[0].language if service.is_sure(found) else None,
            confidence=found[0].confidence if found else 0.0,
            candidates=[schemas.DetectedLanguage(language=e.language, confidence=e.confidence) for e in found],
            request_id=request_id_of(request),
        )

    return router


def _catalog_routes(service: TranslationService) -> APIRouter:
    router = APIRouter(responses={503: _ERRORS[503]})

    @router.get("/languages", summary="Languages of the model")
    async def languages() -> schemas.LanguagesResponse:
        entries = [
            schemas.LanguageEntry(
                code=language.code,
                name=language.english_name,
                native_name=language.native_name,
                script=language.script,
                direction=language.direction,
                bcp47=language.bcp47,
                iso639_1=language.iso639_1,
                iso639_2=language.iso639_2,
                iso639_3=language.iso639_3,
                deepl=language.deepl,
                libretranslate=language.libretranslate,
                google=language.google,
                wikipedia=language.wikipedia,
                aliases=list(language.aliases),
            )
            for language in await service.languages()
        ]
        return schemas.LanguagesResponse(languages=entries)

    @router.get("/models", summary="Models that are served")
    async def models() -> schemas.ModelsResponse:
        return schemas.ModelsResponse(models=[_model_entry(await service.model_info())])

    return router


def _operation_routes(service: TranslationService) -> APIRouter:
    router = APIRouter()

    @router.get("/cache/stats", summary="What the cache holds and did", responses={503: _ERRORS[503]})
    async def cache_stats() -> schemas.CacheStatsResponse:
        stats = await service.fleet.cache_stats()
        enabled = service.fleet.cache_enabled
        return schemas.CacheStatsResponse(
            enabled=enabled, available=enabled and bool(stats.get("available", True)), stats=stats
        )

    @router.delete("/cache", summary="Empty the cache", responses={503: _ERRORS[503]})
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

    @router.get("/health/ready", summary="Does a translation come back?", responses={503: _ERRORS[503]})
    async def ready() -> schemas.StatusResponse:
        probe = await service.probe()
        if not probe["ok"]:
            raise UnavailableError(f"no translation comes back: {probe['error']}", retry_after_s=1.0)
        return schemas.StatusResponse(status="ready")

    return router


def _admin_routes(service: TranslationService) -> APIRouter:
    router = APIRouter()

    @router.post(
        "/admin/profile",
        summary="Record a translator at its work",
        description="For so many seconds. A zip archive with PyTorch's operators (`trace.json.gz`, for "
        "https://ui.perfetto.dev; `operators.txt`) and Python's stacks (`flame_graph.svg`). The replica goes on "
        "translating, slower. Needs a key with the scope `admin` where keys are asked for.",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}},
            422: {"model": schemas.ErrorResponse, "description": "seconds is out of range"},
            503: _ERRORS[503],
        },
    )
    async def profile(seconds: Annotated[float, Query(ge=0.1, le=30)] = 5.0) -> StreamingResponse:
        parts = service.fleet.profile(seconds)
        # What is wrong is known before the first part, and is an ordinary error.
        first = await anext(parts)

        async def archive() -> AsyncIterator[bytes]:
            yield first
            async for part in parts:
                yield part

        headers = {"Content-Disposition": 'attachment; filename="profile.zip"'}
        return StreamingResponse(archive(), media_type="application/zip", headers=headers)

    return router


def _metrics_route(page: MetricsPage | None, token: SecretStr | None) -> APIRouter:
    router = APIRouter()

    @router.get(
        "/metrics",
        summary="Metrics of the whole application, for Prometheus",
        description="Of all replicas on all nodes. Asks for `Authorization: Bearer` where `metrics.token` is set.",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            401: {"model": schemas.ErrorResponse, "description": "The bearer token is missing or another"},
            503: _ERRORS[503],
        },
    )
    async def metrics(request: Request) -> Response:
        if token is not None and not _shows_bearer(request, token):
            raise UnauthenticatedError("this needs the token of the metrics, as `Authorization: Bearer TOKEN`")
        if page is None:
            raise UnavailableError("this process has no metrics of a cluster")
        content, media_type = await page.render(request.headers.get("accept", ""))
        return Response(content, media_type=media_type)

    return router


def _shows_bearer(request: Request, token: SecretStr) -> bool:
    expected = f"Bearer {token.get_secret_value()}"
    return hmac.compare_digest(request.headers.get("authorization", "").encode(), expected.encode())


async def _health(service: TranslationService) -> schemas.HealthResponse:
    probe = await service.probe()
    model = None
    cache: dict[str, Any] = {"enabled": service.fleet.cache_enabled}
    deployments: dict[str, Any] = {}
    batching: dict[str, Any] = {}
    whole = True
    try:
        model = _model_entry(await service.model_info())
        deployments = await service.fleet.deployments()
        batching = await service.fleet.batching()
        cache |= await service.fleet.cache_stats()
    except (UnavailableError, EngineError):
        whole = False
    whole = whole and cache.get("available", True) and all(d["status"] == "HEALTHY" for d in deployments.values())
    return schemas.HealthResponse(
        status="unhealthy" if not probe["ok"] else "healthy" if whole else "degraded",
        uptime_s=service.uptime_s,
        translation=probe,
        deployments=deployments,
        batching=batching,
        model=model,
        cache=cache,
    )


def _parse_item(item: Any, prefix: str) -> schemas.TranslateRequest | TranslationError:
    try:
        return schemas.TranslateRequest.model_validate(item)
    except ValidationError as error:
        return validation_error(error, prefix)


def _translate_response(
    result: TranslationResult, model: ModelInfo, request: Request, started_s: float
) -> schemas.TranslateResponse:
    return schemas.TranslateResponse(
        translation=result.text,
        source_lang=result.source_lang,
        target_lang=result.target_lang,
        model=model.name,
        adapter=result.adapter,
        glossary=result.glossary,
        cached=result.cached,
        score=result.score,
        alternatives=_alternatives(result),
        detection_confidence=result.detected,
        latency_ms=_since_ms(started_s),
        request_id=request_id_of(request),
        warnings=_warnings(result),
    )


def _batch_item(result: TranslationResult | TranslationError, request: Request) -> schemas.BatchItem:
    if isinstance(result, TranslationError):
        note_error(request.scope, result.code)
        return schemas.BatchItem(error=error_detail(result, request_id_of(request)))
    return schemas.BatchItem(
        translation=result.text,
        source_lang=result.source_lang,
        target_lang=result.target_lang,
        adapter=result.adapter,
        glossary=result.glossary,
        cached=result.cached,
        score=result.score,
        alternatives=_alternatives(result),
        detection_confidence=result.detected,
        warnings=_warnings(result),
    )


def _warnings(result: TranslationResult) -> list[schemas.TranslationWarning]:
    return [
        schemas.TranslationWarning(code=each.code, message=each.message, segment=each.segment)
        for each in result.notices
    ]


def _alternatives(result: TranslationResult) -> list[schemas.Alternative]:
    return [schemas.Alternative(translation=each.text, score=each.score) for each in result.alternatives]


def _model_entry(info: ModelInfo) -> schemas.ModelEntry:
    return schemas.ModelEntry(
        name=info.name,
        revision=info.revision,
        licence=info.licence,
        engine=info.engine,
        device=info.device,
        dtype=info.dtype,
        context_length=info.max_source_tokens,
        num_parameters=info.num_parameters,
    )


def _since_ms(started_s: float) -> float:
    return (time.perf_counter() - started_s) * 1e3


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
