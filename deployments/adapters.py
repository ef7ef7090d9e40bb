"""Adapters across the deployments: replicas that keep them, and an ingress that follows the registry.

The ingress looks at the registry, lets all replicas load what is new (a broadcast), and lets an alias move once every
replica has it. What that means is in `pipelines.adapters`; here is who calls whom, and when.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from ray.exceptions import RayActorError
from ray.serve.exceptions import DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from deployments.circuits import record_circuit
from monitoring import metrics
from monitoring.recorder import Recorder
from pipelines.adapters import AdapterRegistry
from pipelines.adapters.report import KeeperReport
from pipelines.adapters.served import ServedAdapters, Traffic
from pipelines.adapters.view import read_view
from pipelines.errors import UnavailableError

_LOGGER = logging.getLogger(__name__)
_SYNC_TIMEOUT_S = 60.0


class Replicas(Protocol):
    """All translators at once. A fake of it tests the ingress' side."""

    async def sync(self) -> list[KeeperReport | None]:
        """Let each look at the registry and load what is new, and return what each holds; None: it did not say."""
        ...

    async def report(self) -> list[KeeperReport | None]:
        """Return what each holds now."""
        ...


class BroadcastReplicas:
    """The replicas of the translator deployment.

    Args:
        translator: Its handle.
    """

    def __init__(self, translator: DeploymentHandle[Any]) -> None:
        self._translator = translator

    async def sync(self) -> list[KeeperReport | None]:
        """See `Replicas`."""
        return await self._ask("sync_adapters")

    async def report(self) -> list[KeeperReport | None]:
        """See `Replicas`."""
        return await self._ask("report_adapters")

    async def _ask(self, method: str) -> list[KeeperReport | None]:
        try:
            response = self._translator.broadcast(method)
            found = await response.results_async(timeout_s=_SYNC_TIMEOUT_S, return_exceptions=True)
        except (DeploymentUnavailableError, TimeoutError):
            return [None]
        # A replica that died holds nothing back: Serve starts another, which loads what is live before it serves.
        alive = [each for each in found if not isinstance(each, RayActorError)]
        return [each if isinstance(each, KeeperReport) else None for each in alive]


class AdapterFollower:
    """Keeps what an ingress serves in step with the registry and the replicas.

    Args:
        registry: What is to be served.
        served: The catalog of this ingress.
        replicas: What holds the adapters.
    """

    def __init__(self, registry: AdapterRegistry, served: ServedAdapters, replicas: Replicas) -> None:
        self.registry = registry
        self.served = served
        self._replicas = replicas
        self.problem: str | None = None
        self._knows_replicas = False

    def start(self) -> None:
        """Look at the registry once, before requests come. Blocks. One that cannot be read is tried again later."""
        try:
            self.served.update(read_view(self.registry), frozenset(), None)
        except UnavailableError as error:
            self._note_problem(error.message)

    async def follow(self) -> None:
        """Look once; if anything is to change, let the replicas load it, then let it change."""
        try:
            view = await asyncio.to_thread(read_view, self.registry)
        except UnavailableError as error:
            self._note_problem(error.message)
            return
        self.problem = None
        if view == self.served.view and self.served.settled and self._knows_replicas:
            return
        reports = await self._replicas.sync()
        self._knows_replicas = bool(reports) and None not in reports
        self.served.update(view, _held_by_all(reports), next((each.base_revision for each in reports if each), None))

    async def reports(self) -> list[KeeperReport]:
        """Return what the replicas hold now, those that answer."""
        return [each for each in await self._replicas.report() if each is not None]

    def _note_problem(self, problem: str) -> None:
        if self.problem is None:
            _LOGGER.warning("adapters stay as they are: %s", problem)
        self.problem = problem


class AdapterMetrics:
    """A `KeeperObserver` that records, the shares of traffic, and how the registry does.

    Args:
        recorder: Of this process.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._shares: set[tuple[str, str, str]] = set()

    def adapter_loaded(self, version: str, duration_s: float) -> None:
        """See `KeeperObserver`."""
        self._recorder.count(metrics.ADAPTER_LOADS, result="loaded")
        self._recorder.observe(metrics.ADAPTER_LOAD_SECONDS, duration_s)

    def adapter_failed(self, version: str) -> None:
        """See `KeeperObserver`."""
        self._recorder.count(metrics.ADAPTER_LOADS, result="failed")

    def sample_registry(self, registry: AdapterRegistry) -> None:
        """Record whether the registry is left alone, and how often it was asked again."""
        record_circuit(self._recorder, "registry", registry.breaker)
        self._recorder.count_to(metrics.RETRIES, registry.num_retries, dependency="registry")

    def sample(self, served: ServedAdapters) -> None:
        """Record which version of each adapter gets which share of the requests; 0 for what gets none any more."""
        shares = {
            (name, str(version), role): share
            for name, traffic in served.traffic.items()
            for role, version, share in _shares(traffic)
        }
        for adapter, version, role in self._shares | set(shares):
            share = shares.get((adapter, version, role), 0.0)
            self._recorder.set(metrics.ADAPTER_SHARE, share, adapter=adapter, version=version, role=role)
        self._shares = set(shares)


def _shares(traffic: Traffic) -> list[tuple[str, int, float]]:
    canary_share = traffic.canary_percent / 100
    found = []
    if traffic.live is not None:
        found.append(("live", traffic.live, 1.0 - canary_share))
    if traffic.canary is not None:
        found.append(("canary", traffic.canary, canary_share))
    return found


def _held_by_all(reports: list[KeeperReport | None]) -> frozenset[str]:
    if not reports:
        return frozenset()
    held = [frozenset() if each is None else frozenset(each.held) for each in reports]
    return frozenset.intersection(*held)
