"""The HTTP API without Ray: the real routes, middleware and error map over a fake fleet and a shouting station."""

from __future__ import annotations

import inspect
import json
import pickle
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from configs.schema import LimitSettings
from deployments.api import create_api
from deployments.http_errors import STATUS
from deployments.stations import FallbackStation
from pipelines import errors
from pipelines.protocols import SegmentTranslator
from pipelines.translate import TranslationPipeline
from pipelines.types import Failure, Outcome, Segment
from tests.fakes import FakeFleet, ShoutingStation, UnreachableStation
from tests.http_api import client_of, make_service

LIMITS = LimitSettings(max_text_chars=50, max_batch_items=3, max_body_bytes=2000, request_timeout_s=5)
GOOD = {"text": "Hello.", "source_lang": "en", "target_lang": "es"}


def _client(
    station: SegmentTranslator | None = None, fleet: FakeFleet | None = None, limits: LimitSettings = LIMITS
) -> httpx.AsyncClient:
    pipeline = TranslationPipeline(station or ShoutingStation(), max_text_chars=limits.max_text_chars)
    return client_of(create_api(make_service(pipeline, fleet, limits=limits)))


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that upper-cases."""
    async with _client() as client:
        yield client


async def test_a_translation_says_all_about_itself(client: httpx.AsyncClient) -> None:
    """Every documented field is there, and the client's request id comes back."""
    response = await client.post("/translate", json=GOOD, headers={"X-Request-ID": "abc-1"})
    body = response.json()
    assert response.status_code == 200
    assert body.pop("latency_ms") >= 0
    assert body == {
        "translation": "HELLO.",
        "source_lang": "eng_Latn",
        "target_lang": "spa_Latn",
        "model": "fake",
        "adapter": None,
        "glossary": None,
        "cached": False,
        "score": None,
        "alternatives": [],
        "detection_confidence": None,
        "request_id": "abc-1",
        "warnings": [],
    }
    assert response.headers["x-request-id"] == "abc-1"


async def test_a_forged_request_id_is_replaced(client: httpx.AsyncClient) -> None:
    """An id that could break a log line is not taken over."""
    response = await client.post("/translate", json=GOOD, headers={"X-Request-ID": "a b\tc"})
    assert response.json()["request_id"].isalnum()


@pytest.mark.parametrize(
    ("body", "status", "code", "field", "says"),
    [
        (b'{"text": ', 400, "invalid_request", None, "not valid JSON"),
        (b"\xff\xfe", 400, "invalid_request", None, "JSON"),
        (b"[]", 422, "invalid_request", None, "body"),
        (b"{}", 422, "invalid_request", "text", "required"),
        ({**GOOD, "text": 5}, 422, "invalid_request", "text", "got 5"),
        ({**GOOD, "text": None}, 422, "invalid_request", "text", "string"),
        ({**GOOD, "txt": "x"}, 422, "invalid_request", "txt", "not permitted"),
        ({**GOOD, "num_beams": 0}, 422, "invalid_request", "num_beams", "greater than or equal to 1"),
        ({**GOOD, "num_beams": "4"}, 422, "invalid_request", "num_beams", "integer"),
        ({**GOOD, "num_beams": 99}, 400, "unsupported_option", "num_beams", "1 to 8 are accepted"),
        ({**GOOD, "max_length": -1}, 422, "invalid_request", "max_length", "got -1"),
        ({**GOOD, "source_lang": "englsh"}, 400, "unknown_language", "source_lang", "eng_Latn"),
        ({**GOOD, "target_lang": ""}, 400, "unknown_language", "target_lang", "unknown"),
        ({**GOOD, "adapter": "medical"}, 404, "unknown_adapter", "adapter", "'medical'"),
        ({**GOOD, "text": "x" * 51}, 413, "text_too_long", "text", "51 characters; at most 50"),
        ({**GOOD, "text": "x" * 3000}, 413, "body_too_large", None, "2000 bytes"),
        ({**GOOD, "text": "a\ud800b"}, 400, "invalid_text", "text", "U+D800"),
        ({**GOOD, "text": "boom"}, 500, "engine_failed", None, "failed"),
    ],
)
async def test_bad_input_gets_one_clear_error(
    client: httpx.AsyncClient, body: object, status: int, code: str, field: str | None, says: str
) -> None:
    """One JSON shape; the message names the field, the value and what is accepted."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = await client.post("/translate", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert (error["code"], error["field"]) == (code, field)
    assert says in error["message"]
    assert error["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("text", ["", "  \n ", "a\x00b", "\x07", "‮abc", "e\u0301" * 20])
async def test_odd_text_is_translated_or_carried_through(client: httpx.AsyncClient, text: str) -> None:
    """Nothing, white space, NUL and control characters, bidirectional controls, combining marks: 200."""
    response = await client.post("/translate", json={**GOOD, "text": text})
    assert response.status_code == 200
    assert response.json()["translation"] == text.upper()


async def test_a_batch_answers_each_item(client: httpx.AsyncClient) -> None:
    """A wrong type, an unknown language and a good item: two errors with their fields, one translation."""
    items = [{**GOOD, "text": 1}, {**GOOD, "source_lang": "xx"}, GOOD]
    response = await client.post("/batch-translate", json={"items": items})
    assert response.status_code == 200
    results = response.json()["results"]
    assert [each["error"] and each["error"]["field"] for each in results] == [
        "items.0.text",
        "items.1.source_lang",
        None,
    ]
    assert results[2]["translation"] == "HELLO."


class _BusyStation(ShoutingStation):
    """Has no room for `Wait 1.5`, for as many seconds."""

    def _translate(self, segment: Segment) -> Outcome:
        word, _, wait_s = segment.text.partition(" ")
        if word == "Wait":
            return Failure(errors.OverloadedError("no room", retry_after_s=float(wait_s)))
        return super()._translate(segment)


@pytest.mark.parametrize(
    ("texts", "retry_after"),
    [
        (["Wait 1.5", "Wait 7.2"], "8"),
        (["Wait 1.5", "Hello."], None),
        (["Wait 1.5", "boom"], None),
        ([], None),
    ],
)
async def test_a_batch_that_was_refused_says_when_to_come_back(texts: list[str], retry_after: str | None) -> None:
    """Where another try may help all items, `Retry-After` is the longest of their waits; the status stays 200."""
    async with _client(_BusyStation()) as client:
        items = [{**GOOD, "text": text} for text in texts]
        response = await client.post("/batch-translate", json={"items": items})
    assert (response.status_code, response.headers.get("retry-after")) == (200, retry_after)


async def test_too_many_items_are_refused(client: httpx.AsyncClient) -> None:
    """The limit is named."""
    response = await client.post("/batch-translate", json={"items": [GOOD] * 4})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_many_items")


async def test_a_stream_sends_pieces_and_then_the_whole(client: httpx.AsyncClient) -> None:
    """Events in order, then a summary that equals the plain answer."""
    response = await client.post("/translate/stream", json={**GOOD, "text": "One. Two.\n"})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [block.split("\n", 1) for block in response.text.strip().split("\n\n")]
    assert [name for name, _ in events] == ["event: segment"] * 3 + ["event: done"]
    data = [json.loads(payload.removeprefix("data: ")) for _, payload in events]
    assert data[:2] == [
        {"index": 0, "text": "ONE.", "cached": False},
        {"index": 1, "text": " TWO.", "cached": False},
    ]
    assert data[2]["text"] == "\n"
    assert data[3]["translation"] == "ONE. TWO.\n"


async def test_a_stream_that_cannot_start_is_an_ordinary_error(client: httpx.AsyncClient) -> None:
    """Before the first event the status still can be, and is, an error's."""
    response = await client.post("/translate/stream", json={**GOOD, "source_lang": "xx"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "unknown_language")


async def test_a_stream_that_fails_midway_says_so(client: httpx.AsyncClient) -> None:
    """The pieces before the failure were sent; the last event is the error."""
    response = await client.post("/translate/stream", json={**GOOD, "text": "One. boom. Three."})
    assert [line for line in response.text.split("\n") if line.startswith("event")] == [
        "event: segment",
        "event: error",
    ]


async def test_an_unreachable_translator_is_503_and_an_unreachable_cache_is_not() -> None:
    """Around the cache there is a way; without a translator there is none."""
    async with _client(UnreachableStation()) as client:
        assert (await client.post("/translate", json=GOOD)).status_code == 503
    async with _client(FallbackStation(UnreachableStation(), ShoutingStation())) as client:
        assert (await client.post("/translate", json=GOOD)).json()["translation"] == "HELLO."


async def test_health_means_that_a_translation_came_back() -> None:
    """Healthy with a translation, 503 without; being alive is another question."""
    fleet = FakeFleet()
    async with _client(fleet=fleet) as client:
        assert (await client.get("/health")).json()["status"] == "healthy"
        assert (await client.get("/health/ready")).status_code == 200
    fleet.healthy = False
    async with _client(fleet=fleet) as client:
        assert (await client.get("/health")).status_code == 503
        assert "it is gone" in (await client.get("/health/ready")).json()["error"]["message"]
        assert (await client.get("/health/live")).status_code == 200


@pytest.mark.parametrize(
    ("deployment", "status"),
    [("UPSCALING", "healthy"), ("DOWNSCALING", "healthy"), ("UNHEALTHY", "degraded"), ("UPDATING", "degraded")],
)
async def test_a_deployment_that_scales_is_whole(deployment: str, status: str) -> None:
    """Autoscaling is no incident; a replica that fails or is replaced may become one."""
    fleet = FakeFleet()
    fleet.deployment_status = deployment
    async with _client(fleet=fleet) as client:
        assert (await client.get("/health")).json()["status"] == status


async def test_a_part_that_does_not_answer_hides_no_other() -> None:
    """One replica that hangs makes the service degraded; what the others say is shown."""

    class OneHangs(FakeFleet):
        async def batching(self) -> dict[str, Any]:
            raise errors.UnavailableError("a part of the service did not answer within 5 s")

    async with _client(fleet=OneHangs()) as client:
        health = (await client.get("/health")).json()
    assert health["status"] == "degraded"
    assert health["batching"] == {}
    assert health["cache"]["entries"] == 3
    assert health["deployments"]["Translator"]["status"] == "HEALTHY"


async def test_catalogs_and_cache(client: httpx.AsyncClient) -> None:
    """Languages of the model, the model, the cache's statistics, and how many entries were removed."""
    languages = (await client.get("/languages")).json()["languages"]
    assert [each["code"] for each in languages][:2] == ["eng_Latn", "fra_Latn"]
    assert (await client.get("/models")).json()["models"][0]["name"] == "fake"
    assert (await client.get("/cache/stats")).json()["stats"]["entries"] == 3
    assert (await client.delete("/cache")).json() == {"removed": 3}


async def test_the_model_before_is_named_as_long_as_it_answers() -> None:
    """While another model is rolled out its translators may answer at first; what is served now is then remembered."""
    fleet = FakeFleet()
    async with client_of(create_api(make_service(fleet=fleet, model_revision="2"))) as client:

        async def name(revision: str) -> str:
            fleet.model = replace(fleet.model, name=f"model {revision}", model_revision=revision)
            return str((await client.post("/translate", json=GOOD)).json()["model"])

        assert [await name(revision) for revision in "1231"] == ["model 1", "model 2", "model 2", "model 2"]


async def test_unknown_paths_have_the_same_shape(client: httpx.AsyncClient) -> None:
    """404 and 405 are errors like all others; the latter says what is accepted."""
    assert (await client.get("/nothing")).json()["error"]["code"] == "not_found"
    error = (await client.get("/translate")).json()["error"]
    assert (error["code"], error["message"]) == ("method_not_allowed", "GET is not accepted here; POST is")


@pytest.mark.parametrize(
    ("headers", "came"),
    [
        ({}, "it came without the header"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "it came as 'application/x-www-form-urlencoded'"),
    ],
)
async def test_a_body_that_is_not_sent_as_json_is_told_how(
    client: httpx.AsyncClient, headers: dict[str, str], came: str
) -> None:
    """As `curl --data` sends it; the text is not sent back."""
    response = await client.post("/translate", content=json.dumps(GOOD).encode(), headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (415, "unsupported_media_type")
    expected = "the body should be JSON, with the header Content-Type: application/json; "
    assert error["message"] == expected + came


def test_every_error_has_a_status_and_survives_pickling() -> None:
    """No leaf of the tree is forgotten in the map; errors cross processes whole."""
    leaves = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.TranslationError)
    ]
    assert set(leaves) == set(STATUS)
    for kind in leaves:
        copy = pickle.loads(pickle.dumps(kind("what", field="text", retry_after_s=2.0)))
        assert (type(copy), copy.message, copy.field, copy.retry_after_s) == (kind, "what", "text", 2.0)
