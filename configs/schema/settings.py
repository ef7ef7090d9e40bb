"""The whole configuration, and what its sections ask of each other."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from configs.schema.access import AccessSettings, LimitSettings
from configs.schema.adapters import AdapterSettings
from configs.schema.cache import CacheSettings
from configs.schema.decoding import BatchingSettings, DecodingSettings
from configs.schema.model import ModelSettings, WarmupSettings
from configs.schema.observability import LoggingSettings, MetricsSettings, TracingSettings
from configs.schema.section import Section
from configs.schema.text import DetectionSettings, GlossarySettings, QualitySettings
from configs.schema.training import TrainingSettings


class Settings(Section):
    """The whole configuration."""

    model: ModelSettings = ModelSettings()
    cache: CacheSettings = CacheSettings()
    adapters: AdapterSettings = AdapterSettings()
    batching: BatchingSettings = BatchingSettings()
    decoding: DecodingSettings = DecodingSettings()
    limits: LimitSettings = LimitSettings()
    access: AccessSettings = AccessSettings()
    quality: QualitySettings = QualitySettings()
    detection: DetectionSettings = DetectionSettings()
    glossaries: GlossarySettings = GlossarySettings()
    warmup: WarmupSettings = WarmupSettings()
    training: TrainingSettings = TrainingSettings()
    logging: LoggingSettings = LoggingSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()

    @model_validator(mode="after")
    def _widest_beam_fits_a_batch(self) -> Self:
        widest, rows = self.decoding.max_num_beams, self.batching.max_rows
        if widest > rows:
            raise ValueError(
                f"decoding.max_num_beams = {widest} should be at most batching.max_rows = {rows}: "
                "a beam takes one row for each of its hypotheses"
            )
        return self

    @model_validator(mode="after")
    def _second_try_is_no_wider_than_allowed(self) -> Self:
        wanted, widest = self.quality.second_try_num_beams, self.decoding.max_num_beams
        if self.quality.second_try and wanted > widest:
            raise ValueError(
                f"quality.second_try_num_beams = {wanted} should be at most decoding.max_num_beams = {widest}"
            )
        return self
