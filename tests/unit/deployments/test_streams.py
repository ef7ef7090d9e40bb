"""Streams of `/translate/stream` as servers run them: deadlines, faults and clients that leave, in whatever task."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import Message

from configs.schema import LimitSettings
from deployments.access.callers import Caller, current_caller
from deployments.access.keys import make_key
from deployments.access.meter import Meter
from deployments.access.store import SqliteKeyStore, Usage
from deployments.api import create_api
from deployments.schemas import TranslateRequest
from deployments.service import TranslationService
from monitoring import metrics
from monitoring.recorder import Recorder
from pipelines.errors import DeadlineExceededError, EngineError
from pipelines.translate import TranslationPipeline
from pipelines.types import Outcome, Segment
from tests.fakes import ShoutingStation
from tests.http_api import make_service

_PATH = "/api/v1/translate/stream"
# Starlette iterates a body in a task of its own where a server announces less than 2.4, and in the request's otherwise.
both_ways = pytest.mark.parametrize("spec_version", ["2.3", "2.4"])


class _Station(ShoutingStation):
    """Never answers `Stall`, and has a bug that shows with `Bug`."""

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        if any("Stall" in segment.text for segment in segments):
            await asyncio.Event().wait()
        if any("Bug" in segment.text for segment in segments):
            raise RuntimeError("what is inside")
        return await super().translate(segments)


def _service(**limits: Any) -> TranslationService:
    return make_service(TranslationPipeline(_Station()), limits=LimitSettings(**limits))


def _body(text: str) -> dict[str, str]:
    return {"text": text, "source_lang": "en", "target_lang": "es"}


def _events(body: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block.split("\n", 1) for block in body.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


class _Client:
    """A client as an ASGI server sees it. It may stop listening after so many messages, and then leave.

    Where the server announces 2.4 it learns so from an error of `send`, before that from a message.
    """

    def __init__(self, spec_version: str, num_read: int | None = None) -> None:
        self.messages: list[Message] = []
        self._spec_version = spec_version
        self._num_read = num_read
        self._left = asyncio.Event()
        self._body: bytes | None = None

    async def ask(self, service: TranslationService, text: str, recorder: Recorder | None = None) -> None:
        """Send a text, and return when the application has returned."""
        self._body = json.dumps(_body(text)).encode()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": self._spec_version},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": _PATH,
            "query_string": b"",
            "root_path": "",
            "headers": [(b"content-type", b"application/json")],
            "client": ("203.0.113.9", 1),
        }
        await create_api(service, recorder)(scope, self._receive, self._send)

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what came, which has to be whole."""
        assert not self.messages[-1]["more_body"]
        return _events(b"".join(message.get("body", b"") for message in self.messages).decode())

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if len(self.messages) == self._num_read:
            self._left.set()
            if self._spec_version >= "2.4":
                raise OSError("the client has left")
            await asyncio.Event().wait()
        self.messages.append(message)


@both_ways
async def test_a_stream_past_its_deadline_ends_with_that_error(spec_version: str) -> None:
    """What was done in time has been sent, and the answer ends as it should."""
    service, client = _service(request_timeout_s=0.3), _Client(spec_version)
    await client.ask(service, "One.\n\nStall.")
    (first, segment), (last, error) = client.events()
    assert (first, segment) == ("segment", {"index": 0, "text": "ONE.", "cached": False})
    assert (last, error["code"]) == ("error", "deadline_exceeded")
    assert service.num_ongoing == 0


async def test_the_same_over_a_socket() -> None:
    """With the server that Ray Serve has inside."""
    api = create_api(_service(request_timeout_s=0.3))
    server = uvicorn.Server(uvicorn.Config(api, log_level="error", lifespan="off"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}{_PATH}"
            response = await client.post(url, json=_body("One.\n\nStall."))
        server.should_exit = True
        await serving
    assert [(name, data.get("code")) for name, data in _events(response.text)] == [
        ("segment", None),
        ("error", "deadline_exceeded"),
    ]


@both_ways
async def test_a_bug_midway_is_an_event_without_details(spec_version: str, caplog: pytest.LogCaptureFixture) -> None:
    """The client can tell that the translation is not whole; the log has the cause, the metrics an error."""
    client, recorder = _Client(spec_version), Recorder()
    await client.ask(_service(), "One.\n\nBug.", recorder)
    (_, _), (last, error) = client.events()
    assert (last, error["code"]) == ("error", "internal")
    assert "inside" not in error["message"]
    assert f"unexpected error in request {error['request_id']}" in caplog.text
    assert "RuntimeError: what is inside" in caplog.text
    assert recorder.total(metrics.ERRORS, code="internal") == 1


@both_ways
@pytest.mark.parametrize("num_read", [0, 1, 2], ids=["nothing", "the status", "a piece"])
async def test_a_client_that_leaves_takes_its_work_with_it(spec_version: str, num_read: int) -> None:
    """Nothing is left to the garbage collector, wherever the sending was, and it is no error of the service."""
    service, client, recorder = _service(), _Client(spec_version, num_read), Recorder()
    await client.ask(service, "One. Two. Three.\n\nStall.", recorder)
    assert len(client.messages) == num_read
    assert service.num_ongoing == 0
    assert recorder.total(metrics.ERRORS, code="internal") == 0


@pytest.mark.parametrize(
    ("text", "error", "num_characters"),
    [
        ("One. Two.\n", None, 10),
        ("One. Two. boom. Four.", EngineError, 8),
        ("One.\n\nStall.", DeadlineExceededError, 4),
        ("boom.", EngineError, 0),
    ],
)
async def test_what_a_stream_delivered_is_paid_for(
    tmp_path: Path, text: str, error: type[Exception] | None, num_characters: int
) -> None:
    """The whole costs all its characters, what ended early the sentences that came."""
    meter = Meter(SqliteKeyStore(tmp_path / "keys.sqlite3"))
    service = make_service(TranslationPipeline(_Station()), limits=LimitSettings(request_timeout_s=0.3), meter=meter)
    _, key = make_key("Ann", ("translate",))
    current_caller.set(Caller(key, "203.0.113.9"))
    failed: type[Exception] | None = None
    try:
        async for _ in service.stream(TranslateRequest(**_body(text))):
            pass
    except (EngineError, DeadlineExceededError) as raised:
        failed = type(raised)
    assert failed == error
    assert await meter.usage(key) == Usage(num_characters, 1)


async def test_hanging_up_does_not_make_a_stream_free(tmp_path: Path) -> None:
    """Who has read two sentences of three pays for two."""
    meter = Meter(SqliteKeyStore(tmp_path / "keys.sqlite3"))
    service = make_service(TranslationPipeline(_Station()), meter=meter)
    _, key = make_key("Ann", ("translate",))
    current_caller.set(Caller(key, "203.0.113.9"))
    stream = service.stream(TranslateRequest(**_body("One. Two. Three.")))
    await anext(stream)
    await anext(stream)
    await stream.aclose()
    assert await meter.usage(key) == Usage(8, 1)
