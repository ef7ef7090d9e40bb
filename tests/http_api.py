"""The real HTTP API in the process of a test, over fakes."""

from __future__ import annotations

from typing import Any

import httpx
from starlette.types import ASGIApp

from configs.schema import DecodingSettings, LimitSettings
from deployments.fleet import Fleet
from deployments.service import TranslationService
from pipelines.translate import TranslationPipeline
from tests.fakes import FakeFleet, ShoutingStation


def make_service(
    pipeline: TranslationPipeline | None = None, fleet: Fleet | None = None, **parts: Any
) -> TranslationService:
    """Return a service as it is configured by default.

    Args:
        pipeline: By default one over a `ShoutingStation`.
        fleet: By default a `FakeFleet`.
        parts: Further arguments of `TranslationService`.
    """
    return TranslationService(
        pipeline or TranslationPipeline(ShoutingStation()),
        fleet or FakeFleet(),
        **{"limits": LimitSettings(), "decoding": DecodingSettings(), **parts},
    )


def client_of(api: ASGIApp, path: str = "/api/v1") -> httpx.AsyncClient:
    """Return a client of what is below a path; a fault of the API is an answer to it, not an exception."""
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=f"http://test{path}")
