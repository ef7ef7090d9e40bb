"""The ingress' side of adapters, over a real registry and fake replicas: when aliases move, what is shown, shadows."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from deployments.adapters import AdapterFollower, AdapterMetrics
from deployments.api import create_api
from monitoring import metrics
from monitoring.recorder import Recorder
from pipelines.adapters import AdapterRegistry
from pipelines.adapters.report import KeeperReport
from pipelines.adapters.served import ServedAdapters
from pipelines.adapters.shadow import Shadows
from pipelines.breaker import CircuitBreaker
from pipelines.errors import EngineError
from pipelines.translate import TranslationPipeline
from pipelines.types import BULK_PRIORITY, Failure, Outcome, Segment, Translation
from tests.adapter_files import draft, unmounted, write_adapter
from tests.http_api import client_of, make_service

MAX_SHADOWS = 4
HELLO = {"text": "Hello.", "source_lang": "en", "target_lang": "hi"}


class FakeReplicas:
    """Two replicas that hold what the test says; `None` is one that does not answer."""

    def __init__(self) -> None:
        self.holding: list[set[str] | None] = [set(), set()]
        self.num_syncs = 0
        self.base_revision = "1"
        self.problems: dict[str, str] = {}

    async def sync(self) -> list[KeeperReport | None]:
        """See `Replicas`."""
        self.num_syncs += 1
        return await self.report()

    async def report(self) -> list[KeeperReport | None]:
        """See `Replicas`."""
        return [
            None
            if held is None
            else KeeperReport(f"r{number}", self.base_revision, dict.fromkeys(held, 1000), self.problems)
            for number, held in enumerate(self.holding)
        ]


class AdapterStationFake:
    """Translates by naming the adapter, as soon as it may; one adapter fails."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.priorities: set[int] = set()

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator`."""
        self.priorities |= {segment.priority for segment in segments}
        await self.may_go_on.wait()
        return [
            Failure(EngineError("it failed"))
            if segment.adapter == "medical@3"
            else Translation(f"{segment.adapter} {segment.text}")
            for segment in segments
        ]


@pytest.fixture
def registry(tmp_path: Path) -> AdapterRegistry:
    """A registry with medical@1 (live) to medical@3; while it is away it is probed at every turn."""
    registry = AdapterRegistry(str(tmp_path / "registry"), breaker=CircuitBreaker(cool_down_s=0))
    for _ in range(3):
        registry.publish("medical", write_adapter(tmp_path / "adapter"), draft())
    registry.promote("medical", 1)
    return registry


@pytest.fixture
def replicas() -> FakeReplicas:
    """Replicas that hold medical@1."""
    replicas = FakeReplicas()
    replicas.holding = [{"medical@1"}, {"medical@1"}]
    return replicas


class App:
    """The real API over a follower."""

    def __init__(self, registry: AdapterRegistry, replicas: FakeReplicas, defaults: dict[str, str]) -> None:
        self.served = ServedAdapters(defaults)
        self.follower = AdapterFollower(registry, self.served, replicas)
        self.candidates = AdapterStationFake()
        shadow_pipeline = TranslationPipeline(self.candidates, adapters=self.served)
        self.shadows = Shadows(shadow_pipeline, self.served, max_running=MAX_SHADOWS)
        pipeline = TranslationPipeline(AdapterStationFake(), adapters=self.served, observers=(self.shadows,))
        self.http = client_of(create_api(make_service(pipeline), adapters=self.follower, shadows=self.shadows))

    async def translate(self, **changes: Any) -> tuple[int, dict[str, Any]]:
        """Return status and body."""
        response = await self.http.post("/translate", json={**HELLO, "adapter": "medical", **changes})
        return response.status_code, response.json()

    async def version(self, **changes: Any) -> str | None:
        """Return the version that translated."""
        status, body = await self.translate(**changes)
        assert status == 200, body
        assert body["translation"].startswith(str(body["adapter"]))
        version: str | None = body["adapter"]
        return version


@pytest.fixture
def app(registry: AdapterRegistry, replicas: FakeReplicas) -> App:
    """An ingress that has looked once."""
    app = App(registry, replicas, {"eng_Latn-hin_Deva": "medical"})
    app.follower.start()
    return app


async def test_nobody_meets_a_cold_adapter(app: App, registry: AdapterRegistry, replicas: FakeReplicas) -> None:
    """The alias moves when the last replica holds the version, and not before; then all is quiet."""
    await app.follower.follow()
    assert await app.version() == "medical@1"
    registry.promote("medical", 2)
    replicas.holding = [{"medical@1", "medical@2"}, {"medical@1"}]
    await app.follower.follow()
    assert await app.version() == "medical@1"
    replicas.holding[1] = {"medical@1", "medical@2"}
    await app.follower.follow()
    assert await app.version() == "medical@2"
    num_syncs = replicas.num_syncs
    await app.follower.follow()
    assert replicas.num_syncs == num_syncs


async def test_a_replica_that_does_not_answer_holds_nothing(
    app: App, registry: AdapterRegistry, replicas: FakeReplicas
) -> None:
    """What is served stays, and it is asked again."""
    await app.follower.follow()
    registry.promote("medical", 2)
    replicas.holding = [{"medical@1", "medical@2"}, None]
    await app.follower.follow()
    await app.follower.follow()
    assert await app.version() == "medical@1"
    assert replicas.num_syncs == 3


async def test_requests_name_alias_version_or_nothing(app: App) -> None:
    """The answer carries the version; a default stands in for nothing, in its language pair alone."""
    await app.follower.follow()
    assert await app.version(adapter="medical@2") == "medical@2"
    assert await app.version(adapter=None) == "medical@1"
    assert await app.version(adapter=None, target_lang="es") is None


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"adapter": "legal"}, 404, "unknown_adapter"),
        ({"adapter": "medical@9"}, 404, "unknown_adapter"),
        ({"target_lang": "es"}, 400, "adapter_language"),
    ],
)
async def test_what_cannot_be_served_has_its_status(app: App, changes: dict[str, str], status: int, code: str) -> None:
    """And names the field."""
    await app.follower.follow()
    got, body = await app.translate(**changes)
    assert (got, body["error"]["code"], body["error"]["field"]) == (status, code, "adapter")


async def test_another_base_model_is_a_conflict(app: App, replicas: FakeReplicas) -> None:
    """409, once the replicas have said what they run; a default then leaves the base model."""
    replicas.base_revision = "2"
    await app.follower.follow()
    status, body = await app.translate()
    assert (status, body["error"]["code"]) == (409, "adapter_base")
    assert await app.version(adapter=None) is None


async def test_the_catalog_shows_who_holds_what(app: App, registry: AdapterRegistry, replicas: FakeReplicas) -> None:
    """Names, versions, scores, alias, replicas and problems."""
    registry.promote("medical", 2)
    registry.retire("medical", 3)
    replicas.problems = {"medical@2": "it is spoilt"}
    await app.follower.follow()
    catalog = (await app.http.get("/adapters")).json()
    (entry,) = catalog["adapters"]
    assert (entry["name"], entry["live"], entry["serving"]) == ("medical", 2, 1)
    assert [each["state"] for each in entry["versions"]] == ["published", "live", "retired"]
    assert entry["versions"][0]["replicas"] == ["r0", "r1"]
    assert entry["versions"][0]["scores"] == {"chrf": 61.5}
    assert entry["versions"][1]["problems"] == {"r0": "it is spoilt", "r1": "it is spoilt"}
    assert catalog["problems"] == []


async def test_a_registry_that_is_away_keeps_what_is_served(app: App, registry: AdapterRegistry) -> None:
    """Requests go on; catalog and metrics say what is wrong, until it is not."""
    recorder = Recorder()
    figures = AdapterMetrics(recorder)
    await app.follower.follow()
    with unmounted(registry):
        await app.follower.follow()
        figures.sample_registry(registry)
        assert await app.version() == "medical@1"
        (problem,) = (await app.http.get("/adapters")).json()["problems"]
        assert "cannot be reached" in problem
        assert recorder.gauges[metrics.CIRCUIT_STATE, ("registry",)] == 2
        assert recorder.total(metrics.RETRIES, dependency="registry") == 2
    await app.follower.follow()
    figures.sample_registry(registry)
    assert (await app.http.get("/adapters")).json()["problems"] == []
    assert recorder.gauges[metrics.CIRCUIT_STATE, ("registry",)] == 0


async def test_copies_beside_the_adapters_stop_nothing(registry: AdapterRegistry, replicas: FakeReplicas) -> None:
    """The service starts, serves, and says what an adapter could be and is damaged."""
    home = Path(registry.uri) / "adapters"
    for name in ("medical.bak", "legal"):
        shutil.copytree(home / "medical" / "1", home / name / "1")
    app = App(registry, replicas, {})
    app.follower.start()
    await app.follower.follow()
    assert await app.version() == "medical@1"
    (problem,) = (await app.http.get("/adapters")).json()["problems"]
    assert problem.startswith("legal@1: manifest.json: says that it is medical@1")


async def test_a_service_without_adapters_says_so() -> None:
    """The route is there and the registry is null."""
    async with client_of(create_api(make_service())) as http:
        assert (await http.get("/adapters")).json()["registry"] is None


async def test_a_shadow_is_compared_and_nobody_gets_it(
    app: App, registry: AdapterRegistry, replicas: FakeReplicas
) -> None:
    """The answer is the live version's; the candidate's is compared by chrF and counted."""
    registry.canary("medical", 2, 0, shadow_percent=100)
    replicas.holding = [{"medical@1", "medical@2"}] * 2
    await app.follower.follow()
    assert await app.version() == "medical@1"
    assert await app.version(adapter=None) == "medical@1"
    assert await app.version(adapter="medical@1") == "medical@1"  # who names a version casts no shadow
    await app.shadows.wait()
    (shadow,) = (await app.http.get("/adapters")).json()["shadows"]
    assert (shadow["live"], shadow["candidate"], shadow["num_compared"]) == ("medical@1", "medical@2", 2)
    assert 0 < shadow["mean_chrf"] < 100
    assert (shadow["num_identical"], shadow["num_failed"]) == (0, 0)
    assert app.candidates.priorities == {BULK_PRIORITY}  # it gives way to whoever waits


async def test_a_candidate_that_fails_is_counted_and_disturbs_nobody(
    app: App, registry: AdapterRegistry, replicas: FakeReplicas
) -> None:
    """The live version's answer was sent."""
    registry.canary("medical", 3, 0, shadow_percent=100)
    replicas.holding = [{"medical@1", "medical@3"}] * 2
    await app.follower.follow()
    assert await app.version() == "medical@1"
    await app.shadows.wait()
    (found,) = app.shadows.comparisons.values()
    assert (found.num_failed, found.num_compared) == (1, 0)


async def test_shadows_are_bounded(app: App, registry: AdapterRegistry, replicas: FakeReplicas) -> None:
    """While as many candidates translate as may, further requests go without; none of them waits."""
    registry.canary("medical", 2, 0, shadow_percent=100)
    replicas.holding = [{"medical@1", "medical@2"}] * 2
    await app.follower.follow()
    app.candidates.may_go_on.clear()
    for number in range(20):
        assert await app.version(text=f"Hello {number}.") == "medical@1"
    app.candidates.may_go_on.set()
    await app.shadows.wait()
    (found,) = app.shadows.comparisons.values()
    assert found.num_compared == MAX_SHADOWS


async def test_the_shares_are_metrics(app: App, registry: AdapterRegistry, replicas: FakeReplicas) -> None:
    """Live and canary by version; what gets nothing any more is 0, not its last share."""
    recorder = Recorder()
    shares = AdapterMetrics(recorder)
    registry.canary("medical", 2, 25)
    replicas.holding = [{"medical@1", "medical@2"}] * 2
    await app.follower.follow()
    shares.sample(app.served)
    registry.rollback("medical")
    await app.follower.follow()
    live, canary = ("medical", "1", "live"), ("medical", "2", "canary")
    assert recorder.gauges[metrics.ADAPTER_SHARE, live] == 0.75
    assert recorder.gauges[metrics.ADAPTER_SHARE, canary] == 0.25
    shares.sample(app.served)
    assert recorder.gauges[metrics.ADAPTER_SHARE, live] == 1.0
    assert recorder.gauges[metrics.ADAPTER_SHARE, canary] == 0.0
