"""New versions and other numbers of replicas under a steady load: what is in flight is finished."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import Any

import pytest

from tests.chaos.conftest import ENGINE, LoadOn, Settled
from tests.chaos.harness import Clients, ClusterProcess, steady_load
from tests.chaos.table import record

pytestmark = pytest.mark.chaos


async def test_a_new_version_replaces_every_replica(
    cluster: ClusterProcess, load: LoadOn, config: dict[str, Any], settled: Settled
) -> None:
    """Other `args`: new ingress, cache and translator replicas are ready before the old ones leave."""
    before = await asyncio.to_thread(cluster.do, "processes")
    changed = deepcopy(config)
    changed["applications"][0]["args"]["settings"]["decoding.max_length_extra_tokens"] = 33
    async with load() as running:
        running.fault()
        await asyncio.to_thread(cluster.do, "deploy", config=changed)
        await settled()
        await running.until(30)
    after = await asyncio.to_thread(cluster.do, "processes")
    record("`serve deploy` of a new version", running.report)
    for kind in ("Ingress", "Cache", "Translator"):
        assert not {each["pid"] for each in before[kind]} & {each["pid"] for each in after[kind]}
    assert not running.report.wrong
    assert not running.report.first_try_errors


@pytest.mark.skipif(ENGINE == "identity", reason="the identity engine never has a backlog: make chaos")
async def test_scaling_by_backlog_up_down_to_zero_and_back(cluster: ClusterProcess, config: dict[str, Any]) -> None:
    """One, two under load, none when idle, one for the first request after that: every request is answered."""
    scaling = deepcopy(config)
    (translator,) = (each for each in scaling["applications"][0]["deployments"] if each["name"] == "Translator")
    del translator["num_replicas"]
    translator["autoscaling_config"] = {
        "min_replicas": 0,
        "max_replicas": 2,
        # So little that this load is too much for one.
        "policy": {
            "policy_function": "deployments.autoscaling:TokenBacklogPolicy",
            "policy_kwargs": {"target_wait_s": 0.001},
        },
        "target_ongoing_requests": 1,
        "metrics_interval_s": 0.2,
        "look_back_period_s": 1,
        "upscale_delay_s": 0.5,
        "downscale_delay_s": 2,
    }

    crowd = Clients(24, pause_s=0)

    async def until(num_translators: int) -> None:
        async with asyncio.timeout(120):
            while (await asyncio.to_thread(cluster.do, "status"))["running"]["Translator"] != num_translators:
                await asyncio.sleep(0.2)

    try:
        await asyncio.to_thread(cluster.do, "deploy", config=deepcopy(scaling))
        ports = await asyncio.to_thread(cluster.do, "ports")
        async with steady_load(ports, crowd) as running:
            await until(2)
            await running.until(30)
        await until(0)
        async with steady_load(ports, crowd) as again:
            again.fault()
            await until(2)
            await again.until(30)
        record("Scaling to two, to none, and back", running.report)
        record("The first requests after none", again.report)
        for report in (running.report, again.report):
            assert not report.first_try_errors
            assert not report.wrong
    finally:
        await asyncio.to_thread(cluster.do, "deploy", config=deepcopy(config))
