"""A request can be followed by its ids through every station's log and spans; texts stay out unless asked for."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from configs.schema import AccessSettings, LoggingSettings, Settings, TracingSettings
from deployments.access.configured import configured_access, key_store
from deployments.access.keys import make_key
from deployments.api import create_api
from deployments.engine_metrics import EngineMetrics
from deployments.middleware import RequestIdMiddleware
from deployments.request_log import TextLog
from deployments.telemetry import Telemetry
from monitoring.logs import PACKAGES, TraceFilter, route_to_serve
from monitoring.tracing import current_traceparent
from pipelines.engine.identity import IdentityEngine
from pipelines.station import EngineStation
from pipelines.translate import TranslationPipeline
from pipelines.types import Outcome, Segment
from tests.fakes import FakeFleet
from tests.http_api import client_of, make_service
from tests.otlp_collector import OtlpCollector

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = CLIENT.split("-")[1]
SECRET = "Zwiebelkuchen."


class Records(logging.Handler):
    """Keeps what is logged, as the formatter would see it."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(TraceFilter())
        self.records: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        self.records.append({**vars(record), "said": record.getMessage()})


@pytest.fixture
def records() -> Any:
    """What the project's loggers write, as if this were a replica."""
    handler = Records()
    serve = logging.getLogger("ray.serve")
    before = serve.handlers
    serve.handlers = [handler]
    yield handler.records
    serve.handlers = before
    for package in PACKAGES:
        logger = logging.getLogger(package)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.NOTSET)


class _Replica:
    """A translator behind its telemetry, called as a handle is."""

    def __init__(self, settings: Settings) -> None:
        self.telemetry = Telemetry(settings, "translator")
        engine = IdentityEngine(fail_on="boom")
        self._station = EngineStation(engine, observer=EngineMetrics(self.telemetry, engine))

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator`; hands over the trace as `HandleStation` does."""
        return await self.telemetry.call(segments, current_traceparent(), self._station.translate)


def _client(settings: Settings) -> tuple[httpx.AsyncClient, list[Telemetry]]:
    telemetry, replica = Telemetry(settings, "ingress"), _Replica(settings)
    pipeline = TranslationPipeline(
        replica,
        observers=[TextLog(telemetry)],
        on_stage=lambda stage, duration_s: telemetry.tracing.stage(f"pipeline.{stage}", duration_s),
    )
    api = create_api(make_service(pipeline), telemetry.recorder, telemetry=telemetry)
    return client_of(api), [telemetry, replica.telemetry]


def _body(text: str = SECRET) -> dict[str, str]:
    return {"text": text, "source_lang": "en", "target_lang": "es"}


async def test_a_request_is_followed_by_its_trace(records: list[dict[str, Any]]) -> None:
    """Ingress, text and translator write a line each: the trace, what was asked, how long it took."""
    client, _ = _client(Settings())
    async with client:
        answer = await client.post("/translate", json=_body(), headers={"traceparent": CLIENT, "X-Request-ID": "r-1"})
    lines = {(record["station"], record["funcName"]): record for record in records if "station" in record}
    request, text, call = lines["ingress", "_log"], lines["ingress", "finished"], lines["translator", "_log"]
    assert {record["trace_id"] for record in (request, text, call)} == {TRACE_ID}
    assert answer.headers["traceparent"].split("-")[1] == TRACE_ID
    assert answer.headers["x-request-id"] == "r-1"
    assert (request["endpoint"], request["status"], request["error_codes"]) == ("/api/v1/translate", 200, [])
    assert (text["language_pair"], text["adapter"], text["num_characters"]) == (
        "eng_Latn-spa_Latn",
        "none",
        len(SECRET),
    )
    assert (call["language_pair"], call["num_segments"], call["num_failed"]) == ("eng_Latn-spa_Latn", 1, 0)
    assert call["num_source_tokens"] == len(SECRET) + 2
    assert {"duration_ms", "encode_ms", "queue_ms", "decode_ms"} <= set(call)


async def test_errors_are_in_the_lines_by_code(records: list[dict[str, Any]]) -> None:
    """A failure of a text, of the request, and one that nobody foresaw."""

    class Broken(FakeFleet):
        async def clear_cache(self) -> int:
            raise ZeroDivisionError

    client, (telemetry, _) = _client(Settings())
    async with client:
        await client.post("/translate", json=_body("boom"))
    async with client_of(create_api(make_service(fleet=Broken()), telemetry=telemetry)) as client:
        await client.delete("/cache")
    requests = [record for record in records if "endpoint" in record]
    assert [(record["status"], record["error_codes"]) for record in requests] == [
        (500, ["engine_failed"]),
        (500, ["internal"]),
    ]
    assert [record["error_code"] for record in records if "error_code" in record] == ["engine_failed"]


async def test_the_line_of_a_request_names_the_key_that_was_shown(
    records: list[dict[str, Any]], tmp_path: Path
) -> None:
    """By its id, which is no secret; the key itself is in no line."""
    settings = AccessSettings(keys="optional", sqlite_file=str(tmp_path / "keys.sqlite3"))
    text, key = make_key("test", ("translate",), None)
    await key_store(settings).put(key)
    telemetry = Telemetry(Settings(), "ingress")
    api = create_api(make_service(), telemetry.recorder, configured_access(settings), telemetry=telemetry)
    async with client_of(api) as client:
        assert (await client.post("/translate", json=_body(), headers={"X-API-Key": text})).status_code == 200
        assert (await client.post("/translate", json=_body())).status_code == 200
    assert [record.get("key") for record in records if "endpoint" in record] == [key.id, None]
    assert text not in str(records)


@pytest.mark.parametrize("wanted", [False, True])
async def test_texts_are_logged_only_when_asked_for(records: list[dict[str, Any]], wanted: bool) -> None:
    """Neither source nor translation nor what is wrong about them, in any line of any station."""
    client, _ = _client(Settings(logging=LoggingSettings(texts=wanted, level="DEBUG")))
    async with client:
        await client.post("/translate", json=_body())
        await client.post("/batch-translate", json={"items": [_body(), _body(SECRET + " boom")]})
    assert any(SECRET[:-1] in str(record) for record in records) == wanted


async def test_lines_can_be_switched_off(records: list[dict[str, Any]]) -> None:
    """A service of many requests that has no use for them."""
    client, _ = _client(Settings(logging=LoggingSettings(calls=False)))
    async with client:
        await client.post("/translate", json=_body())
    assert not [record for record in records if "station" in record]


@pytest.fixture
async def collector() -> AsyncIterator[OtlpCollector]:
    """A collector that listens."""
    collector = OtlpCollector()
    yield collector
    collector.close()


async def test_stations_and_stages_are_spans(collector: OtlpCollector) -> None:
    """The request, its text, the translator's call, and encoding, waiting and decoding within it."""
    client, telemetries = _client(Settings(tracing=TracingSettings(endpoint=collector.endpoint)))
    async with client:
        await client.post("/translate", json=_body(), headers={"traceparent": CLIENT})
    for telemetry in telemetries:
        telemetry.tracing.close()
    spans = {span.name: span for span in collector.of_trace(TRACE_ID)}
    request, call = spans["POST /api/v1/translate"], spans["translator"]
    engine, beside = {"engine.encode", "engine.queue", "engine.decode"}, {"pipeline.plan", "pipeline.answer", "text"}
    assert set(spans) == {request.name, call.name, *engine, *beside}
    assert {spans[name].parent_id for name in beside} == {request.span_id}
    assert call.parent_id == request.span_id
    assert {spans[name].parent_id for name in engine} == {call.span_id}
    assert request.attributes["http.response.status_code"] == 200
    assert call.resource["nllb.station"] == "translator"
    assert SECRET not in str(spans)


def test_without_serve_the_loggers_are_left_alone() -> None:
    """In a library's process nobody's handlers are changed."""
    serve = logging.getLogger("ray.serve")
    before, serve.handlers = serve.handlers, []
    try:
        route_to_serve("INFO")
        assert all(logging.getLogger(package).propagate for package in PACKAGES)
    finally:
        serve.handlers = before
        for package in PACKAGES:
            logging.getLogger(package).setLevel(logging.NOTSET)


async def test_a_profile_is_an_archive_or_an_ordinary_error() -> None:
    """Its parts follow each other; seconds out of range are refused, and a replica that cannot is a 503."""
    fleet = FakeFleet()
    async with client_of(create_api(make_service(fleet=fleet))) as client:
        answer = await client.post("/admin/profile", params={"seconds": 0.5})
        assert (answer.content, answer.headers["content-type"]) == (b"PKarchive", "application/zip")
        refused = await client.post("/admin/profile", params={"seconds": 3600})
        assert (refused.status_code, refused.json()["error"]["field"]) == (422, "query.seconds")
        fleet.healthy = False
        assert (await client.post("/admin/profile")).status_code == 503


async def test_behind_serve_the_id_is_returned_once() -> None:
    """Ray Serve returns the id that it finds in the request; ours is added only where it is another one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(RequestIdMiddleware(app, behind_serve=True))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert "x-request-id" not in (await client.get("/", headers={"X-Request-ID": "good"})).headers
        assert (await client.get("/", headers={"X-Request-ID": "forged id"})).headers["x-request-id"] != "forged id"
