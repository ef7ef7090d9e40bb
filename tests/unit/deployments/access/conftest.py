"""An API behind a guard, and keys to open it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from configs.schema import AccessSettings, LimitSettings
from deployments.access.configured import configured_access
from deployments.api import create_api
from monitoring.recorder import Recorder
from pipelines.protocols import SegmentTranslator
from pipelines.translate import TranslationPipeline
from tests.fakes import ShoutingStation
from tests.http_api import client_of, make_service

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
    pipeline = TranslationPipeline(station or ShoutingStation())
    service = make_service(pipeline, limits=LimitSettings(body_timeout_s=0.05), meter=access.meter)
    return client_of(create_api(service, recorder, access))
