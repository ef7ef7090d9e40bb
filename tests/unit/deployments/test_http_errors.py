"""What nobody foresaw is an answer like all others, and what cannot be answered any more is broken off."""

from __future__ import annotations

import logging

import pytest
from starlette.types import Message, Receive, Scope, Send

from configs.schema import AccessSettings
from deployments.access.configured import configured_access
from deployments.api import create_api
from deployments.http_errors import UnexpectedErrorMiddleware
from deployments.request_metrics import MetricsMiddleware
from monitoring import metrics
from monitoring.recorder import Recorder
from tests.fakes import FakeFleet
from tests.http_api import client_of, make_service


class _Broken(FakeFleet):
    async def clear_cache(self) -> int:
        raise ZeroDivisionError


async def test_a_plain_500_has_what_every_answer_has(caplog: pytest.LogCaptureFixture) -> None:
    """The id, the headers for browsers, those for the page of another site; the log has the cause under the id."""
    access = configured_access(AccessSettings(cors_origins=("https://www.example.org",)))
    headers = {"Origin": "https://www.example.org", "X-Request-ID": "abc-1"}
    with caplog.at_level(logging.ERROR):
        async with client_of(create_api(make_service(fleet=_Broken()), access=access)) as client:
            response = await client.delete("/cache", headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["request_id"]) == (500, "internal", "abc-1")
    assert response.headers["x-request-id"] == "abc-1"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["access-control-allow-origin"] == "https://www.example.org"
    (record,) = caplog.records
    assert "abc-1" in record.message
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


async def test_an_answer_that_has_begun_is_broken_off() -> None:
    """Its status is sent: the server ends the connection, nothing is added, and it counts as one failure."""

    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    recorder = Recorder()
    scope: Scope = {"type": "http", "method": "GET", "path": "/", "state": {"request_id": "abc-1"}}
    with pytest.raises(ZeroDivisionError):
        await MetricsMiddleware(UnexpectedErrorMiddleware(breaks), recorder)(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert recorder.total(metrics.REQUESTS) == recorder.total(metrics.REQUESTS, status="500") == 1
    assert recorder.total(metrics.ERRORS, code="internal") == 1


async def test_a_length_that_is_no_number_breaks_nothing() -> None:
    """Servers refuse it; from one that does not, the body is read as if no length had been said."""
    async with client_of(create_api(make_service())) as client:
        for length in ("²".encode("latin-1"), b"9" * 5_000):
            headers = {b"Content-Length": length, b"Content-Type": b"application/json"}
            response = await client.post("/translate", content=b"{}", headers=headers)
            assert response.status_code == 422
