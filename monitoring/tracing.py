"""Traces: who called whom in a request, and how long each station and stage took. OpenTelemetry, exported by OTLP.

Every request has a trace id, its client's (W3C `traceparent`) or a new one, which goes through all stations and into
their logs. Spans are only made when there is somewhere to export them to; without, a span costs a comparison.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()
Attributes = Mapping[str, str | int | float | bool]


class Tracing:
    """Makes the spans of one process.

    Args:
        processor: Takes finished spans; None makes none.
        sampling_ratio: Share of the traces that begin here which are recorded; a client's decision is kept.
        resource: Says in all spans where they are from.
    """

    def __init__(
        self, processor: SpanProcessor | None = None, *, sampling_ratio: float = 1.0, resource: Attributes | None = None
    ) -> None:
        self._provider: TracerProvider | None = None
        self._tracer: trace.Tracer | None = None
        if processor is not None:
            # Not made the process' own provider: Ray and FastAPI would export their spans along with these.
            self._provider = TracerProvider(
                sampler=ParentBasedTraceIdRatio(sampling_ratio), resource=Resource.create(dict(resource or {}))
            )
            self._provider.add_span_processor(processor)
            self._tracer = self._provider.get_tracer("nllb")

    @contextmanager
    def request(self, name: str, traceparent: str | None) -> Iterator[trace.Span]:
        """Begin a request's part in a trace, or a trace; yields the span, which may be renamed."""
        context = _context_of(traceparent)
        if self._tracer is not None:
            with self._tracer.start_as_current_span(
                name, context, kind=trace.SpanKind.SERVER, record_exception=False
            ) as span:
                yield span
            return
        client = trace.get_current_span(context).get_span_context()
        with _attached(client if client.is_valid else _new_span_context()):
            yield trace.get_current_span()

    def span(self, name: str, **attributes: str | int | float | bool) -> AbstractContextManager[object]:
        """Return a context that is a span within the current one."""
        if self._tracer is None:
            return nullcontext()
        return self._tracer.start_as_current_span(name, attributes=attributes, record_exception=False)

    def stage(self, name: str, duration_s: float, **attributes: str | int | float | bool) -> None:
        """Record what has just ended as a span within the current one."""
        if self._tracer is None:
            return
        end_ns = time.time_ns()
        span = self._tracer.start_span(name, start_time=end_ns - int(duration_s * 1e9), attributes=attributes)
        span.end(end_ns)

    def close(self) -> None:
        """Export what is left."""
        if self._provider is not None:
            self._provider.shutdown()


def otlp_processor(endpoint: str, headers: Mapping[str, str] | None = None) -> SpanProcessor:
    """Return what exports spans to a collector, in batches, from a thread of its own.

    Args:
        endpoint: Of OTLP over HTTP, such as `http://collector:4318/v1/traces`.
        headers: Sent along, such as a token.
    """
    # The exporter brings an HTTP client that a process without a collector need not load.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, headers=dict(headers or {})))


def current_traceparent() -> str | None:
    """Return the current place in the trace in W3C's form, to be handed to another process; None outside of any."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


def current_trace_id() -> str | None:
    """Return the trace's id, 32 hexadecimal digits; None outside of any."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


@contextmanager
def continued(traceparent: str | None) -> Iterator[None]:
    """Go on with a trace that another process has handed over."""
    if traceparent is None:
        yield
        return
    with _attached(trace.get_current_span(_context_of(traceparent)).get_span_context()):
        yield


def _context_of(traceparent: str | None) -> otel_context.Context:
    """Return a context with a well-formed parent, or an empty one: a malformed header begins a new trace."""
    context = otel_context.Context()
    return context if traceparent is None else _PROPAGATOR.extract({"traceparent": traceparent}, context)


@contextmanager
def _attached(span_context: trace.SpanContext) -> Iterator[None]:
    token = otel_context.attach(trace.set_span_in_context(trace.NonRecordingSpan(span_context), otel_context.Context()))
    try:
        yield
    finally:
        otel_context.detach(token)


def _new_span_context() -> trace.SpanContext:
    return trace.SpanContext(
        trace_id=secrets.randbits(127) + 1,
        span_id=secrets.randbits(63) + 1,
        is_remote=False,
        trace_flags=trace.TraceFlags(trace.TraceFlags.DEFAULT),
    )
