"""A request of the real service, followed: its ids in every station's log and spans, its text in none."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import secrets
import zipfile
from pathlib import Path
from typing import Any

import httpx

from tests.serve.conftest import Service

_LOGS = Path("/tmp/ray")


def _lines(wanted: str) -> list[dict[str, Any]]:
    """Every line of Serve's logs that holds a string; other clusters of this machine may write beside ours."""
    lines = []
    for file in _LOGS.glob("session_*/logs/serve/replica_*.log"):
        lines += [json.loads(line) for line in file.read_text().splitlines() if wanted in line]
    return lines


async def test_one_request_through_all_stations(service: Service) -> None:
    """The client's ids come back, and tie together lines and spans of ingress, cache, translator and engine."""
    trace_id, request_id, marker = secrets.token_hex(16), f"follow-{secrets.token_hex(8)}", secrets.token_hex(12)
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01", "X-Request-ID": request_id}
    body = {"text": f"Good morning, {marker}.", "source_lang": "en", "target_lang": "fr"}
    async with httpx.AsyncClient(base_url=f"{service.url}/api/v1", timeout=60) as client:
        answer = await client.post("/translate", json=body, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == request_id
    assert answer.headers["traceparent"].split("-")[1] == trace_id

    engine, cache = {"engine.encode", "engine.queue", "engine.decode"}, {"cache.look_up", "cache.keep"}
    pipeline = {"pipeline.plan", "pipeline.answer"}
    wanted = {"POST /api/v1/translate", "text", "cache", "translator", *pipeline, *cache, *engine}
    async with asyncio.timeout(30):
        while not {span.name for span in service.collector.of_trace(trace_id)} >= wanted:
            await asyncio.sleep(0.1)
        while len(lines := [line for line in _lines(request_id) if "station" in line]) < 4:
            await asyncio.sleep(0.1)
    spans = {span.name: span for span in service.collector.of_trace(trace_id)}
    ingress = spans["POST /api/v1/translate"].span_id
    assert {spans[name].parent_id for name in ("cache", "text", *pipeline)} == {ingress}
    assert spans["translator"].parent_id == spans["cache"].span_id
    assert {spans[stage].parent_id for stage in cache} == {spans["cache"].span_id}
    assert {spans[stage].parent_id for stage in engine} == {spans["translator"].span_id}
    assert {line["trace_id"] for line in lines} == {trace_id}
    assert {line["request_id"] for line in lines} == {request_id}
    assert {line["deployment"] for line in lines} == {"nllb_Ingress", "nllb_Cache", "nllb_Translator"}
    assert all(line["replica"] and line["duration_ms"] > 0 for line in lines)
    assert all(line["language_pair"] == "eng_Latn-fra_Latn" for line in lines if "endpoint" not in line)
    assert not _lines(marker)


async def test_a_request_without_ids_gets_them(service: Service) -> None:
    """One id of the request, the same in the answer and in Serve's lines; a malformed one is not taken over."""
    body = {"text": "Good morning.", "source_lang": "en", "target_lang": "hi"}
    async with httpx.AsyncClient(base_url=f"{service.url}/api/v1", timeout=60) as client:
        for headers in ({}, {"X-Request-ID": "forged id"}):
            answer = await client.post("/translate", json=body, headers=headers)
            request_id = answer.json()["request_id"]
            assert request_id in answer.headers.get_list("x-request-id")
            assert request_id != "forged id"
            assert len(answer.headers["traceparent"]) == 55
            async with asyncio.timeout(30):
                while not [line for line in _lines(request_id) if line.get("endpoint") == "/api/v1/translate"]:
                    await asyncio.sleep(0.1)


async def test_a_replica_is_profiled_at_its_work(service: Service) -> None:
    """The archive of the real translator: the engine's operators and its thread's stacks, while it translates."""
    stop = asyncio.Event()

    async def translate(client: httpx.AsyncClient) -> None:
        while not stop.is_set():
            text = f"The ticket to Rome costs {secrets.randbelow(1000)} euros."
            body = {"text": text, "source_lang": "en", "target_lang": "es"}
            assert (await client.post("/translate", json=body)).status_code == 200

    async with httpx.AsyncClient(base_url=f"{service.url}/api/v1", timeout=120) as client:
        work = asyncio.create_task(translate(client))
        answer = await client.post("/admin/profile", params={"seconds": 0.5})
        stop.set()
        await work
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        events = json.loads(gzip.decompress(archive.read("trace.json.gz")))["traceEvents"]
        flames = archive.read("flame_graph.svg").decode()
    assert any(event.get("cat") == "cpu_op" for event in events)
    assert "decoding-lane" in flames
