"""One real service for all end-to-end tests: as `make serve` starts it, on the demo model, over a real Redis."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.local_service import local_service
from tests.otlp_collector import OtlpCollector
from tests.ports import free_port
from tests.redis_server import RedisServer


@dataclass(frozen=True)
class Service:
    """A running application.

    Attributes:
        url: Of the HTTP API.
        dashboard_url: Of Ray, where `serve deploy` goes.
        port: Of the HTTP API.
        redis: Behind its cache.
        collector: Gets its spans.
        registry: Folder of its adapters.
    """

    url: str
    dashboard_url: str
    port: int
    redis: RedisServer
    collector: OtlpCollector
    registry: Path


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, demo_model_path: Path) -> Iterator[Service]:
    """The application of `serve_config.yaml` on single-node Ray; stopped as a user stops it."""
    collector = OtlpCollector()
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    redis.start()
    port = free_port()
    registry = tmp_path_factory.mktemp("registry")
    variables = {
        "NLLB__ADAPTERS__REGISTRY": str(registry),
        "NLLB__ADAPTERS__COPIES_DIR": str(tmp_path_factory.mktemp("copies")),
        "NLLB__ADAPTERS__WATCH_INTERVAL_S": "0.5",
        "PORT": str(port),
        "NLLB__CACHE__TYPE": "redis",
        "NLLB__CACHE__REDIS__PORT": str(redis.port),
        # Two busy cores: what is asked here is whether Redis answers, not how fast.
        "NLLB__CACHE__REDIS__OPERATION_TIMEOUT_MS": "5000",
        "PYTHONUNBUFFERED": "1",
        # Tests of metrics should not wait for the tens of seconds that a person does not mind.
        "RAY_metrics_report_interval_ms": "1000",
        "NLLB__METRICS__REPORT_INTERVAL_S": "0.5",
        "NLLB__METRICS__SCRAPE_CACHE_S": "0.3",
        "NLLB__LOGGING__FORMAT": "json",
        "NLLB__TRACING__ENDPOINT": collector.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    with local_service(variables, tmp_path_factory.mktemp("service") / "serve.log") as (_, said):
        dashboard = re.search(r"Ray dashboard: (\S+)", said)
        assert dashboard is not None, said
        yield Service(f"http://127.0.0.1:{port}", dashboard.group(1), port, redis, collector, registry)
    redis.kill()
    collector.close()


@pytest.fixture(scope="session")
def service_url(service: Service) -> str:
    """The running service's address."""
    return service.url
