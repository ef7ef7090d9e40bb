"""Processes die by SIGKILL under a steady load: who loses what, for how long, and whether answers stay right."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx
import pytest

from tests.chaos.conftest import LoadOn
from tests.chaos.harness import ClusterProcess
from tests.chaos.table import record, record_nothing_lost


@pytest.mark.parametrize("kind", ["Translator", "Cache"])
async def test_a_killed_station_loses_no_request(cluster: ClusterProcess, load: LoadOn, kind: str) -> None:
    """What it had in flight is sent again, to the other replica or around the cache."""
    async with load() as running:
        running.fault()
        await asyncio.to_thread(cluster.kill, kind)
        await running.until(60)
    record_nothing_lost(f"SIGKILL of a {kind.lower()} replica", running.report)


async def test_a_killed_ingress_replica_loses_no_request_behind_a_load_balancer(
    cluster: ClusterProcess, load: LoadOn
) -> None:
    """Whoever it was answering sees an error, at most as many as there are clients; a second try succeeds."""
    async with load() as running:
        running.fault()
        await asyncio.to_thread(cluster.kill, "Ingress")
        await running.until(60)
    report = running.report
    record("SIGKILL of an ingress replica", report)
    assert not report.wrong
    assert not report.failures
    assert len(report.first_try_errors) <= 6


@pytest.mark.chaos
async def test_killing_all_translators_delays_but_loses_no_request(cluster: ClusterProcess, load: LoadOn) -> None:
    """Both translators at once: requests wait for the next one, within their deadline."""
    async with load() as running:
        running.fault()
        for entry in (await asyncio.to_thread(cluster.do, "processes"))["Translator"]:
            os.kill(entry["pid"], signal.SIGKILL)
        await running.until(60)
    record_nothing_lost("SIGKILL of all translator replicas", running.report)


@pytest.mark.chaos
async def test_a_killed_proxy_loses_what_was_on_its_connections(cluster: ClusterProcess, load: LoadOn) -> None:
    """Its clients' connections break; through another proxy all goes on, and the proxy comes back."""
    async with load() as running:
        running.fault()
        await asyncio.to_thread(cluster.kill, "proxy", 1)
        await running.until(120)
    report = running.report
    record("SIGKILL of a proxy", report)
    assert not report.wrong
    assert not report.failures


@pytest.mark.chaos
async def test_a_killed_controller_is_not_noticed(cluster: ClusterProcess, load: LoadOn) -> None:
    """It is not on the way of any request; it comes back and finds all replicas."""
    async with load() as running:
        running.fault()
        await asyncio.to_thread(cluster.kill, "controller")
        await running.until(120)
    record_nothing_lost("SIGKILL of the controller", running.report)


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("graceful", "name"), [(False, "SIGKILL of a worker node"), (True, "SIGTERM of a worker node")]
)
async def test_a_worker_node_goes(cluster: ClusterProcess, load: LoadOn, graceful: bool, name: str) -> None:
    """Its proxy's connections and its ingress replicas go with it; all else is done elsewhere, then a node comes."""
    async with load() as running:
        running.fault()
        gone = await asyncio.to_thread(cluster.do, "remove_node", graceful=graceful)
        # A load balancer's health check takes it out; until then its clients go to the next proxy.
        await running.until(60)
        running.ports = [port for port in running.ports if port != gone["port"]]
        await asyncio.to_thread(cluster.do, "add_node")
        await running.until(60)
    report = running.report
    record(name, report)
    assert not report.wrong
    assert not report.failures


@pytest.mark.chaos
async def test_a_worker_node_that_is_drained_first_loses_no_request(cluster: ClusterProcess, load: LoadOn) -> None:
    """Its replicas move, its proxy says that it leaves, as the load balancer asks it, and only then it ends."""
    async with load() as running:
        running.fault()
        leaving = (await asyncio.to_thread(cluster.do, "ports"))[1]
        draining = asyncio.create_task(asyncio.to_thread(cluster.do, "drain_node"))
        async with asyncio.timeout(120):
            while await _says_that_it_serves(leaving):
                await asyncio.sleep(0.1)
        running.ports = [port for port in running.ports if port != leaving]
        await draining
        await asyncio.to_thread(cluster.do, "remove_node", graceful=True)
        await running.until(60)
        await asyncio.to_thread(cluster.do, "add_node")
        await running.until(30)
    record_nothing_lost("A worker node is drained, then ended", running.report)


async def _says_that_it_serves(port: int) -> bool:
    async with httpx.AsyncClient(timeout=30) as client:
        return (await client.get(f"http://127.0.0.1:{port}/-/healthz")).status_code == 200
