"""Past the deadline, or with too many requests under way, a text alone and a batch are refused alike."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from configs.schema import LimitSettings
from deployments.api import create_api
from pipelines.protocols import SegmentTranslator
from pipelines.translate import TranslationPipeline
from pipelines.types import Outcome, Segment
from tests.fakes import ShoutingStation
from tests.http_api import client_of, make_service

GOOD = {"text": "Hello.", "source_lang": "en", "target_lang": "es"}


def _client(station: SegmentTranslator, limits: LimitSettings) -> httpx.AsyncClient:
    return client_of(create_api(make_service(TranslationPipeline(station), limits=limits)))


class _SlowStation:
    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        await asyncio.Event().wait()
        raise AssertionError


class _HeldStation(ShoutingStation):
    """Translates once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived, self.released = asyncio.Event(), asyncio.Event()

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        self.arrived.set()
        await self.released.wait()
        return await super().translate(segments)


_ways_to_translate = pytest.mark.parametrize(
    ("path", "body"), [("/translate", GOOD), ("/batch-translate", {"items": [GOOD]})]
)


@_ways_to_translate
async def test_a_passed_deadline_is_504(path: str, body: dict[str, Any]) -> None:
    """Whoever waits longer than the limit is told so."""
    async with _client(_SlowStation(), limits=LimitSettings(request_timeout_s=0.01)) as client:
        response = await asyncio.wait_for(client.post(path, json=body), 10)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")


@_ways_to_translate
async def test_overload_is_refused_at_once(path: str, body: dict[str, Any]) -> None:
    """Over the limit of requests: 503 with Retry-After; the others are not disturbed."""
    station = _HeldStation()
    async with _client(station, limits=LimitSettings(max_ongoing_requests=1)) as client:
        first = asyncio.create_task(client.post(path, json=body))
        await station.arrived.wait()
        refused = await asyncio.wait_for(client.post(path, json=body), 10)
        station.released.set()
        assert (await first).status_code == 200
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["error"]["code"] == "overloaded"
