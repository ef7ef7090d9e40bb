"""Options about text over HTTP: formats, what is kept, glossaries, alternatives, detection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from configs.schema import LimitSettings
from deployments.api import create_api
from pipelines.translate import TranslationPipeline
from tests.fakes_text import NumberingStation
from tests.http_api import client_of, make_service

GOOD = {"text": "Hello.", "source_lang": "en", "target_lang": "es"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that upper-cases and has as many alternatives as are asked for."""
    limits = LimitSettings(
        max_kept_patterns=2, max_kept_terms=3, max_glossary_terms=2, max_json_pointers=1, max_text_chars=500
    )
    pipeline = TranslationPipeline(NumberingStation({}), max_text_chars=500)
    async with client_of(create_api(make_service(pipeline, limits=limits))) as client:
        yield client


@pytest.mark.parametrize(
    ("more", "translation"),
    [
        ({"text": "<p>Hi <b>you</b></p>", "format": "html"}, "<p>HI <b>YOU</b></p>"),
        ({"text": '{"a": "one", "b": "two"}', "format": "json", "json_exclude": ["/b"]}, '{"a": "ONE", "b": "two"}'),
        ({"text": "{a: 'one', // two", "format": "json"}, "{a: 'ONE', // two"),
        ({"text": "use Ray Serve", "do_not_translate": ["Ray Serve"]}, "USE Ray Serve"),
        ({"text": "order ab-12", "protect_patterns": [r"[a-z]{2}-\d+"]}, "ORDER ab-12"),
        ({"text": "my heart", "glossary": {"heart": "corazón"}}, "MY corazón"),
        ({"text": "Heart", "glossary": {"heart": "corazón"}}, "corazón"),
        ({"text": "Heart!\n\nMy heart. Heart", "glossary": {"heart": "corazón"}}, "corazón!\n\nMY corazón. corazón"),
        (
            {"text": "<h1>Heart</h1><td><b>Heart</b></td>", "format": "html", "glossary": {"heart": "corazón"}},
            "<h1>corazón</h1><td><b>corazón</b></td>",
        ),
        ({"text": "my Heart", "glossary": {"heart": "x"}, "glossary_options": {"match_case": True}}, "MY HEART"),
    ],
)
async def test_options_of_one_text(client: httpx.AsyncClient, more: dict[str, Any], translation: str) -> None:
    """Each does over the wire, alone and in a batch, what it says."""
    body = {**GOOD, **more}
    single = await client.post("/translate", json=body)
    assert single.json()["translation"] == translation, single.text
    batch = await client.post("/batch-translate", json={"items": [body]})
    assert batch.json()["results"][0]["translation"] == translation


@pytest.mark.parametrize(
    ("more", "status", "code", "field", "says"),
    [
        ({"format": "pdf"}, 422, "invalid_request", "format", "'markdown'"),
        ({"json_exclude": ["/a~b"]}, 400, "unsupported_option", "json_exclude", "'~' as ~0"),
        ({"json_include": ["/a", "/b"]}, 413, "too_many_items", "json_include", "at most 1"),
        ({"json_include": ["/a"]}, 400, "unsupported_option", "json_include", "needs format 'json', not 'text'"),
        ({"json_include": ["a"]}, 400, "unsupported_option", "json_include", "begins with '/'"),
        ({"protect_patterns": ["("]}, 400, "unsupported_option", "protect_patterns", "not a regular expression"),
        ({"protect_patterns": ["a", "b", "c"]}, 413, "too_many_items", "protect_patterns", "at most 2"),
        ({"text": "a" * 400 + "b", "protect_patterns": ["(a|aa)+$"]}, 400, "unsupported_option", "protect_patterns",
         "too long"),
        ({"do_not_translate": list("abcd")}, 413, "too_many_items", "do_not_translate", "at most 3"),
        ({"glossary": {"a": ""}}, 400, "unsupported_option", "glossary", "neither empty"),
        ({"glossary": {"a": "b", "c": "d", "e": "f"}}, 413, "too_many_items", "glossary", "at most 2"),
        ({"alternatives": 9}, 400, "unsupported_option", "alternatives", "1 to 8"),
        ({"source_lang": "auto", "text": "ok"}, 400, "undetected_language", "source_lang", "candidates"),
        ({"target_lang": "auto"}, 400, "unknown_language", "target_lang", "auto"),
    ],
)  # fmt: skip
async def test_wrong_options_are_named(
    client: httpx.AsyncClient, more: dict[str, Any], status: int, code: str, field: str, says: str
) -> None:
    """The field, its value, what is accepted; in a batch the item alone."""
    response = await client.post("/translate", json={**GOOD, **more})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["field"]) == (status, code, field), response.text
    assert says in error["message"]
    batch = await client.post("/batch-translate", json={"items": [{**GOOD, **more}, GOOD]})
    bad, good = batch.json()["results"]
    assert (bad["error"]["field"], good["translation"]) == (f"items.0.{field}", "HELLO.")


async def test_alternatives_and_warnings(client: httpx.AsyncClient) -> None:
    """The n best with scores; a warning names its sentence."""
    body = (await client.post("/translate", json={**GOOD, "alternatives": 2})).json()
    assert body["alternatives"] == [{"translation": "HELLO.", "score": 0.0}, {"translation": "HELLO.2", "score": -0.1}]
    body = (await client.post("/translate", json={**GOOD, "text": "Hi. One two three four."})).json()
    assert [(each["code"], each["segment"]) for each in body["warnings"]] == [("untranslated", 1)]


async def test_languages_are_detected_per_item(client: httpx.AsyncClient) -> None:
    """Each item of a batch has its own language, and its own error where nothing tells."""
    texts = ["Où est la pharmacie, s'il vous plaît ?", "कृपया मुझे बताइए कि अस्पताल कहाँ है।", "123 ok"]
    items = [{"text": text, "source_lang": "auto", "target_lang": "en"} for text in texts]
    results = (await client.post("/batch-translate", json={"items": items})).json()["results"]
    assert [each["source_lang"] for each in results] == ["fra_Latn", "hin_Deva", None]
    assert results[0]["detection_confidence"] > 0.9
    assert results[2]["error"]["code"] == "undetected_language"


async def test_detect(client: httpx.AsyncClient) -> None:
    """A language with confidence and candidates, or none where nothing tells."""
    found = (await client.post("/detect", json={"text": "Où est la pharmacie, s'il vous plaît ?"})).json()
    assert (found["language"], found["candidates"][0]["language"]) == ("fra_Latn", "fra_Latn")
    unsure = (await client.post("/detect", json={"text": "ok"})).json()
    assert (unsure["language"], bool(unsure["candidates"])) == (None, True)
    assert (await client.post("/detect", json={"text": ""})).json()["candidates"] == []
    assert (await client.post("/detect", json={"text": "x" * 501})).status_code == 413
