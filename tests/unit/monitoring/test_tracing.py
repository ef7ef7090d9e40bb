"""Traces go on from the client's, through processes and stages, to a real collector; without one, ids go on alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from monitoring.tracing import Tracing, continued, current_trace_id, current_traceparent, otlp_processor
from tests.otlp_collector import OtlpCollector

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = CLIENT.split("-")[1]


@pytest.fixture
def collector() -> Iterator[OtlpCollector]:
    """A collector that listens."""
    collector = OtlpCollector()
    yield collector
    collector.close()


def test_a_request_is_one_trace_over_processes(collector: OtlpCollector) -> None:
    """Each span's parent is the one around it, the client's span the first, also where another process goes on."""
    ingress = Tracing(otlp_processor(collector.endpoint, {"x-token": "t"}), resource={"service.name": "nllb"})
    cache = Tracing(otlp_processor(collector.endpoint), resource={"service.name": "nllb"})
    with ingress.request("POST", CLIENT) as span:
        span.update_name("POST /translate")
        handed_over = current_traceparent()
        with continued(handed_over), cache.span("cache", num_segments=2):
            assert current_trace_id() == TRACE_ID
            cache.stage("engine.decode", 0.25, num_target_tokens=7)
    ingress.close()
    cache.close()
    spans = {span.name: span for span in collector.of_trace(TRACE_ID)}
    assert set(spans) == {"POST /translate", "cache", "engine.decode"}
    assert spans["POST /translate"].parent_id == CLIENT.split("-")[2]
    assert spans["cache"].parent_id == spans["POST /translate"].span_id
    assert spans["engine.decode"].parent_id == spans["cache"].span_id
    assert spans["engine.decode"].end_ns - spans["engine.decode"].start_ns == 250_000_000
    assert spans["engine.decode"].attributes == {"num_target_tokens": 7}
    assert spans["cache"].resource["service.name"] == "nllb"


def test_what_the_collector_asks_for_is_sent(collector: OtlpCollector) -> None:
    """Headers of the configuration, such as a token."""
    tracing = Tracing(otlp_processor(collector.endpoint, {"x-token": "t"}))
    with tracing.request("GET", None):
        pass
    tracing.close()
    assert collector.headers["x-token"] == "t"
    assert len(collector.spans) == 1


def test_what_a_client_does_not_record_is_not_recorded(collector: OtlpCollector) -> None:
    """The client's decision holds for its whole trace; ours for the traces that begin here."""
    tracing = Tracing(otlp_processor(collector.endpoint), sampling_ratio=0.0)
    with tracing.request("GET", CLIENT.replace("-01", "-00")):
        assert current_trace_id() == TRACE_ID
    with tracing.request("GET", None):
        pass
    with tracing.request("GET", CLIENT):
        pass
    tracing.close()
    assert [span.trace_id for span in collector.spans] == [TRACE_ID]


def test_without_a_collector_ids_go_on() -> None:
    """The client's trace id is current, and handed over; nothing is recorded."""
    tracing = Tracing()
    with tracing.request("POST", CLIENT), tracing.span("cache"):
        tracing.stage("engine.decode", 0.1)
        assert current_trace_id() == TRACE_ID
        assert current_traceparent() == CLIENT
    assert current_trace_id() is None


@pytest.mark.parametrize("header", [None, "", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01", CLIENT + "x"])
def test_a_malformed_parent_begins_a_trace(header: str | None) -> None:
    """What is no `traceparent` of W3C's is taken for none; two requests are two traces."""
    seen = set()
    for _ in range(2):
        with Tracing().request("POST", header):
            seen.add(current_traceparent())
    assert len(seen) == 2
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", str(traceparent)) for traceparent in seen)


def test_a_call_outside_of_any_trace_stays_outside() -> None:
    """A health probe has no trace to go on with."""
    with continued(None):
        assert current_traceparent() is None
