"""An API behind a guard, and keys to open it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from configs.schema import AccessSettings, DecodingSettings, LimitSettings
from deployments.access.configured import configured_access
from deployments.api import create_api
from deployments.service import TranslationService
from monitoring.recorder import Recorder
from pipelines.protocols import SegmentTranslator
from pipelines.translate import TranslationPipeline
from tests.fakes import FakeFleet, ShoutingStation

GOOD = {"text": "Hello.", "source_lang": "en", "target_lang": "es"}


@pytest.fixture
def settings(tmp_path: Path) -> AccessSettings:
    """Keys are required and kept in a file of the test."""
    return AccessSettings(keys="required", sqlite_file=str(tmp_path / "keys.sqlite3"), key_lifetime_s=1e-6)


def open_api(
    settings: AccessSettings, station: SegmentTranslator | None = None, recorder: Recorder | None = None
) -> httpx.AsyncClient:
    """Return a client of the real API over a shouting station."""
    access = configured_access(settings)
    service = TranslationService(
        TranslationPipeline(station or ShoutingStation()),
        FakeFleet(),
        limits=LimitSettings(body_timeout_s=0.05),
        decoding=DecodingSettings(),
        meter=access.meter,
    )
    transport = httpx.ASGITransport(create_api(service, recorder, access), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test/api/v1")
