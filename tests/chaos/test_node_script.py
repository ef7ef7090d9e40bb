"""`cluster/node.sh` as the image runs it: a head and a worker, each on a machine of its own, HAProxy in front of both.

The tests follow each other: an ingress replica dies, the worker leaves, the head finishes what it has.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from tests.chaos.harness import ROOT, Clients, Load, steady_load
from tests.chaos.image import image_variables
from tests.chaos.machines import Machine, connected, require_machines
from tests.chaos.table import record

pytestmark = pytest.mark.chaos

_START_LIMIT_S = 300.0
_NUM_SENTENCES = 60
_NUM_REQUESTS = 4
_HEAD, _WORKER = 1, 2
"""Ports by which the load speaks of the two."""


@dataclass(frozen=True)
class Node:
    """A machine that runs `node.sh`, and a socket that leads to its service."""

    machine: Machine
    socket_file: Path

    def way(self) -> httpx.AsyncHTTPTransport:
        """Return what leads a client there, whatever its URLs say."""
        return httpx.AsyncHTTPTransport(uds=str(self.socket_file))


@pytest.fixture(scope="module")
def two_nodes(demo_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    """Head and worker, both of which answer."""
    require_machines()
    folder = tmp_path_factory.mktemp("nodes")
    token = folder / "token"
    token.write_text(secrets.token_hex(32), encoding="utf-8")
    variables = {
        **image_variables(),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "SERVE_CONFIG": str(_serve_config(folder / "serve_config.yaml")),
        "NLLB__MODEL__NAME": str(demo_model_path),
        "NLLB__MODEL__NUM_THREADS": "1",
        # Two cores may be busy with other tests: what is in flight is given the time that it needs.
        "NLLB__LIMITS__REQUEST_TIMEOUT_S": "240",
    }
    command = ["bash", "cluster/node.sh"]
    head = Machine(1, [*command, "head"], ROOT, variables, folder / "head.log")
    worker = Machine(2, [*command, "worker", head.address], ROOT, variables, folder / "worker.log")
    with connected(head, worker), ExitStack() as stack:
        found = (
            stack.enter_context(_reachable(head, folder / "head.socket")),
            stack.enter_context(_reachable(worker, folder / "worker.socket")),
        )
        for node in found:
            _wait_until_it_serves(node)
        yield found


def _serve_config(file: Path) -> Path:
    """Two replicas of each deployment that may have them, so that the worker gets some."""
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text(encoding="utf-8"))
    for deployment in config["applications"][0]["deployments"]:
        deployment.pop("autoscaling_config", None)
        deployment["num_replicas"] = 1 if deployment["name"] == "Cache" else 2
        deployment["ray_actor_options"] = {"num_cpus": 0.3}
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file


@contextmanager
def _reachable(machine: Machine, socket_file: Path) -> Iterator[Node]:
    command = [sys.executable, "-m", "tests.chaos.forward", str(socket_file), machine.address, "8000"]
    with subprocess.Popen(machine.inside(command), cwd=ROOT) as forward:
        try:
            while not _listens(socket_file):
                assert forward.poll() is None
                time.sleep(0.05)
            yield Node(machine, socket_file)
        finally:
            forward.kill()


def _listens(socket_file: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(socket_file)) == 0


def _wait_until_it_serves(node: Node) -> None:
    give_up_s = time.monotonic() + _START_LIMIT_S
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(node.socket_file)), timeout=60) as client:
        while True:
            assert not node.machine.has_ended, "node.sh ended by itself: see its log"
            assert time.monotonic() < give_up_s, "the node does not serve: see the log of node.sh"
            try:
                if client.get("http://node/api/v1/health/ready").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.3)


def _nothing_lost(name: str, running: Load) -> None:
    record(name, running.report)
    assert not running.report.wrong
    assert not running.report.failures
    assert not running.report.first_try_errors


def _ways(head: Node, worker: Node) -> dict[str, httpx.AsyncBaseTransport]:
    return {f"all://127.0.0.1:{_HEAD}": head.way(), f"all://127.0.0.1:{_WORKER}": worker.way()}


async def test_a_killed_ingress_replica_is_not_noticed_behind_haproxy(two_nodes: tuple[Node, Node]) -> None:
    """What it held is sent to the other replica by HAProxy itself: no client sees an error, at the first try."""
    async with steady_load([_HEAD, _WORKER], Clients(), _ways(*two_nodes)) as running:
        await running.until(60)
        running.fault()
        pids = [pid for node in two_nodes for pid in node.machine.processes("ray::ServeReplica:nllb:Ingress")]
        assert len(pids) == 2
        os.kill(pids[0], signal.SIGKILL)
        await running.until(200)
    _nothing_lost("SIGKILL of an ingress replica, HAProxy in front", running)


async def test_a_worker_leaves_with_nothing_lost(two_nodes: tuple[Node, Node]) -> None:
    """On SIGTERM its replicas move, then its proxy says that it leaves, as a load balancer hears; it ends as asked."""
    _, worker = two_nodes
    async with steady_load([_HEAD, _WORKER], Clients(), _ways(*two_nodes)) as running:
        await running.until(60)
        running.fault()
        worker.machine.terminate()
        async with asyncio.timeout(180), httpx.AsyncClient(transport=worker.way(), timeout=30) as client:
            while (await client.get("http://node/-/healthz")).status_code == 200:
                await asyncio.sleep(0.1)
        running.ports = [_HEAD]
        assert await asyncio.to_thread(worker.machine.wait, 180) == 0
        await running.until(30)
    _nothing_lost("SIGTERM of a worker's `node.sh`", running)


async def test_a_head_finishes_what_it_has(two_nodes: tuple[Node, Node]) -> None:
    """On SIGTERM every text that is being translated comes back whole, and the script ends as asked."""
    head, _ = two_nodes
    texts = [
        " ".join(f"The ticket to Rome costs {price} euros." for price in range(start, start + _NUM_SENTENCES))
        for start in range(20, 20 + _NUM_REQUESTS * _NUM_SENTENCES, _NUM_SENTENCES)
    ]
    async with httpx.AsyncClient(transport=head.way(), base_url="http://node/api/v1", timeout=240) as client:
        tasks = [
            asyncio.create_task(
                client.post("/translate", json={"text": text, "source_lang": "en", "target_lang": "es"})
            )
            for text in texts
        ]
        async with asyncio.timeout(120):
            while (await client.get("/health")).json()["batching"]["num_decoding"] < _NUM_REQUESTS:
                await asyncio.sleep(0.02)
        head.machine.terminate()
        answers = await asyncio.gather(*tasks)
    assert [answer.status_code for answer in answers] == [200] * _NUM_REQUESTS, answers
    assert all(answer.json()["translation"].count(".") == _NUM_SENTENCES for answer in answers)
    assert await asyncio.to_thread(head.machine.wait, 180) == 0
