"""The wire model: what requests and answers look like in JSON, by groups of routes.

Knows no Ray and nothing of how texts are translated.
"""

from deployments.schemas.adapters import AdapterEntry, AdaptersResponse, AdapterVersion, ShadowEntry
from deployments.schemas.catalog import LanguageEntry, LanguagesResponse, ModelEntry, ModelsResponse
from deployments.schemas.detection import DetectedLanguage, DetectRequest, DetectResponse
from deployments.schemas.errors import ErrorDetail, ErrorResponse
from deployments.schemas.glossaries import (
    GlossariesResponse,
    GlossaryBody,
    GlossaryCreate,
    GlossaryDeletedResponse,
    GlossaryResponse,
    GlossarySummary,
)
from deployments.schemas.operation import CacheClearedResponse, CacheStatsResponse, HealthResponse, StatusResponse
from deployments.schemas.translation import (
    Alternative,
    BatchItem,
    BatchTranslateRequest,
    BatchTranslateResponse,
    GlossaryOptions,
    TranslateRequest,
    TranslateResponse,
    TranslationWarning,
)
from deployments.schemas.wire import LANGUAGE, WireModel

__all__ = [
    "LANGUAGE",
    "AdapterEntry",
    "AdapterVersion",
    "AdaptersResponse",
    "Alternative",
    "BatchItem",
    "BatchTranslateRequest",
    "BatchTranslateResponse",
    "CacheClearedResponse",
    "CacheStatsResponse",
    "DetectRequest",
    "DetectResponse",
    "DetectedLanguage",
    "ErrorDetail",
    "ErrorResponse",
    "GlossariesResponse",
    "GlossaryBody",
    "GlossaryCreate",
    "GlossaryDeletedResponse",
    "GlossaryOptions",
    "GlossaryResponse",
    "GlossarySummary",
    "HealthResponse",
    "LanguageEntry",
    "LanguagesResponse",
    "ModelEntry",
    "ModelsResponse",
    "ShadowEntry",
    "StatusResponse",
    "TranslateRequest",
    "TranslateResponse",
    "TranslationWarning",
    "WireModel",
]
