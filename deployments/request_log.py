"""A request's place in a trace, its span, and its lines in the log. Plain ASGI, and a `PipelineObserver`."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from ray.serve.context import _get_serve_request_context, _serve_request_context
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.request_metrics import endpoint_of
from deployments.telemetry import Telemetry, milliseconds
from monitoring.tracing import current_traceparent
from pipelines.errors import TranslationError
from pipelines.types import TranslationRequest, TranslationResult

_LOGGER = logging.getLogger(__name__)


class TraceMiddleware:
    """Takes up the client's trace or begins one, tells the client, and writes a line when the request is over.

    Stands behind `RequestIdMiddleware`, whose id it makes that of Ray Serve's own log lines, here and in all calls.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request within its trace."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        status = 0
        request_id = scope["state"]["request_id"]
        _serve_request_context.set(replace(_get_serve_request_context(), request_id=request_id))
        with self._telemetry.tracing.request(scope["method"], Headers(scope=scope).get("traceparent")) as span:
            traceparent = current_traceparent() or ""

            async def send_in_trace(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    MutableHeaders(scope=message)["traceparent"] = traceparent
                await send(message)

            try:
                await self._app(scope, receive, send_in_trace)
            except Exception:
                status = 500
                raise
            finally:
                endpoint = endpoint_of(scope)
                span.update_name(f"{scope['method']} {endpoint}")
                span.set_attributes({"http.route": endpoint, "http.response.status_code": status})
                span.set_attribute("nllb.request_id", request_id)
                self._log(scope, endpoint, status, time.perf_counter() - started_s)

    def _log(self, scope: Scope, endpoint: str, status: int, duration_s: float) -> None:
        if self._telemetry.logs_calls:
            fields = {
                "station": "ingress",
                "method": scope["method"],
                "endpoint": endpoint,
                "status": status,
                "error_codes": scope["state"].get("error_codes", []),
                "duration_ms": milliseconds(duration_s),
            }
            if "key_id" in scope["state"]:
                fields["key"] = scope["state"]["key_id"]
            _LOGGER.info("%s %s %d in %.1f ms", scope["method"], endpoint, status, fields["duration_ms"], extra=fields)


class TextLog:
    """Writes a line for each text of a request."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def finished(
        self,
        request: TranslationRequest,
        result: TranslationResult | TranslationError,
        adapter: str | None,
        duration_s: float,
    ) -> None:
        """See `PipelineObserver`."""
        fields: dict[str, object] = {
            "adapter": adapter or "none",
            "num_characters": len(request.text),
            "duration_ms": milliseconds(duration_s),
        }
        if isinstance(result, TranslationResult):
            fields["language_pair"] = f"{result.source_lang}-{result.target_lang}"
            fields["num_segments"] = result.num_segments
            fields["cached"] = result.cached
            fields["notices"] = [notice.code for notice in result.notices]
        else:
            fields["error_code"] = result.code
        self._telemetry.tracing.stage("text", duration_s, **_attributes(fields))
        if not self._telemetry.logs_calls:
            return
        if self._telemetry.logs_texts:
            fields["text"] = request.text
            fields["output"] = result.text if isinstance(result, TranslationResult) else result.message
        told = fields.get("language_pair", fields.get("error_code"))
        _LOGGER.info("text of %d characters: %s", len(request.text), told, extra={"station": "ingress", **fields})


def _attributes(fields: dict[str, object]) -> dict[str, str | int | float | bool]:
    return {name: value for name, value in fields.items() if isinstance(value, str | int | float | bool)}
