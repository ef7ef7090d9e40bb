"""The translator deployment: one engine per replica, fed with batches that `@serve.batch` forms by padded tokens."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from typing import Any

from pydantic import NonNegativeFloat, PositiveInt
from ray import serve

from configs.schema import AdapterSettings, Section, Settings
from deployments.adapters import AdapterMetrics
from deployments.autoscaling import BACKLOG_TOKENS, TOKENS_PER_S
from deployments.engine_metrics import EngineMetrics
from deployments.portions import Portion, share_of_budget
from deployments.profiling import Profiler
from deployments.telemetry import Telemetry
from deployments.translator_stats import TranslatorStats
from deployments.watch import Watch
from pipelines.adapters.configured import copies_folder, open_registry
from pipelines.adapters.keeper import AdapterKeeper
from pipelines.adapters.report import KeeperReport
from pipelines.adapters.station import AdapterStation
from pipelines.engine.configured import load_configured_engine, warm_up_configured
from pipelines.probe import check_stepping, check_translating, probe_segment
from pipelines.protocols import EncodedSegment, Engine, SegmentTranslator
from pipelines.station import EngineStation
from pipelines.types import ModelInfo, Outcome, Segment

_LOGGER = logging.getLogger(__name__)
_PROBE_TIMEOUT_S = 20.0
_PART_BYTES = 2**20
# Without a warm-up nothing was measured: 32 rows of two dozen words.
_UNMEASURED_BUDGET_TOKENS = 1024
# Of the warm-up's speed, until the own is known: under load the rest of the service takes a part of two cores.
_SHARE_UNDER_LOAD = 0.8


class TranslatorUserConfig(Section):
    """What `user_config` of `serve_config.yaml` may change without a restart; see `configs.schema.BatchingSettings`."""

    padded_token_budget: PositiveInt | None = None
    wait_timeout_s: NonNegativeFloat | None = None


@serve.deployment(name="Translator")
class TranslatorDeployment:
    """Holds the model. A replica takes traffic only after its warm-up has translated.

    Args:
        settings: The whole configuration.
        model_revision: What the cache's keys were made for; another checkpoint on this node fails the start.

    Raises:
        StartupError: The model cannot be loaded, or the warm-up failed.
    """

    def __init__(self, settings: Settings, model_revision: str) -> None:
        self._settings = settings
        self._telemetry = Telemetry(settings, "translator")
        started_s = time.perf_counter()
        self._engine = load_configured_engine(settings, expected_revision=model_revision)
        loaded_s = time.perf_counter()
        self._warmup = warm_up_configured(self._engine, settings)
        self._metrics = EngineMetrics(self._telemetry, self._engine)
        self._metrics.started(load_s=loaded_s - started_s, warmup_s=time.perf_counter() - loaded_s)
        _LOGGER.info("warm-up done", extra={"warmup": self._warmup_report()})
        tokens_per_s = None if self._warmup is None else self._warmup.tokens_per_s * _SHARE_UNDER_LOAD
        self._model_revision = model_revision
        self._station = EngineStation(
            self._engine,
            self._admit,
            self._metrics,
            tokens_per_s=tokens_per_s,
            name=_replica_id(),
            model_revision=model_revision,
        )
        self._adapter_metrics = AdapterMetrics(self._telemetry.recorder)
        self._keeper = _start_keeper(self._engine, settings.adapters, self._adapter_metrics)
        self._entrance: SegmentTranslator = (
            self._station if self._keeper is None else AdapterStation(self._station, self._keeper)
        )
        self._set_batching(None, None)
        self._num_batches = 0
        self._num_rows = 0
        self._profiler = Profiler(_record)
        self._telemetry.start(self._sample)

    async def translate(self, segments: list[Segment], traceparent: str | None = None) -> list[Outcome]:
        """See `SegmentTranslator.translate`; `traceparent` is the caller's place in the request's trace."""
        return await self._telemetry.call(segments, traceparent, self._entrance.translate)

    async def sync_adapters(self) -> KeeperReport | None:
        """Look at the registry now, load what is new, and return what this replica holds; None: it has no adapters."""
        return None if self._keeper is None else await self._keeper.sync()

    async def report_adapters(self) -> KeeperReport | None:
        """Return what this replica holds now."""
        return None if self._keeper is None else self._keeper.report()

    async def info(self) -> ModelInfo:
        """Return what is loaded."""
        return replace(self._engine.info, model_revision=self._model_revision)

    async def stats(self) -> TranslatorStats:
        """Return what this replica does and did."""
        backlog = self._station.backlog
        return TranslatorStats(
            replica=_replica_id(),
            num_batches=self._num_batches,
            num_rows=self._num_rows,
            num_waiting=self._station.num_waiting,
            num_decoding=self._engine.stats().num_rows,
            num_refused=backlog.num_refused,
            backlog_tokens=backlog.tokens,
            tokens_per_s=backlog.tokens_per_s or 0.0,
            padded_token_budget=self._budget,
            warmup=self._warmup_report(),
        )

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Serve's hook: what `TokenBacklogPolicy` decides by."""
        backlog = self._station.backlog
        return {BACKLOG_TOKENS: backlog.tokens, TOKENS_PER_S: backlog.tokens_per_s or 0.0}

    async def profile(self, seconds: float) -> AsyncIterator[bytes]:
        """Record this replica at its work for so long, and yield a zip archive in parts.

        Raises:
            UnavailableError: A recording is under way.
        """
        archive = await self._profiler.archive(seconds)
        for start in range(0, len(archive), _PART_BYTES):
            yield archive[start : start + _PART_BYTES]

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Apply `user_config` (`TranslatorUserConfig`); what it leaves out is as configured at the start.

        Raises:
            ValidationError: A key is unknown or a value is not accepted.
        """
        wanted = TranslatorUserConfig.model_validate(user_config)
        self._set_batching(wanted.padded_token_budget, wanted.wait_timeout_s)

    async def check_health(self) -> None:
        """Translate something: a replica whose engine does nothing any more is replaced.

        Raises:
            UnavailableError: See `check_stepping` and `check_translating`.
        """
        check_stepping(self._engine.stats())
        probe = probe_segment(self._engine.info.languages, _PROBE_TIMEOUT_S)
        await check_translating(self, probe, lambda: self._station.progress)

    async def _admit(self, row: EncodedSegment) -> Future[Outcome]:
        # `@serve.batch` waits forever for a batch that can hold a row over its budget, so such a row goes alone.
        if row.num_tokens > self._budget:
            return self._submit([row])[0]
        portion = Portion(row, self._budget, due_s=time.monotonic() + self._wait_timeout_s)
        return await portion.admitted(self._admit_batch(portion))

    @serve.batch(max_batch_size=1, batch_wait_timeout_s=0.0, max_concurrent_batches=1, batch_size_fn=share_of_budget)
    async def _admit_batch(self, portions: list[Portion]) -> list[Future[Outcome]]:
        outcomes = self._submit([portion.row for portion in portions])
        for portion, outcome in zip(portions, outcomes, strict=True):
            portion.outcome = outcome
        return outcomes

    def _submit(self, rows: Sequence[EncodedSegment]) -> list[Future[Outcome]]:
        self._num_batches += 1
        self._num_rows += len(rows)
        self._metrics.submitted(rows)
        return self._engine.submit(rows)

    async def _sample(self) -> None:
        await asyncio.to_thread(self._metrics.sample, self._station.num_waiting)
        if self._keeper is not None:
            self._adapter_metrics.sample_registry(self._keeper.registry)

    def _warmup_report(self) -> dict[str, Any] | None:
        return None if self._warmup is None else asdict(self._warmup)

    def _set_batching(self, padded_token_budget: int | None, wait_timeout_s: float | None) -> None:
        measured = self._warmup.padded_token_budget if self._warmup is not None else _UNMEASURED_BUDGET_TOKENS
        self._budget = padded_token_budget or self._settings.batching.padded_token_budget or measured
        self._wait_timeout_s = self._settings.batching.wait_timeout_s if wait_timeout_s is None else wait_timeout_s
        batch: Any = self._admit_batch  # the decorator's annotations do not show its setters
        batch.set_batch_wait_timeout_s(self._wait_timeout_s)


def _start_keeper(engine: Engine, settings: AdapterSettings, observer: AdapterMetrics) -> AdapterKeeper | None:
    """Load what is live, then follow the registry."""
    registry = open_registry(settings)
    if registry is None:
        return None
    keeper = AdapterKeeper(
        engine,
        registry,
        copies_folder(settings),
        max_bytes=int(settings.max_resident_bytes),
        pinned=settings.pinned,
        replica=_replica_id(),
        observer=observer,
    )
    keeper.start()
    Watch(keeper.sync, settings.watch_interval_s).start()
    return keeper


def _record(seconds: float) -> bytes:
    # It brings torch, which a replica has and `deployments.app` must not load.
    from pipelines.engine.profile import record

    return record(seconds).zipped()


def _replica_id() -> str:
    return str(serve.get_replica_context().replica_id.unique_id)
