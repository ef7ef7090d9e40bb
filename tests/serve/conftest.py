"""One real service for all end-to-end tests: as `make serve` starts it, on the demo model, over a real Redis."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.otlp_collector import OtlpCollector
from tests.ports import free_port
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
_READY = "Ctrl-C stops everything"


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
    process = subprocess.Popen(
        [sys.executable, "-m", "deployments.local"],
        cwd=ROOT,
        env=os.environ | variables,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    said = ""
    while _READY not in said:
        line = process.stderr.readline()
        assert line, f"the service ended before it was ready:\n{said}"
        said += line
    drain = threading.Thread(target=process.stderr.read, daemon=True)
    drain.start()
    dashboard = re.search(r"Ray dashboard: (\S+)", said)
    assert dashboard is not None, said
    yield Service(f"http://127.0.0.1:{port}", dashboard.group(1), port, redis, collector, registry)
    os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches all processes of a terminal
    process.wait(timeout=60)
    drain.join(timeout=10)
    process.stderr.close()
    redis.kill()
    collector.close()
    assert process.returncode == 0


@pytest.fixture(scope="session")
def service_url(service: Service) -> str:
    """The running service's address."""
    return service.url
