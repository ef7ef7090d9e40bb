"""Turns what the ingress does for requests into metrics."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from configs.schema import MetricsSettings
from deployments.http_errors import note_error
from monitoring import metrics
from monitoring.bounds import OTHER, BoundedLabel
from monitoring.recorder import Recorder
from pipelines.errors import TranslationError
from pipelines.protocols import SegmentTranslator
from pipelines.types import Failure, Outcome, Segment, TranslationRequest, TranslationResult

NO_ADAPTER = "none"


class RequestMetrics:
    """A `PipelineObserver` that records.

    Args:
        recorder: Of this process.
        settings: Which language pairs and adapters have labels of their own.
    """

    def __init__(self, recorder: Recorder, settings: MetricsSettings) -> None:
        self._recorder = recorder
        self._pair_label = BoundedLabel(settings.language_pairs, settings.max_language_pairs)
        self._adapter_label = BoundedLabel((), settings.max_adapters)

    def finished(
        self,
        request: TranslationRequest,
        result: TranslationResult | TranslationError,
        adapter: str | None,
        duration_s: float,
    ) -> None:
        """See `PipelineObserver`."""
        label = NO_ADAPTER if adapter is None else self._adapter_label(adapter)
        if adapter is not None:
            outcome = "failed" if isinstance(result, TranslationError) else "ok"
            name, _, version = label.partition("@")
            self._recorder.count(metrics.ADAPTER_REQUESTS, adapter=name, version=version or OTHER, outcome=outcome)
        if isinstance(result, TranslationResult):
            self._translated(request, result, label, duration_s)

    def _translated(
        self, request: TranslationRequest, result: TranslationResult, adapter: str, duration_s: float
    ) -> None:
        recorder = self._recorder
        pair = self._pair_label(f"{result.source_lang}-{result.target_lang}")
        recorder.observe(metrics.TRANSLATION_DURATION, duration_s, language_pair=pair, adapter=adapter)
        recorder.count(metrics.CHARACTERS, len(request.text), direction="source")
        recorder.count(metrics.CHARACTERS, len(result.text), direction="target")
        for code in {notice.code for notice in result.notices}:
            recorder.count(metrics.QUALITY_GUARDS, guard=code)


class MeasuredStation:
    """A station of the same interface that counts the segments which go through another by their outcomes."""

    def __init__(self, station: SegmentTranslator, recorder: Recorder) -> None:
        self._station = station
        self._recorder = recorder

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator.translate`."""
        outcomes = await self._station.translate(segments)
        for outcome in outcomes:
            kind = "failed" if isinstance(outcome, Failure) else "cached" if outcome.cached else "translated"
            self._recorder.count(metrics.SEGMENTS, outcome=kind)
        return outcomes


class MetricsMiddleware:
    """Counts requests by route and status, and the errors that they were answered with. Plain ASGI."""

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder
        self._num_ongoing = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count one request when it is over."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = "cancelled"

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        self._ongoing(+1)
        try:
            await self._app(scope, receive, send_and_see)
        except Exception:
            # The answer had begun and was broken off; see `http_errors.UnexpectedErrorMiddleware`.
            status = "500"
            note_error(scope, "internal")
            raise
        finally:
            self._ongoing(-1)
            self._recorder.count(metrics.REQUESTS, endpoint=endpoint_of(scope), status=status)
            for code in scope.get("state", {}).get("error_codes", ()):
                self._recorder.count(metrics.ERRORS, code=code)

    def _ongoing(self, change: int) -> None:
        self._num_ongoing += change
        self._recorder.set(metrics.REQUESTS_ONGOING, self._num_ongoing)


def endpoint_of(scope: Scope) -> str:
    """Return the route as it is declared, or `unmatched`: paths as clients write them have no bound."""
    # A route of an included router knows only its own part of the path; FastAPI keeps the whole beside it.
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return str(getattr(route, "path_format", None) or getattr(route, "path", "unmatched"))
