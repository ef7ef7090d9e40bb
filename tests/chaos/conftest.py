"""One cluster of three nodes for the tests of a file: two replicas of each deployment on two workers.

It is gone before the next file's tests: where a Ray is running, `make serve` refuses to start another.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chaos.harness import ROOT, Clients, ClusterProcess, Load, cluster_process, steady_load
from tests.redis_server import RedisServer

ENGINE = os.environ.get("CHAOS_ENGINE", "identity")
"""`inflight` runs the demo model (`make chaos`); `identity` is enough to see requests live or die."""


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """What a file of tests sets beside what all of them do."""
    return {}


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    """Environment of the cluster's processes, beside this one's."""
    return {}


@pytest.fixture(scope="module")
def nodes() -> list[dict[str, str]]:
    """Environment of each worker's processes, beside the cluster's."""
    return [{}, {}]


@pytest.fixture(scope="module")
def clients() -> Clients:
    """Who makes the load."""
    return Clients()


@pytest.fixture(scope="module")
def config(redis_server: RedisServer, settings: dict[str, Any]) -> dict[str, Any]:
    """`serve_config.yaml` with two replicas of each deployment, small enough for one machine."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text(encoding="utf-8"))
    (application,) = loaded["applications"]
    application["args"] = {
        "settings": {
            "model.engine": ENGINE,
            "model.num_threads": 1,
            "cache.type": "redis",
            "cache.redis.port": redis_server.port,
            # Entries that are gone before they are read: the load is to reach the translators.
            "cache.redis.ttl_seconds": 1,
            **settings,
        }
    }
    for deployment in application["deployments"]:
        deployment.pop("autoscaling_config", None)
        deployment["num_replicas"] = 2
        deployment["ray_actor_options"] = {"num_cpus": 0.3}
        deployment["health_check_period_s"] = 2
        deployment["health_check_timeout_s"] = 10
    return loaded


@pytest.fixture(scope="module")
def cluster(
    config: dict[str, Any],
    variables: dict[str, str],
    nodes: list[dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
    demo_model_path: Path,
) -> Iterator[ClusterProcess]:
    """The running cluster."""
    with cluster_process(tmp_path_factory.mktemp("cluster"), variables) as process:
        process.do("start", config=deepcopy(config), nodes=nodes)
        yield process


def _listening(cluster: ClusterProcess) -> list[int]:
    """The proxies that are there: Serve has one on the head and on each node with a replica."""
    return [port for port in cluster.do("ports") if _listens(port)]


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


Settled = Callable[[], Awaitable[None]]


@pytest.fixture
def settled(cluster: ClusterProcess, config: dict[str, Any]) -> Settled:
    """Wait until every deployment has its replicas again, and there are two proxies to choose from."""
    wanted = {each["name"]: each["num_replicas"] for each in config["applications"][0]["deployments"]}

    async def wait() -> None:
        async with asyncio.timeout(300):
            while True:
                status = await asyncio.to_thread(cluster.do, "status")
                whole = status["status"] == "RUNNING" and status["healthy"] and status["running"] == wanted
                if whole and len(await asyncio.to_thread(_listening, cluster)) >= 2:
                    return
                await asyncio.sleep(0.2)

    return wait


LoadOn = Callable[[], AbstractAsyncContextManager[Load]]


@pytest.fixture
def load(cluster: ClusterProcess, settled: Settled, clients: Clients) -> LoadOn:
    """A steady load on a settled cluster."""

    @asynccontextmanager
    async def open_load() -> AsyncIterator[Load]:
        await settled()
        async with steady_load(await asyncio.to_thread(_listening, cluster), clients) as running:
            await running.until(30)
            yield running
            await settled()
            await running.until(30)

    return open_load
