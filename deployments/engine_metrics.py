"""Turns what a translator's station and engine do into metrics, spans, and figures of the call's line in the log."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.telemetry import Telemetry, current_call
from monitoring import metrics
from pipelines.engine.usage import device_usage
from pipelines.protocols import EncodedSegment, Engine
from pipelines.station import padded_tokens
from pipelines.types import Failure, Outcome, Segment


class EngineMetrics:
    """A `StationObserver` that records, and samples the engine.

    Args:
        telemetry: Of this replica.
        engine: Of this replica.
    """

    def __init__(self, telemetry: Telemetry, engine: Engine) -> None:
        self._recorder = telemetry.recorder
        self._tracing = telemetry.tracing
        self._engine = engine

    def started(self, *, load_s: float, warmup_s: float) -> None:
        """Record how long the start took."""
        self._recorder.set(metrics.MODEL_LOAD_SECONDS, load_s)
        self._recorder.set(metrics.WARMUP_SECONDS, warmup_s)
        self._recorder.set(metrics.DECODE_SLOTS, self._engine.max_rows)

    def encoded(self, num_segments: int, duration_s: float) -> None:
        """See `StationObserver`."""
        self._stage("encode", duration_s, num_segments=num_segments)

    def queued(self, segment: Segment, duration_s: float) -> None:
        """See `StationObserver`."""
        self._recorder.observe(metrics.TIME_IN_QUEUE, duration_s)
        self._stage("queue", duration_s)

    def decoded(self, segment: Segment, outcome: Outcome, duration_s: float) -> None:
        """See `StationObserver`."""
        if isinstance(outcome, Failure):
            self._stage("decode", duration_s, error_code=outcome.error.code)
            return
        num_source, num_target = outcome.num_source_tokens, outcome.num_target_tokens
        self._recorder.count(metrics.TOKENS, num_source, direction="source")
        self._recorder.count(metrics.TOKENS, num_target, direction="target")
        self._stage("decode", duration_s, num_source_tokens=num_source, num_target_tokens=num_target)

    def submitted(self, rows: Sequence[EncodedSegment]) -> None:
        """Record an encoder batch."""
        num_padded = padded_tokens(rows)
        num_source = sum(row.num_tokens for row in rows)
        self._recorder.observe(metrics.BATCH_ROWS, len(rows))
        self._recorder.observe(metrics.BATCH_PADDING_RATIO, 1 - num_source / max(1, num_padded))
        self._recorder.count(metrics.ENCODER_TOKENS, num_source, kind="source")
        self._recorder.count(metrics.ENCODER_TOKENS, num_padded - num_source, kind="padding")

    def sample(self, num_waiting: int) -> None:
        """Record what the engine did and holds, and how its device is. May block for a millisecond."""
        recorder, stats, device = self._recorder, self._engine.stats(), self._engine.info.device
        recorder.count_to(metrics.DECODE_STEPS, stats.num_steps)
        recorder.count_to(metrics.DECODE_ROW_STEPS, stats.num_row_steps)
        recorder.set(metrics.DECODE_SLOTS_USED, stats.num_rows)
        recorder.set(metrics.ADAPTERS_RESIDENT, len(self._engine.adapters()))
        recorder.set(metrics.QUEUE_SEGMENTS, num_waiting)
        usage = device_usage(device)
        recorder.set(metrics.DEVICE_MEMORY, usage.memory_used_bytes, device=device, kind="used")
        recorder.set(metrics.DEVICE_MEMORY, usage.memory_total_bytes, device=device, kind="total")
        if usage.busy_ratio is not None:
            recorder.set(metrics.DEVICE_UTILIZATION, usage.busy_ratio, device=device)

    def _stage(self, name: str, duration_s: float, **attributes: str | int) -> None:
        self._tracing.stage(f"engine.{name}", duration_s, **attributes)
        call = current_call.get()
        if call is not None:
            call.stage(name, duration_s)
            for attribute, amount in attributes.items():
                if isinstance(amount, int) and attribute.endswith("_tokens"):
                    call.add(attribute, amount)
