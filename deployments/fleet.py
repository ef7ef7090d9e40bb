"""What runs behind the ingress, as the ingress sees it: not how segments get there, but what is known of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from typing import Any, Protocol

from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.serve_status import ServeStatus
from deployments.stations import call, call_all
from deployments.translator_stats import summed
from pipelines.cache.store import total
from pipelines.errors import TranslationError
from pipelines.probe import probe_segment
from pipelines.protocols import SegmentTranslator
from pipelines.types import ModelInfo, Translation

_PROBE_TIMEOUT_S = 10.0
_CLEAR_TIMEOUT_S = 60.0  # what Redis holds is removed page by page


class Fleet(Protocol):
    """The deployments behind the ingress. A fake of it serves the whole API in a test."""

    @property
    def cache_enabled(self) -> bool:
        """Whether there is a cache deployment."""
        ...

    async def model_info(self) -> ModelInfo:
        """What the translators have loaded.

        Raises:
            UnavailableError: No translator can be reached.
        """
        ...

    async def cache_stats(self) -> dict[str, Any]:
        """What the cache holds and did; see `pipelines.cache.store.CacheStats`."""
        ...

    async def clear_cache(self) -> int:
        """Remove every entry and return how many there were."""
        ...

    async def deployments(self) -> dict[str, Any]:
        """Status and replicas of each deployment, by name."""
        ...

    async def batching(self) -> dict[str, Any]:
        """How the translator replicas batch, together and each; see `deployments.translator_stats.summed`."""
        ...

    def profile(self, seconds: float) -> AsyncIterator[bytes]:
        """Record one translator replica for so long; yields a zip archive in parts, see `pipelines.engine.profile`.

        Raises:
            UnavailableError: It is being recorded already, or no translator can be reached.
        """
        ...

    async def probe(self) -> dict[str, Any]:
        """Translate one sentence past the cache: `{"ok": bool, "latency_ms": float, "error": str | None}`."""
        ...


class RayFleet:
    """The deployments of a Ray Serve application."""

    def __init__(
        self,
        translator: SegmentTranslator,
        translator_handle: DeploymentHandle[Any],
        cache_handle: DeploymentHandle[Any] | None,
    ) -> None:
        self._translator = translator
        self._translator_handle = translator_handle
        self._cache_handle = cache_handle
        self._status = ServeStatus(serve.status)

    @property
    def cache_enabled(self) -> bool:
        """See `Fleet`."""
        return self._cache_handle is not None

    async def model_info(self) -> ModelInfo:
        """See `Fleet`."""
        info: ModelInfo = await call(self._translator_handle.info.remote())
        return info

    async def cache_stats(self) -> dict[str, Any]:
        """See `Fleet`."""
        if self._cache_handle is None:
            return {}
        stats = total(await call_all(self._cache_handle, "stats"))
        near_hits = sum(await call_all(await _own_handle(), "num_near_hits"))
        return asdict(replace(stats, hits=stats.hits + near_hits, near_hits=near_hits))

    async def clear_cache(self) -> int:
        """See `Fleet`. The near caches come last: until then they could be filled from what is still there."""
        if self._cache_handle is None:
            return 0
        num_entries: int = sum(await call_all(self._cache_handle, "clear", timeout_s=_CLEAR_TIMEOUT_S))
        await call_all(await _own_handle(), "clear_near_cache", timeout_s=_CLEAR_TIMEOUT_S)
        return num_entries

    async def deployments(self) -> dict[str, Any]:
        """See `Fleet`."""
        name = serve.get_replica_context().app_name
        status = await self._status.get()
        return {
            deployment: {"status": str(each.status.value), "replicas": dict(each.replica_states)}
            for deployment, each in status.applications[name].deployments.items()
        }

    async def num_translators(self) -> int:
        """Return how many translator replicas take calls."""
        replicas = (await self.deployments())[self._translator_handle.deployment_name]["replicas"]
        return sum(replicas.get(state, 0) for state in ("RUNNING", "UPDATING", "PENDING_MIGRATION"))

    async def batching(self) -> dict[str, Any]:
        """See `Fleet`."""
        return summed(await call_all(self._translator_handle, "stats"))

    async def profile(self, seconds: float) -> AsyncIterator[bytes]:
        """See `Fleet`."""
        # In parts: one message between replicas is 4 MiB at most where they talk by gRPC.
        parts = self._translator_handle.options(stream=True).profile.remote(seconds)
        while True:
            try:
                part = await call(anext(parts))
            except StopAsyncIteration:
                return
            yield part

    async def probe(self) -> dict[str, Any]:
        """See `Fleet`."""
        started_s = time.perf_counter()
        error: str | None = None
        try:
            segment = probe_segment((await self.model_info()).languages, _PROBE_TIMEOUT_S)
            (outcome,) = await self._translator.translate([segment])
            if not isinstance(outcome, Translation):
                error = outcome.error.message
        except TranslationError as unreachable:
            error = unreachable.message
        return {"ok": error is None, "latency_ms": (time.perf_counter() - started_s) * 1e3, "error": error}


async def _own_handle() -> DeploymentHandle[Any]:
    """All replicas of the deployment that this one belongs to."""
    name = serve.get_replica_context().deployment
    return await asyncio.to_thread(serve.get_deployment_handle, name)  # the first time, it blocks on the controller
