"""The real thing over HTTP: twelve directions, many clients, a Redis that dies, a deployment that changes."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from configs.loader import ROOT
from tests.serve.conftest import Service
from train.demo.corpus import build_corpus
from train.demo.settings import DemoSettings

LANGUAGES = ("eng_Latn", "spa_Latn", "fra_Latn", "hin_Deva")
DIRECTIONS = tuple(itertools.permutations(LANGUAGES, 2))


def _client(service: Service) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=64)
    return httpx.AsyncClient(base_url=f"{service.url}/api/v1", timeout=90, limits=limits)


async def _translate(client: httpx.AsyncClient, text: str, source: str, target: str) -> str:
    response = await client.post("/translate", json={"text": text, "source_lang": source, "target_lang": target})
    assert response.status_code == 200, response.text
    return str(response.json()["translation"])


def _cases(num_rows: int, offset: int = 0) -> list[tuple[str, str, str, str]]:
    """Held-out sentences with their references: (text, source, target, reference)."""
    rows = build_corpus(DemoSettings()).held_out[offset : offset + num_rows]
    return [(row[source], source, target, row[target]) for row in rows for source, target in DIRECTIONS]


async def test_unseen_sentences_in_all_twelve_directions(service: Service) -> None:
    """Sentences that training never saw come back as a person would have written them, nearly always."""
    cases = _cases(num_rows=10)
    async with _client(service) as client:
        outputs = await asyncio.gather(*(_translate(client, *case[:3]) for case in cases))
    right = sum(output == case[3] for output, case in zip(outputs, cases, strict=True))
    assert right / len(cases) >= 0.9  # which sentences it gets wrong depends on the processor that it was trained on
    for direction in DIRECTIONS:
        assert any(output == case[3] for output, case in zip(outputs, cases, strict=True) if case[1:3] == direction), (
            direction
        )


async def test_many_clients_get_what_each_would_get_alone(service: Service) -> None:
    """32 concurrent clients of mixed languages: every answer equals the same sentence sent by itself; batches form."""
    cases = _cases(num_rows=16, offset=10)
    async with _client(service) as client:
        before = (await client.get("/health")).json()["batching"]
        together = await _in_parallel(client, cases, num_clients=32)
        after = (await client.get("/health")).json()["batching"]
        assert (await client.delete("/cache")).status_code == 200
        alone = [await _translate(client, *case[:3]) for case in cases]
    assert together == alone
    # How large batches grow depends on how fast the machine is for its clients; that they form does not.
    assert after["num_batches"] - before["num_batches"] < after["num_rows"] - before["num_rows"]


async def _in_parallel(
    client: httpx.AsyncClient, cases: list[tuple[str, str, str, str]], num_clients: int
) -> list[str]:
    free = asyncio.Semaphore(num_clients)

    async def one(case: tuple[str, str, str, str]) -> str:
        async with free:
            return await _translate(client, *case[:3])

    return await asyncio.gather(*map(one, cases))


async def test_the_second_time_comes_from_the_cache(service: Service) -> None:
    """Same text, same answer, `cached`."""
    body = {"text": "Good morning. The ticket costs 25 euros.", "source_lang": "en", "target_lang": "fr"}
    async with _client(service) as client:
        first = (await client.post("/translate", json=body)).json()
        # The answer does not wait for the cache's write.
        async with asyncio.timeout(30):
            while not (second := (await client.post("/translate", json=body)).json())["cached"]:
                pass
        stats = (await client.get("/cache/stats")).json()
    assert second["translation"] == first["translation"]
    assert stats["available"]
    assert stats["stats"]["hits"] >= 1


async def test_what_is_asked_for_often_is_near_until_the_cache_is_emptied(service: Service) -> None:
    """Ingress replicas answer by themselves what the cache has found before; emptying it empties them as well."""
    body = {"text": "Good evening. The room costs 90 euros.", "source_lang": "en", "target_lang": "fr"}
    async with _client(service) as client:

        async def num_near_hits() -> int:
            return int((await client.get("/cache/stats")).json()["stats"]["near_hits"])

        before = await num_near_hits()
        async with asyncio.timeout(30):
            while await num_near_hits() == before:
                answer = (await client.post("/translate", json=body)).json()
        assert answer["cached"]
        assert (await client.delete("/cache")).json()["removed"] >= 1
        assert not (await client.post("/translate", json=body)).json()["cached"]


async def test_line_breaks_come_back(service: Service) -> None:
    """Blank lines, indents and a trailing newline are where they were."""
    text = "Good morning.\n\n  Where is the station?\r\nThank you.\n"
    async with _client(service) as client:
        translation = await _translate(client, text, "eng_Latn", "spa_Latn")
    kept = [line for line in translation.replace("\r\n", "\n").split("\n")]
    assert [bool(line.strip()) for line in kept] == [True, False, True, True, False]
    assert kept[2].startswith("  ")
    assert "\r\n" in translation


async def test_a_stream_over_the_real_graph(service: Service) -> None:
    """Pieces in order over real server-sent events, then the whole."""
    body = {"text": "Good morning. Thank you.", "source_lang": "eng_Latn", "target_lang": "fra_Latn"}
    names, last = [], {}
    async with _client(service) as client, client.stream("POST", "/translate/stream", json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
            elif line.startswith("data: "):
                last = json.loads(line.removeprefix("data: "))
    assert names == ["segment", "segment", "done"]
    assert last["translation"]


async def test_health_shows_the_whole_application(service: Service) -> None:
    """Healthy, three deployments with running replicas, the demo model."""
    async with _client(service) as client:
        health = (await client.get("/health")).json()
    assert health["status"] == "healthy", health
    assert set(health["deployments"]) == {"Ingress", "Cache", "Translator"}
    assert health["model"]["name"] == "demo"


@asynccontextmanager
async def _steady_load(service: Service, statuses: list[Any]) -> AsyncIterator[None]:
    """Eight clients that translate without a pause until the block ends; what each request came to is recorded."""
    stop = asyncio.Event()
    cases = _cases(num_rows=20, offset=30)

    async def one_client(client: httpx.AsyncClient, number: int) -> None:
        for case in itertools.cycle(cases[number:] + cases[:number]):
            if stop.is_set():
                return
            body = {"text": case[0], "source_lang": case[1], "target_lang": case[2]}
            try:
                response = await client.post("/translate", json=body)
            except httpx.HTTPError as error:
                statuses.append(repr(error))
            else:
                statuses.append(response.status_code if response.status_code == 200 else response.text)

    async with _client(service) as client:
        tasks = [asyncio.create_task(one_client(client, number)) for number in range(8)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)


async def _until_requests(statuses: list[Any], num_more: int) -> None:
    wanted = len(statuses) + num_more
    async with asyncio.timeout(120):
        while len(statuses) < wanted:
            await asyncio.sleep(0.05)


async def test_stopping_redis_under_load_loses_no_request(service: Service) -> None:
    """Redis is killed, then started again, under steady load: every request is answered, the cache comes back."""
    statuses: list[Any] = []
    async with _steady_load(service, statuses):
        await _until_requests(statuses, 60)
        service.redis.kill()
        await _until_requests(statuses, 120)
        service.redis.start()
        await _until_requests(statuses, 60)
        async with _client(service) as client, asyncio.timeout(60):
            while not (await client.get("/cache/stats")).json()["available"]:
                await asyncio.sleep(0.2)
    assert set(statuses) == {200}


async def test_deploying_again_under_load_fails_no_request(service: Service, tmp_path: Path) -> None:
    """`serve deploy` with another `user_config` and number of replicas is applied while every request is answered."""
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    config["http_options"] |= {"host": "127.0.0.1", "port": service.port}
    ingress, _, translator = config["applications"][0]["deployments"]
    ingress["num_replicas"] = 2
    ingress["user_config"] = {"max_batch_items": 2}
    translator["user_config"] = {"wait_timeout_s": 0.01}
    # On two CPUs, two translators would leave none for a second ingress.
    translator["autoscaling_config"]["max_replicas"] = 1
    path = tmp_path / "serve_config.yaml"
    path.write_text(yaml.safe_dump(config))
    statuses: list[Any] = []
    async with _steady_load(service, statuses):
        await _until_requests(statuses, 30)
        _serve_cli("deploy", str(path), "--address", service.dashboard_url)
        async with asyncio.timeout(120):
            while "2" not in await asyncio.to_thread(_ingress_replicas, service):
                await asyncio.sleep(0.3)
        await _until_requests(statuses, 60)
    assert set(statuses) == {200}
    body = {"items": [{"text": "Hello.", "source_lang": "en", "target_lang": "es"}] * 3}
    async with _client(service) as client:
        assert (await client.post("/batch-translate", json=body)).status_code == 413


def _serve_cli(*arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("serve")), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | {"RAY_AUTH_MODE": "token"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _ingress_replicas(service: Service) -> str:
    status = yaml.safe_load(_serve_cli("status", "--address", service.dashboard_url))
    application = status["applications"]["nllb"]
    ingress = application["deployments"]["Ingress"]
    return str(ingress["replica_states"].get("RUNNING")) if application["status"] == "RUNNING" else ""


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
async def test_the_documentation_is_served(service: Service, path: str) -> None:
    """`/docs` and the document behind it."""
    async with httpx.AsyncClient() as client:
        assert (await client.get(service.url + path)).status_code == 200


async def test_a_client_that_hangs_up_frees_its_rows(service: Service) -> None:
    """Its sentences leave the queue and the decoder; most of them are never decoded."""
    num_sentences = 1500
    text = " ".join(f"The ticket to Rome costs {price} euros." for price in range(1000, 1000 + num_sentences))
    body = {"text": text, "source_lang": "en", "target_lang": "es", "num_beams": 4}
    async with _client(service) as client, asyncio.timeout(120):

        async def batching() -> dict[str, Any]:
            return dict((await client.get("/health")).json()["batching"])

        before = await batching()
        request = asyncio.create_task(client.post("/translate", json=body))
        while (await batching())["num_waiting"] == 0:
            assert not request.done(), request.result().text
        request.cancel()
        while (after := await batching())["num_waiting"] or after["num_decoding"]:
            pass
    assert after["num_rows"] - before["num_rows"] < num_sentences / 2
