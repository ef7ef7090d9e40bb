"""The ingress deployment: the HTTP API on one side, handles of the other deployments on the other. Loads no torch."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from configs.loader import ROOT
from configs.schema import LimitSettings, Settings
from deployments.access.configured import configured_access
from deployments.adapters import AdapterFollower, AdapterMetrics, BroadcastReplicas
from deployments.api import create_api
from deployments.cache import build_near_cache, detached_context, record_cache
from deployments.circuits import record_circuit
from deployments.cluster_metrics import ClusterMetrics
from deployments.fleet import RayFleet
from deployments.glossaries import configured_glossaries
from deployments.request_log import TextLog
from deployments.request_metrics import MeasuredStation, RequestMetrics
from deployments.service import TranslationService
from deployments.shedding import AcceptQueue
from deployments.stations import FallbackStation, HandleStation
from deployments.telemetry import Telemetry
from deployments.watch import Watch
from pipelines.adapters import LoadedAdapters
from pipelines.adapters.configured import open_registry
from pipelines.adapters.served import ServedAdapters
from pipelines.adapters.shadow import Shadows
from pipelines.cache.near import NearCache
from pipelines.protocols import SegmentTranslator
from pipelines.refusals import Refusals
from pipelines.text.detect import LanguageDetector
from pipelines.translate import PipelineObserver, TranslationPipeline


@serve.deployment(name="Ingress")
@serve.ingress()
class IngressDeployment:
    """Validates, limits and answers; sends each request's segments down in one call.

    Args:
        settings: The whole configuration.
        model_revision: Names everything of the base model that decides its output (see `ReadThroughCache`).
        translator: Handle of the translator deployment.
        cache: Handle of the cache deployment, or None.
    """

    def __init__(
        self,
        settings: Settings,
        model_revision: str,
        translator: DeploymentHandle[Any],
        cache: DeploymentHandle[Any] | None,
    ) -> None:
        self._settings = settings
        self._telemetry = Telemetry(settings, "ingress")
        recorder = self._telemetry.recorder
        direct = HandleStation(translator, "translator", recorder)
        station: SegmentTranslator = direct
        self._near: NearCache | None = None
        if cache is not None:
            station = FallbackStation(HandleStation(cache, "cache", recorder, max_attempts=2), direct)
        fleet = RayFleet(direct, translator, cache)
        station = Refusals(station, fleet.num_translators)
        if cache is not None and settings.cache.near.enabled:
            station = self._near = build_near_cache(settings.cache.near, station, model_revision)
        detector = LanguageDetector(min_confidence=settings.detection.min_confidence)
        detector.load()
        measured = MeasuredStation(station, recorder)
        served = ServedAdapters(settings.model.default_adapters)
        self._adapters = _follow_adapters(settings, served, translator)

        def pipeline_of(*observers: PipelineObserver) -> TranslationPipeline:
            return TranslationPipeline(
                measured,
                max_text_chars=settings.limits.max_text_chars,
                max_segment_chars=settings.limits.max_segment_chars,
                adapters=LoadedAdapters() if self._adapters is None else served,
                detector=detector,
                observers=observers,
                on_stage=lambda stage, duration_s: self._telemetry.tracing.stage(f"pipeline.{stage}", duration_s),
            )

        self._shadows = Shadows(
            pipeline_of(), served, max_running=settings.adapters.max_shadows, context=detached_context
        )
        pipeline = pipeline_of(RequestMetrics(recorder, settings.metrics), TextLog(self._telemetry), self._shadows)
        self._access = configured_access(settings.access, slot_lease_s=settings.limits.request_timeout_s)
        self._service = TranslationService(
            pipeline,
            fleet,
            limits=settings.limits,
            decoding=settings.decoding,
            meter=self._access.meter,
            quality=settings.quality,
            detector=detector,
            glossaries=configured_glossaries(settings.glossaries, ROOT),
            model_revision=model_revision,
        )
        self._adapter_metrics = AdapterMetrics(recorder)
        self._telemetry.start(self._sample)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Serve's hook: the application, made in the replica because it needs the handles."""
        return create_api(
            self._service,
            self._telemetry.recorder,
            self._access,
            telemetry=self._telemetry,
            adapters=self._adapters,
            shadows=self._shadows,
            metrics_page=ClusterMetrics(cache_s=self._settings.metrics.scrape_cache_s),
            metrics_token=self._settings.metrics.token,
            accept_queue=AcceptQueue(),
        )

    async def num_ongoing(self) -> int:
        """Return how many translations this replica works on; see `deployments.drain`."""
        return self._service.num_ongoing

    async def num_near_hits(self) -> int:
        """Return how many segments this replica's near cache has answered."""
        return 0 if self._near is None else (await self._near.stats()).hits

    async def clear_near_cache(self) -> None:
        """Empty this replica's near cache, if it has one."""
        if self._near is not None:
            await self._near.clear()

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Apply `user_config` of `serve_config.yaml`: any of `configs.schema.LimitSettings`, without a restart.

        Raises:
            ValidationError: A key is unknown or a value is not accepted.
        """
        limits = self._settings.limits.model_dump() | user_config
        self._service.limits = LimitSettings.model_validate(limits)

    async def _sample(self) -> None:
        if self._near is not None:
            record_cache(self._telemetry.recorder, await self._near.stats())
        if self._adapters is not None:
            self._adapter_metrics.sample(self._adapters.served)
            self._adapter_metrics.sample_registry(self._adapters.registry)
        if self._access.breaker is not None:
            record_circuit(self._telemetry.recorder, "access_redis", self._access.breaker)


def _follow_adapters(
    settings: Settings, served: ServedAdapters, translator: DeploymentHandle[Any]
) -> AdapterFollower | None:
    registry = open_registry(settings.adapters)
    if registry is None:
        return None
    follower = AdapterFollower(registry, served, BroadcastReplicas(translator))
    follower.start()
    Watch(follower.follow, settings.adapters.watch_interval_s).start()
    return follower
