"""Adapters in the running application: published, promoted, tried, rolled back and spoilt, while clients translate."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from configs.loader import ROOT
from pipelines.adapters import AdapterRegistry
from pipelines.engine.checkpoint import locate_checkpoint
from tests.adapter_files import draft, publish_spoilt, write_adapter
from tests.serve.conftest import Service

PAIR = {"source_lang": "eng_Latn", "target_lang": "hin_Deva"}
TEXTS = [f"The ticket to {city} costs {price} euros." for city in ("Rome", "Paris") for price in range(20, 24)]


@dataclass
class Publisher:
    """Publishes random adapters of the demo model; each seed translates otherwise."""

    registry: AdapterRegistry
    folder: Path
    revision: str
    width: int
    layers: int

    def publish(self, name: str, seed: int, **said: Any) -> int:
        """Publish a version and return its number."""
        modules = tuple(
            f"model.{side}.layers.{layer}.{attention}.v_proj"
            for side, attention in (("encoder", "self_attn"), ("decoder", "self_attn"), ("decoder", "encoder_attn"))
            for layer in range(self.layers)
        )
        folder = write_adapter(self.folder / str(seed), modules=modules, width=self.width, scale=0.5, seed=seed)
        about = {"base_model": "demo", "base_revision": self.revision, "targets": ("v_proj",), **said}
        return self.registry.publish(name, folder, draft(**about)).version


@pytest.fixture
def publisher(service: Service, tmp_path: Path, demo_model_path: Path) -> Publisher:
    """Of the running application's registry."""
    config = json.loads((demo_model_path / "config.json").read_text())
    revision = locate_checkpoint("demo").revision
    registry = AdapterRegistry(str(service.registry))
    return Publisher(registry, tmp_path / "adapters", revision, config["d_model"], config["decoder_layers"])


@dataclass
class Client:
    """Asks the application, and remembers whatever did not work."""

    http: httpx.AsyncClient
    failures: list[str] = field(default_factory=list)
    num_answers: int = 0

    async def ask(self, text: str, adapter: str | None) -> dict[str, Any]:
        """Translate one text."""
        body = {"text": text, **PAIR, "adapter": adapter, "max_length": 12}  # random adapters never stop by themselves
        response = await self.http.post("/translate", json=body)
        self.num_answers += 1
        if response.status_code != 200:
            self.failures.append(response.text)
        answer: dict[str, Any] = response.json()
        return answer

    async def until(self, what: Callable[[dict[str, Any]], bool], text: str, adapter: str) -> dict[str, Any]:
        """Ask until the answer is so."""
        async with asyncio.timeout(120):
            while not what(answer := await self.ask(text, adapter)):
                await asyncio.sleep(0.05)
        return answer

    async def until_catalog(self, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read `GET /adapters` until it is so."""
        async with asyncio.timeout(120):
            while not what(catalog := (await self.http.get("/adapters")).json()):
                await asyncio.sleep(0.1)
        found: dict[str, Any] = catalog
        return found

    async def until_answers(self, num_more: int) -> None:
        """Return when so many more requests have been answered."""
        wanted = self.num_answers + num_more
        async with asyncio.timeout(120):
            while self.num_answers < wanted:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def _client(service: Service) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(base_url=f"{service.url}/api/v1", timeout=300) as http:
        yield Client(http)


@asynccontextmanager
async def _load(client: Client, adapters: list[str | None], num_clients: int = 3) -> AsyncIterator[None]:
    """Clients that ask for adapters and for none in turn, without a pause, until the block ends."""
    stop = asyncio.Event()

    async def work(number: int) -> None:
        for turn in itertools.count(number):
            if stop.is_set():
                return
            await client.ask(TEXTS[turn % len(TEXTS)], adapters[turn % len(adapters)])

    tasks = [asyncio.create_task(work(number)) for number in range(num_clients)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


def _entry(catalog: dict[str, Any], name: str) -> dict[str, Any]:
    empty = {"live": None, "serving": None, "canary": None, "versions": []}
    return next((each for each in catalog["adapters"] if each["name"] == name), empty)


def _problems(catalog: dict[str, Any], version: str) -> list[str]:
    versions = _entry(catalog, version.partition("@")[0])["versions"]
    return [reason for each in versions if each["version"] == version for reason in each["problems"].values()]


def _by(version: str) -> Callable[[dict[str, Any]], bool]:
    return lambda answer: answer["adapter"] == version


async def test_versions_come_and_go_under_load_without_a_failed_request(
    service: Service, publisher: Publisher, tmp_path: Path
) -> None:
    """Publish, promote, try, roll back, and a spoilt version: answers change when they should, and none fails."""
    registry = publisher.registry
    async with _client(service) as client:
        base = (await client.ask(TEXTS[0], None))["translation"]
        publisher.publish("lab", seed=1)
        registry.promote("lab", 1)
        await client.until_catalog(lambda catalog: _entry(catalog, "lab")["serving"] == 1)
        first = await client.ask(TEXTS[0], "lab")
        assert first["adapter"] == "lab@1"
        assert first["translation"] != base
        async with _load(client, [None, "lab", "lab@1", None]):
            publisher.publish("lab", seed=2)
            registry.promote("lab", 2)
            second = await client.until(_by("lab@2"), TEXTS[0], "lab")
            assert second["translation"] not in (base, first["translation"])
            assert (await client.ask(TEXTS[0], "lab@1"))["translation"] == first["translation"]

            publisher.publish("lab", seed=3)
            registry.canary("lab", 3, 50, shadow_percent=100)
            await client.until_catalog(lambda catalog: _entry(catalog, "lab")["canary"] == 3)
            asked = TEXTS * 2
            answers = await asyncio.gather(*(client.ask(text, "lab") for text in asked))
            sides: dict[str, set[str]] = {text: set() for text in TEXTS}
            for text, answer in zip(asked, answers, strict=True):
                sides[text].add(answer["adapter"])
            assert {frozenset(each) for each in sides.values()} == {frozenset({"lab@2"}), frozenset({"lab@3"})}
            await client.until_catalog(lambda catalog: any(each["num_compared"] for each in catalog["shadows"]))

            registry.rollback("lab")  # ends the trial
            on_trial = next(text for text, versions in sides.items() if versions == {"lab@3"})
            await client.until(_by("lab@2"), on_trial, "lab")
            registry.rollback("lab")  # returns to the version before
            back = await client.until(_by("lab@1"), TEXTS[0], "lab")
            assert back["translation"] == first["translation"]

            spoilt = publish_spoilt(
                registry, "lab", tmp_path / "spoilt", lambda other: replace(publisher, registry=other).publish("lab", 4)
            )
            registry.promote("lab", spoilt)
            catalog = await client.until_catalog(lambda catalog: bool(_problems(catalog, f"lab@{spoilt}")))
            assert "SHA-256" in _problems(catalog, f"lab@{spoilt}")[0]
            assert (_entry(catalog, "lab")["live"], _entry(catalog, "lab")["serving"]) == (spoilt, 1)
            await client.until_answers(20)
            assert (await client.ask(TEXTS[0], "lab"))["adapter"] == "lab@1"
        assert client.failures == []
    registry.rollback("lab")


async def test_what_cannot_be_served_is_said_with_what_can(service: Service, publisher: Publisher) -> None:
    """404 with what exists, 400 for other languages, 409 for another base model."""
    publisher.publish("elsewhere", seed=7, base_revision="another")
    publisher.registry.promote("elsewhere", 1)
    publisher.publish("trained", seed=8)
    publisher.registry.promote("trained", 1)
    async with _client(service) as client:
        await client.until_catalog(
            lambda catalog: {"elsewhere", "trained"} <= {each["name"] for each in catalog["adapters"]}
        )

        async def refusal(adapter: str, target: str = "hin_Deva") -> tuple[int, str, str]:
            body = {"text": "Hello.", "source_lang": "en", "target_lang": target, "adapter": adapter}
            response = await client.http.post("/translate", json=body)
            error = response.json()["error"]
            return response.status_code, error["code"], error["message"]

        status, code, message = await refusal("legal")
        assert (status, code) == (404, "unknown_adapter")
        assert "there are elsewhere" in message
        assert (await refusal("trained@9"))[:2] == (404, "unknown_adapter")
        status, code, message = await refusal("trained", "es")
        assert (status, code) == (400, "adapter_language")
        assert "trained for eng_Latn-hin_Deva" in message
        assert (await refusal("elsewhere"))[:2] == (409, "adapter_base")


def test_the_command_line_shows_the_same_registry(service: Service, publisher: Publisher) -> None:
    """`python -m pipelines.adapters list` with the service's variable."""
    publisher.publish("listed", seed=9)
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.adapters", "list"],
        cwd=ROOT,
        env=os.environ | {"NLLB__ADAPTERS__REGISTRY": str(service.registry)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "listed" in done.stdout
