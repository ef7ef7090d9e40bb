"""Routes that translate, and the one that asks which language a text is in."""

from __future__ import annotations

import json
import math
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from deployments import schemas
from deployments.http_errors import error_detail, note_error, request_id_of, unexpected_detail, validation_error
from deployments.routes.event_stream import EventStream
from deployments.routes.responses import ERRORS
from deployments.service import TranslationService
from pipelines.errors import TranslationError
from pipelines.types import ModelInfo, SegmentProgress, TranslationResult

_EVENT = {
    "type": "object",
    "description": "One server-sent event; `data` is JSON.",
    "properties": {"event": {"enum": ["segment", "done", "error"]}, "data": {"type": "string"}},
    "required": ["event", "data"],
}


def translation_routes(service: TranslationService) -> APIRouter:
    """Return the routes."""
    router = APIRouter(responses=ERRORS)

    @router.post("/translate", summary="Translate a text")
    async def translate(body: schemas.TranslateRequest, request: Request) -> schemas.TranslateResponse:
        started_s = time.perf_counter()
        result = await service.translate(body)
        return _translate_response(result, await service.model_info(), request, started_s)

    @router.post(
        "/batch-translate",
        summary="Translate many texts of any languages",
        description="Each item gets its translation or its own error, in order; the status is 200 either way. Where "
        "another try may help all of them, `Retry-After` says when to send the batch again.",
    )
    async def batch_translate(
        body: schemas.BatchTranslateRequest, request: Request, response: Response
    ) -> schemas.BatchTranslateResponse:
        started_s = time.perf_counter()
        service.check_num_items(len(body.items))
        items = [_parse_item(item, f"items.{index}.") for index, item in enumerate(body.items)]
        results = await service.translate_batch(items)
        if (retry_after_s := _retry_after_s(results)) is not None:
            response.headers["Retry-After"] = str(math.ceil(retry_after_s))
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
        "`done` with the whole answer of `/translate`, or `error`. The texts of the pieces joined are the whole, "
        "except where the target's script spaces sentences in another way and where a document names its own language "
        "(`lang`).",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": _EVENT}}}},
    )
    async def translate_stream(body: schemas.TranslateRequest, request: Request) -> StreamingResponse:
        started_s = time.perf_counter()
        progress = service.stream(body)
        # What is wrong with the request is known before the first piece, and is an ordinary error.
        first = await anext(progress)

        async def events() -> AsyncGenerator[str]:
            try:
                event: SegmentProgress | TranslationResult | None = first
                while event is not None:
                    if isinstance(event, SegmentProgress):
                        yield _event("segment", {"index": event.index, "text": event.text, "cached": event.cached})
                    else:
                        done = _translate_response(event, await service.model_info(), request, started_s)
                        yield _event("done", done.model_dump())
                    event = await anext(progress, None)
            except TranslationError as error:
                note_error(request.scope, error.code)
                yield _event("error", error_detail(error, request_id_of(request)).model_dump())
            except Exception as error:
                # No handler of errors can answer any more: the status is sent.
                detail = unexpected_detail(error, request_id_of(request))
                note_error(request.scope, detail.code)
                yield _event("error", detail.model_dump())

        return EventStream(events(), source=progress)

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


def _parse_item(item: Any, prefix: str) -> schemas.TranslateRequest | TranslationError:
    try:
        return schemas.TranslateRequest.model_validate(item)
    except ValidationError as error:
        return validation_error(error, prefix)


def _retry_after_s(results: Sequence[TranslationResult | TranslationError]) -> float | None:
    """When all of a batch may be tried again; None where something was translated, or a try would change nothing."""
    waits_s = [each.retry_after_s for each in results if isinstance(each, TranslationError)]
    known_s = [wait_s for wait_s in waits_s if wait_s is not None]
    return max(known_s) if known_s and len(known_s) == len(results) else None


def _translate_response(
    result: TranslationResult, model: ModelInfo, request: Request, started_s: float
) -> schemas.TranslateResponse:
    return schemas.TranslateResponse(
        **_translated(result),
        model=model.name,
        latency_ms=_since_ms(started_s),
        request_id=request_id_of(request),
    )


def _batch_item(result: TranslationResult | TranslationError, request: Request) -> schemas.BatchItem:
    if isinstance(result, TranslationError):
        note_error(request.scope, result.code)
        return schemas.BatchItem(error=error_detail(result, request_id_of(request)))
    return schemas.BatchItem(**_translated(result))


def _translated(result: TranslationResult) -> dict[str, Any]:
    """The fields that an answer and an item of a batch share."""
    return {
        "translation": result.text,
        "source_lang": result.source_lang,
        "target_lang": result.target_lang,
        "adapter": result.adapter,
        "glossary": result.glossary,
        "cached": result.cached,
        "score": result.score,
        "alternatives": [schemas.Alternative(translation=each.text, score=each.score) for each in result.alternatives],
        "detection_confidence": result.detected,
        "warnings": [
            schemas.TranslationWarning(code=each.code, message=each.message, segment=each.segment)
            for each in result.notices
        ],
    }


def _since_ms(started_s: float) -> float:
    return (time.perf_counter() - started_s) * 1e3


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
