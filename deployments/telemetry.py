"""What one replica tells of itself: figures, spans, and a line in the log for each call."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from configs.schema import Settings, TracingSettings
from deployments.reporting import Reporter
from deployments.watch import Watch
from monitoring.logs import route_to_serve
from monitoring.recorder import Recorder
from monitoring.tracing import Tracing, continued, otlp_processor
from pipelines.types import Failure, Outcome, Segment

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class CallFigures:
    """What the stages of one call add up to; see `current_call`.

    Attributes:
        longest_s: The slowest segment's time by stage.
        amounts: Sums over the segments.
    """

    longest_s: dict[str, float] = field(default_factory=dict)
    amounts: dict[str, int] = field(default_factory=dict)

    def stage(self, name: str, duration_s: float) -> None:
        """Take a segment's time in a stage."""
        self.longest_s[name] = max(self.longest_s.get(name, 0.0), duration_s)

    def add(self, name: str, amount: int) -> None:
        """Add to a sum."""
        self.amounts[name] = self.amounts.get(name, 0) + amount


current_call: ContextVar[CallFigures | None] = ContextVar("current_call", default=None)
"""The call that the running code works for; tasks of a call see the same."""


class Telemetry:
    """Made once by each replica.

    Args:
        settings: The whole configuration.
        station: What the replica is called in spans and lines: `ingress`, `cache`, `translator`.
    """

    def __init__(self, settings: Settings, station: str) -> None:
        self.recorder = Recorder()
        self.tracing = configured_tracing(settings.tracing, station)
        self.logs_calls = settings.logging.calls and settings.logging.level in {"DEBUG", "INFO"}
        self.logs_texts = settings.logging.texts
        self._station = station
        self._interval_s = settings.metrics.report_interval_s
        route_to_serve(settings.logging.level)

    def start(self, sample: Callable[[], Awaitable[None]] | None = None) -> None:
        """Report figures from now on; `sample` records what is only known when it is asked for."""
        Watch(Reporter(self.recorder, sample).report, self._interval_s).start()

    async def call(
        self,
        segments: list[Segment],
        traceparent: str | None,
        translate: Callable[[list[Segment]], Awaitable[list[Outcome]]],
    ) -> list[Outcome]:
        """Make one call of this replica's station, as a part of its caller's trace."""
        figures = CallFigures()
        token = current_call.set(figures)
        started_s = time.perf_counter()
        try:
            with continued(traceparent), self.tracing.span(self._station, **_described(segments)):
                outcomes = await translate(segments)
                if self.logs_calls:
                    self._log(segments, outcomes, figures, time.perf_counter() - started_s)
        finally:
            current_call.reset(token)
        return outcomes

    def _log(self, segments: list[Segment], outcomes: list[Outcome], figures: CallFigures, duration_s: float) -> None:
        fields: dict[str, Any] = {
            "station": self._station,
            **_described(segments),
            "num_failed": sum(isinstance(outcome, Failure) for outcome in outcomes),
            "num_cached": sum(not isinstance(outcome, Failure) and outcome.cached for outcome in outcomes),
            "duration_ms": milliseconds(duration_s),
            **{f"{name}_ms": milliseconds(longest_s) for name, longest_s in figures.longest_s.items()},
            **figures.amounts,
        }
        if self.logs_texts:
            fields["texts"] = [segment.text for segment in segments]
            fields["outputs"] = [_told(outcome) for outcome in outcomes]
        _LOGGER.info(
            "%s: %d segments, %s, in %.1f ms",
            self._station,
            len(segments),
            fields["language_pair"],
            fields["duration_ms"],
            extra=fields,
        )


def configured_tracing(settings: TracingSettings, station: str) -> Tracing:
    """Return what the settings ask for."""
    if settings.endpoint is None:
        return Tracing()
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    resource = {
        "service.name": settings.service_name,
        "service.instance.id": f"{station}-{os.getpid()}",
        "nllb.station": station,
    }
    return Tracing(
        otlp_processor(settings.endpoint, headers), sampling_ratio=settings.sampling_ratio, resource=resource
    )


def milliseconds(duration_s: float) -> float:
    """Return a duration as logs have it."""
    return round(duration_s * 1000, 3)


def _described(segments: list[Segment]) -> dict[str, str | int]:
    """Name the pair and the adapter that all segments share, or `mixed`."""
    pairs = {f"{segment.source_lang}-{segment.target_lang}" for segment in segments}
    adapters = {segment.adapter or "none" for segment in segments}
    return {
        "num_segments": len(segments),
        "language_pair": pairs.pop() if len(pairs) == 1 else "mixed",
        "adapter": adapters.pop() if len(adapters) == 1 else "mixed",
    }


def _told(outcome: Outcome) -> str:
    return outcome.error.code if isinstance(outcome, Failure) else outcome.text
