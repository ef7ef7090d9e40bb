"""What the ingress and the translator do becomes metrics: real API and station over fakes, figures in memory."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from configs.schema import LimitSettings, MetricsSettings, Settings
from deployments.api import create_api
from deployments.engine_metrics import EngineMetrics
from deployments.request_metrics import MeasuredStation, RequestMetrics
from deployments.telemetry import Telemetry
from monitoring import metrics
from monitoring.recorder import Recorder
from pipelines.engine.identity import IdentityEngine
from pipelines.station import EngineStation
from pipelines.translate import TranslationPipeline
from pipelines.types import Segment
from tests.fakes import FakeFleet, ShoutingStation
from tests.http_api import client_of, make_service

GOOD = {"text": "Hello there.", "source_lang": "en", "target_lang": "es"}


@pytest.fixture
def recorder() -> Recorder:
    """Where the figures go."""
    return Recorder()


def _client(recorder: Recorder, settings: MetricsSettings | None = None) -> httpx.AsyncClient:
    limits = LimitSettings(max_body_bytes=2000)
    pipeline = TranslationPipeline(
        MeasuredStation(ShoutingStation(), recorder),
        observers=[RequestMetrics(recorder, settings or MetricsSettings())],
    )
    return client_of(create_api(make_service(pipeline, limits=limits), recorder), "")


async def test_requests_by_route_and_status(recorder: Recorder) -> None:
    """The route as declared, never the path as written; what no route takes shares one label."""
    async with _client(recorder) as client:
        await client.post("/api/v1/translate", json=GOOD)
        await client.post("/api/v1/translate", json={**GOOD, "source_lang": "xx"})
        await client.get("/api/v1/wp-login.php?x=1")
        await client.get("/api/v1/languages")
    counted = {labels: amount for (metric, labels), amount in recorder.counters.items() if metric is metrics.REQUESTS}
    assert counted == {
        ("/api/v1/translate", "200"): 1,
        ("/api/v1/translate", "400"): 1,
        ("unmatched", "404"): 1,
        ("/api/v1/languages", "200"): 1,
    }
    assert recorder.gauges[metrics.REQUESTS_ONGOING, ()] == 0


async def test_a_translation_is_measured(recorder: Recorder) -> None:
    """Duration and its exact sum by pair, characters both ways, segments by outcome."""
    async with _client(recorder) as client:
        await client.post("/api/v1/translate", json={**GOOD, "text": "Hello there. Good morning."})
    (duration_s,) = recorder.observations[metrics.TRANSLATION_DURATION, ("eng_Latn-spa_Latn", "none")]
    assert recorder.total(metrics.TRANSLATION_SECONDS) == duration_s > 0
    assert recorder.total(metrics.CHARACTERS, direction="source") == 26
    assert recorder.total(metrics.CHARACTERS, direction="target") == 26
    assert recorder.total(metrics.SEGMENTS, outcome="translated") == 2


async def test_errors_are_counted_as_clients_are_told(recorder: Recorder) -> None:
    """Once per error: of a request, of an item in a batch, of a stream that has begun, of a body that is too large."""
    async with _client(recorder) as client:
        await client.post("/api/v1/translate", json={**GOOD, "text": "boom."})
        await client.post(
            "/api/v1/batch-translate", json={"items": [{**GOOD, "text": "boom."}, GOOD, {**GOOD, "text": 5}]}
        )
        await client.post("/api/v1/translate/stream", json={**GOOD, "text": "Good. boom."})
        await client.post("/api/v1/translate", content=b"x" * 3000)
        await client.get("/nothing")
    codes = {labels[0]: amount for (metric, labels), amount in recorder.counters.items() if metric is metrics.ERRORS}
    assert codes == {"engine_failed": 3, "invalid_request": 1, "body_too_large": 1, "not_found": 1}


async def test_an_unexpected_error_is_counted_as_internal() -> None:
    """What nobody foresaw is a 500 in the metrics as it is for the client."""

    class Broken(FakeFleet):
        async def clear_cache(self) -> int:
            raise ZeroDivisionError

    recorder = Recorder()
    async with client_of(create_api(make_service(fleet=Broken()), recorder)) as client:
        assert (await client.delete("/cache")).status_code == 500
    assert recorder.total(metrics.REQUESTS, status="500") == 1
    assert recorder.total(metrics.ERRORS, code="internal") == 1


async def test_only_configured_pairs_have_their_own_label(recorder: Recorder) -> None:
    """The rest is `other`."""
    async with _client(recorder, MetricsSettings(language_pairs=("eng_Latn-fra_Latn",))) as client:
        await client.post("/api/v1/translate", json=GOOD)
        await client.post("/api/v1/translate", json={**GOOD, "target_lang": "fr"})
    pairs = [labels[0] for metric, labels in recorder.observations if metric is metrics.TRANSLATION_DURATION]
    assert pairs == ["other", "eng_Latn-fra_Latn"]


async def test_notices_are_counted_by_code(recorder: Recorder) -> None:
    """A translation that came with a notice."""
    async with _client(recorder) as client:
        await client.post("/api/v1/translate", json={**GOOD, "target_lang": "en"})
    assert recorder.total(metrics.QUALITY_GUARDS, guard="same_language") == 1


async def test_the_station_and_its_engine_are_measured() -> None:
    """Waits, tokens, batches with their padding, steps, the device."""
    engine = IdentityEngine()
    telemetry = Telemetry(Settings(), "translator")
    recorder, figures = telemetry.recorder, EngineMetrics(telemetry, engine)
    figures.started(load_s=1.5, warmup_s=0.5)
    station = EngineStation(engine, observer=figures)
    segments = [Segment(text, "eng_Latn", "fra_Latn") for text in ("ab", "abcd")]
    await station.translate(segments)
    figures.submitted([row for row in engine.encode(segments) if hasattr(row, "token_ids")])
    await asyncio.to_thread(figures.sample, station.num_waiting)
    assert len(recorder.observations[metrics.TIME_IN_QUEUE, ()]) == 2
    assert recorder.total(metrics.TOKENS, direction="source") == 4 + 6
    assert recorder.total(metrics.TOKENS, direction="target") == 2 + 4
    assert recorder.observations[metrics.BATCH_ROWS, ()] == [2]
    assert recorder.observations[metrics.BATCH_PADDING_RATIO, ()] == [pytest.approx(2 / 12)]
    assert recorder.total(metrics.ENCODER_TOKENS, kind="padding") == 2
    assert recorder.total(metrics.DECODE_STEPS) == 2
    assert recorder.gauges[metrics.MODEL_LOAD_SECONDS, ()] == 1.5
    used, total = (recorder.gauges[metrics.DEVICE_MEMORY, ("cpu", kind)] for kind in ("used", "total"))
    assert 0 < used < total
