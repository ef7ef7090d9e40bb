"""Every setting of the project: its name, unit, default, meaning and what it accepts.

Defaults live here and nowhere else. Replicas, CPUs and GPUs are not here: they belong to `serve_config.yaml`.
This package does not know where values come from; see `configs.loader`.
"""

from configs.schema.access import AccessSettings, Endpoint, LimitSettings
from configs.schema.adapters import AdapterSettings
from configs.schema.cache import CacheSettings, MemoryCacheSettings, NearCacheSettings, RedisCacheSettings
from configs.schema.decoding import BatchingSettings, DecodingSettings
from configs.schema.model import ModelSettings, WarmupSample, WarmupSettings
from configs.schema.observability import LoggingSettings, MetricsSettings, TracingSettings
from configs.schema.section import LanguageCode, LanguagePair, Name, PositiveBytes, Ratio, Section
from configs.schema.settings import Settings
from configs.schema.text import DetectionSettings, GlossarySettings, QualitySettings
from configs.schema.training import GateSettings, LoraSettings, TrainingSettings

__all__ = [
    "AccessSettings",
    "AdapterSettings",
    "BatchingSettings",
    "CacheSettings",
    "DecodingSettings",
    "DetectionSettings",
    "Endpoint",
    "GateSettings",
    "GlossarySettings",
    "LanguageCode",
    "LanguagePair",
    "LimitSettings",
    "LoggingSettings",
    "LoraSettings",
    "MemoryCacheSettings",
    "MetricsSettings",
    "ModelSettings",
    "Name",
    "NearCacheSettings",
    "PositiveBytes",
    "QualitySettings",
    "Ratio",
    "RedisCacheSettings",
    "Section",
    "Settings",
    "TracingSettings",
    "TrainingSettings",
    "WarmupSample",
    "WarmupSettings",
]
