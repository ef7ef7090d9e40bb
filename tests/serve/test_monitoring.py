"""The real service under load, scraped by a real Prometheus: every query of dashboard and alerts is answered."""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from ray.job_submission import JobSubmissionClient

from configs.loader import ROOT
from monitoring import metrics
from monitoring.dashboard import dashboard
from monitoring.exposition import OWN_PREFIX, SERVE_METRICS
from monitoring.metrics import ALL
from tests.prometheus_server import PrometheusServer, find_binary
from tests.serve.conftest import Service
from tests.serve.stand_in import LABELS

_RANGE = "15s"
"""What stands for Grafana's `$__rate_interval`, at one scrape per second."""
_RECORDED_BY_THE_SERVICE = {
    f"ray_{metric.name}".removesuffix("_total")
    for metric in ALL
    if metric not in LABELS and metric is not metrics.ADAPTER_LOADING_SECONDS
}
_SENTENCES = ("Good morning.", "Where is the station?", "The ticket costs 25 euros.", "My name is Maria.")
_TARGETS = ("es", "fr", "hi")


@pytest.fixture(scope="module")
def stand_in(service: Service) -> Iterator[None]:
    """A Ray job in the service's cluster; see `tests.serve.stand_in`."""
    jobs = JobSubmissionClient(service.dashboard_url, headers=_ray_token())
    command = f"cd {ROOT} && {sys.executable} -m tests.serve.stand_in 300"
    job = jobs.submit_job(entrypoint=command, entrypoint_num_cpus=0)
    yield
    jobs.stop_job(job)


@asynccontextmanager
async def _load(service: Service) -> AsyncIterator[None]:
    """Four clients that translate, ask again, ask for nonsense and stream, until the block ends."""

    async def client(number: int) -> None:
        async with httpx.AsyncClient(base_url=f"{service.url}/api/v1", timeout=60) as http:
            for count in itertools.count():
                text = f"{_SENTENCES[count % len(_SENTENCES)]} {_SENTENCES[number]} It costs {count} euros."
                body = {"text": text, "source_lang": "en", "target_lang": _TARGETS[number % len(_TARGETS)]}
                await http.post("/translate", json=body)
                await http.post("/batch-translate", json={"items": [body, {**body, "target_lang": "en"}, {}]})
                await http.post("/translate", json={**body, "source_lang": "tlh"})

    tasks = [asyncio.create_task(client(number)) for number in range(4)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _targets(service: Service) -> list[str]:
    """Every node's agent, as Ray's own service discovery lists them."""
    async with httpx.AsyncClient(headers=_ray_token()) as client:
        groups = (await client.get(f"{service.dashboard_url}/api/prometheus/sd")).json()
    return [target for group in groups for target in group["targets"]]


def _ray_token() -> dict[str, str]:
    return {"Authorization": f"Bearer {(Path.home() / '.ray' / 'auth_token').read_text().strip()}"}


def _panel_queries() -> list[tuple[str, str]]:
    return [
        (panel["title"], target["expr"].replace("$__rate_interval", _RANGE))
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    ]


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "monitoring" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _alert_selectors() -> list[tuple[str, str]]:
    """Each series that a rule selects, with its labels: an alert that is silent has no data of its own."""
    return [
        (rule.get("alert") or rule["record"], selector)
        for rule in _rules()
        for selector in re.findall(r"\b(?:ray_|nllb:)[\w:]+(?:{[^}]*})?", rule["expr"])
    ]


async def test_every_query_of_dashboard_and_alerts_returns_data(
    service: Service, stand_in: None, tmp_path: Path
) -> None:
    """Under load, each panel shows something; every declared metric arrives; so does all that the alerts look at."""
    find_binary("prometheus")
    async with PrometheusServer(tmp_path, await _targets(service)) as prometheus, _load(service):
        missing = [*_panel_queries(), *_alert_selectors()]
        async with asyncio.timeout(120):
            while missing:
                await asyncio.sleep(0.5)
                missing = [(title, expr) for title, expr in missing if not _has_value(await prometheus.query(expr))]
        names = await prometheus.names()
        rules = await prometheus.rules()
    assert len(rules) == len(_rules())
    exposed = {f"ray_{metric.name}" for metric in ALL}
    assert exposed <= {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}
    assert SERVE_METRICS & names
    for rule in rules:
        assert rule["health"] == "ok", rule


def _has_value(series: list[dict[str, Any]]) -> bool:
    return any(each["value"][1] != "NaN" for each in series)


async def test_the_service_shows_its_own_metrics(service: Service) -> None:
    """`GET /metrics`: strict parsers accept it, it holds what the service itself has cause to record, and is small."""
    async with _load(service), httpx.AsyncClient(timeout=30) as client, asyncio.timeout(90):
        while True:
            answer = await client.get(f"{service.url}/metrics")
            names = {family.name for family in parse_text(answer.text)}
            if names >= _RECORDED_BY_THE_SERVICE:
                break
            await asyncio.sleep(0.5)
        open_metrics = await client.get(f"{service.url}/metrics", headers={"Accept": "application/openmetrics-text"})
    assert len(answer.content) < 200_000
    assert {family.name for family in parse_openmetrics(open_metrics.text)} >= _RECORDED_BY_THE_SERVICE
    assert all(name.startswith(OWN_PREFIX) or {name, f"{name}_total"} & SERVE_METRICS for name in names)


async def test_metrics_count_what_was_asked(service: Service) -> None:
    """Ten requests are ten requests in the metrics: counters are exact over all processes."""

    async def num_counted(client: httpx.AsyncClient) -> float:
        families = parse_text((await client.get(f"{service.url}/metrics")).text)
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "ray_nllb_translation_requests_total" and sample.labels["endpoint"] == "/api/v1/languages"
        )

    async with httpx.AsyncClient(timeout=30) as client, asyncio.timeout(60):
        before = await num_counted(client)
        for _ in range(10):
            assert (await client.get(f"{service.url}/api/v1/languages")).status_code == 200
        while await num_counted(client) < before + 10:
            await asyncio.sleep(0.5)
        assert await num_counted(client) == before + 10
