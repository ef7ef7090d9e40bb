"""Stored glossaries over HTTP, and translations that name them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from configs.schema import LimitSettings
from deployments.api import create_api
from deployments.glossaries import Glossaries
from deployments.schemas import TranslateRequest
from deployments.schemas.glossaries import GlossaryCreate
from pipelines.cache.memory import MemoryStore
from pipelines.cache.read_through import ReadThroughCache
from pipelines.errors import DeadlineExceededError, TranslationError
from pipelines.glossaries.record import GlossaryVersion
from pipelines.glossaries.store import SqliteGlossaryStore
from pipelines.translate import TranslationPipeline
from tests.fakes import ShoutingStation
from tests.http_api import client_of, make_service

MEDICAL = {"id": "medical", "source_lang": "en", "target_lang": "es", "entries": {"heart attack": "infarto"}}
ASKED = {"text": "a heart attack today", "source_lang": "en", "target_lang": "es"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API whose glossaries are in a file."""
    store = MemoryStore(max_entries=100, max_bytes=100_000, ttl_s=None)
    service = make_service(
        # A real cache in front, as in the service: what a glossary changes must show through it.
        TranslationPipeline(ReadThroughCache(store, ShoutingStation(), "")),
        glossaries=Glossaries(SqliteGlossaryStore(tmp_path / "glossaries.sqlite3"), max_terms=3),
    )
    async with client_of(create_api(service)) as client:
        yield client


async def test_a_glossary_lives_and_dies(client: httpx.AsyncClient) -> None:
    """Created, listed, read, replaced by a new version, exported, deleted."""
    created = await client.post("/glossaries", json=MEDICAL)
    assert created.status_code == 201, created.text
    assert (created.json()["id"], created.json()["version"], created.json()["source_lang"]) == (
        "medical",
        1,
        "eng_Latn",
    )
    body = {"source_lang": "en", "target_lang": "es", "content": "heart attack\tataque al corazón\n"}
    assert (await client.put("/glossaries/medical", json=body)).json()["version"] == 2
    assert [each["version"] for each in (await client.get("/glossaries")).json()["glossaries"]] == [2]
    assert (await client.get("/glossaries/medical@1")).json()["entries"] == {"heart attack": "infarto"}
    exported = await client.get("/glossaries/medical/entries", params={"format": "csv"})
    assert exported.text == "heart attack,ataque al corazón\n"
    assert (await client.delete("/glossaries/medical")).json() == {"removed": 2}
    assert (await client.get("/glossaries/medical")).status_code == 404


async def test_a_translation_takes_the_newest_or_the_version_it_names(client: httpx.AsyncClient) -> None:
    """A new version is in force at once, an old one stays what it was, and a term of the request wins."""
    await client.post("/glossaries", json=MEDICAL)
    new = {**MEDICAL, "entries": {"heart attack": "ataque"}}
    del new["id"]
    await client.put("/glossaries/medical", json=new)
    for more, expected, used in (
        ({"glossary_id": "medical"}, "A ataque TODAY", "medical@2"),
        ({"glossary_id": "medical@1"}, "A infarto TODAY", "medical@1"),
        ({"glossary_id": "medical", "glossary": {"heart attack": "IAM"}}, "A IAM TODAY", "medical@2"),
        ({"glossary": {"heart attack": "IAM"}}, "A IAM TODAY", None),
    ):
        body = {**ASKED, **more}
        single = (await client.post("/translate", json=body)).json()
        (item,) = (await client.post("/batch-translate", json={"items": [body]})).json()["results"]
        assert [(each["translation"], each["glossary"]) for each in (single, item)] == [(expected, used)] * 2


async def test_terms_are_for_texts_in_their_language(client: httpx.AsyncClient) -> None:
    """Where the language is detected, a paragraph in another one has no terms of the glossary."""
    await client.post("/glossaries", json={**MEDICAL, "entries": {"patient": "paciente"}})
    text = "The patient is waiting for the doctor in the hospital.\n\nLe patient attend le médecin dans cet hôpital."
    body = {"text": text, "source_lang": "auto", "target_lang": "es", "glossary_id": "medical"}
    answer = (await client.post("/translate", json=body)).json()
    assert answer["translation"] == text.upper().replace("PATIENT", "paciente", 1)


async def test_a_changed_glossary_shows_in_the_next_request_though_the_cache_is_warm(
    client: httpx.AsyncClient,
) -> None:
    """Other translations, terms, case or inflection: what the cache keeps depends on none of them."""
    asked = {**ASKED, "text": "Two Heart attacks today.", "glossary_id": "medical"}
    plain = "TWO HEART ATTACKS TODAY."
    await client.post("/glossaries", json=MEDICAL)
    versions = [
        ({"entries": {"heart attack": "infarto"}}, plain),
        ({"entries": {"heart attack": "infarto"}, "match_inflections": True}, "TWO infarto TODAY."),
        ({"entries": {"heart attack": "ataque"}, "match_inflections": True}, "TWO ataque TODAY."),
        ({"entries": {"heart attack": "ataque"}, "match_inflections": True, "match_case": True}, plain),
        ({"entries": {"Heart": "corazón", "today": "hoy"}, "match_case": True}, "TWO corazón ATTACKS hoy."),
        ({"entries": {"other": "otro"}}, plain),
    ]
    for body, expected in versions:
        written = await client.put("/glossaries/medical", json={"source_lang": "en", "target_lang": "es", **body})
        # The second time all of it is in the cache.
        for cached in (None, True):
            answer = (await client.post("/translate", json=asked)).json()
            assert (answer["translation"], answer["glossary"]) == (expected, f"medical@{written.json()['version']}")
            assert cached is None or answer["cached"]


async def test_a_version_is_written_to_a_glossary_not_to_a_version(client: httpx.AsyncClient) -> None:
    """A name with a version is no name of a glossary; one that nobody has made gets no version either."""
    await client.post("/glossaries", json=MEDICAL)
    body = {name: value for name, value in MEDICAL.items() if name != "id"}
    assert (await client.put("/glossaries/medical@1", json=body)).status_code == 400
    assert (await client.put("/glossaries/legal", json=body)).status_code == 404
    assert [each["id"] for each in (await client.get("/glossaries")).json()["glossaries"]] == ["medical"]


async def test_of_those_who_create_one_name_together_one_does(client: httpx.AsyncClient) -> None:
    """The others learn that there is one, and change nothing."""
    answers = await asyncio.gather(*(client.post("/glossaries", json=MEDICAL) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
    assert (await client.get("/glossaries/medical")).json()["version"] == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({**MEDICAL, "id": "A b"}, 400, "invalid_request", "beginning with a letter or digit"),
        ({**MEDICAL, "entries": {"a": ""}}, 400, "unsupported_option", "neither empty"),
        ({**MEDICAL, "content": "a\tb"}, 400, "invalid_request", "either entries, or content"),
        ({**MEDICAL, "entries": {str(n): "x" for n in range(4)}}, 413, "too_many_items", "at most 3"),
        ({**MEDICAL, "source_lang": "englsh"}, 400, "unknown_language", "eng_Latn"),
        ({**MEDICAL, "entries": None, "content": "a"}, 400, "invalid_request", "line 1: 1 columns"),
        ({**MEDICAL, "entries": {"Hello": "\ud800"}}, 400, "invalid_text", "'Hello'"),
        ({**MEDICAL, "entries": None, "content": '{"a\\ud800": "b"}', "format": "json"}, 400, "invalid_text", "D800"),
    ],
)
async def test_what_is_wrong_with_a_glossary_is_said(
    client: httpx.AsyncClient, body: dict[str, object], status: int, code: str, says: str
) -> None:
    """One clear error; nothing is kept."""
    response = await _post(client, "/glossaries", body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code), response.text
    assert says in response.json()["error"]["message"]
    assert (await client.get("/glossaries")).json() == {"glossaries": []}


async def test_an_unknown_or_unfit_glossary_is_named(client: httpx.AsyncClient) -> None:
    """Unknown name, unknown version, one that no store counts to, other languages; it fails its item alone."""
    await client.post("/glossaries", json=MEDICAL)
    assert (await client.post("/glossaries", json=MEDICAL)).status_code == 409
    items = [
        {**ASKED, "glossary_id": "legal"},
        {**ASKED, "glossary_id": "medical@9"},
        {**ASKED, "glossary_id": "medical@" + "9" * 30},
        {**ASKED, "glossary_id": "medical@" + "9" * 5_000},
        {**ASKED, "glossary_id": "medical", "target_lang": "fr"},
        {**ASKED, "glossary_id": "medical"},
    ]
    results = (await client.post("/batch-translate", json={"items": items})).json()["results"]
    assert [each["error"] and each["error"]["code"] for each in results] == [
        "unknown_glossary",
        "unknown_glossary",
        "unknown_glossary",
        "unknown_glossary",
        "unsupported_option",
        None,
    ]
    assert "its versions are 1" in results[1]["error"]["message"]
    assert results[0]["error"]["field"] == "items.0.glossary_id"


async def test_what_is_no_text_in_a_glossary_fails_its_item_alone(client: httpx.AsyncClient) -> None:
    """Half of a surrogate pair as a translation or as a term: refused by every route, before anything is sent."""
    for glossary in ({"heart": "\ud800"}, {"\ud800": "corazón"}):
        bad = {**ASKED, "glossary": glossary}
        for path in ("/translate", "/translate/stream"):
            response = await _post(client, path, bad)
            error = response.json()["error"]
            assert (response.status_code, error["code"], error["field"]) == (400, "invalid_text", "glossary")
        batch = await _post(client, "/batch-translate", {"items": [ASKED, bad]})
        good, refused = batch.json()["results"]
        assert (good["translation"], refused["error"]["field"]) == ("A HEART ATTACK TODAY", "items.1.glossary")


async def _post(client: httpx.AsyncClient, path: str, body: dict[str, object]) -> httpx.Response:
    """Send what httpx' own JSON, which escapes nothing, cannot."""
    return await client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})


class _Counted(SqliteGlossaryStore):
    """Counts what it is asked for, and does not answer while it is told so."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.num_asked = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def get(self, glossary_id: str, version: int | None = None) -> GlossaryVersion | None:
        self.num_asked += 1
        await self.answers.wait()
        return await super().get(glossary_id, version)


async def test_a_batch_asks_for_each_name_once_and_within_its_deadline(tmp_path: Path) -> None:
    """A store that does not answer holds a batch up no longer than anything else may, and it counts meanwhile."""
    store = _Counted(tmp_path / "glossaries.sqlite3")
    service = make_service(glossaries=Glossaries(store, max_terms=3))
    await service.glossaries.create(GlossaryCreate(**MEDICAL))
    items = [TranslateRequest(**ASKED, glossary_id="medical") for _ in range(5)]
    results = await service.translate_batch(items)
    assert not any(isinstance(each, TranslationError) for each in results)
    assert store.num_asked == 1
    store.answers.clear()
    service.limits = LimitSettings(request_timeout_s=0.05)
    batch = asyncio.ensure_future(service.translate_batch(items))
    await asyncio.sleep(0)
    assert service.num_ongoing == 1
    with pytest.raises(DeadlineExceededError):
        await batch
    assert service.num_ongoing == 0
