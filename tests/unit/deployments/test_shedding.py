"""Load shedding: when it begins, what it leaves alone, and where the length of the queue comes from."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import httpx
import pytest

from configs.schema import LimitSettings
from deployments.api import create_api
from deployments.middleware import RequestIdMiddleware
from deployments.shedding import AcceptQueue, LoadSheddingMiddleware
from monitoring import metrics
from monitoring.recorder import Recorder
from tests.http_api import client_of, make_service

GOOD = {"text": "Hello.", "source_lang": "en", "target_lang": "es"}
TIMEOUT_S = 10.0


class Queue:
    """As long as the test says."""

    def __init__(self) -> None:
        self.length = 0

    def __len__(self) -> int:
        """See `AcceptQueue`."""
        return self.length


class Door:
    """The API behind the middleware, on a clock that moves by the time between two requests."""

    def __init__(self, seconds_apart: float, max_ongoing: int = 256) -> None:
        self.queue = Queue()
        self.recorder = Recorder()
        self._now_s = 0.0
        self._seconds_apart = seconds_apart
        limits = LimitSettings(request_timeout_s=TIMEOUT_S, max_ongoing_requests=max_ongoing)
        service = make_service(limits=limits)
        shedding = LoadSheddingMiddleware(
            create_api(service),
            check_room=service.check_room,
            queue=self.queue,
            timeout_s=lambda: TIMEOUT_S,
            recorder=self.recorder,
            clock_s=lambda: self._now_s,
        )
        self._client = client_of(RequestIdMiddleware(shedding))

    async def ask(self, path: str = "/translate", body: dict[str, str] | None = GOOD) -> httpx.Response:
        """Send one request, later than the one before."""
        self._now_s += self._seconds_apart
        return await (self._client.get(path) if body is None else self._client.post(path, json=body))


async def test_what_would_wait_too_long_is_refused_until_it_would_not() -> None:
    """At 50 a second 100 wait for 2 s, more than a tenth of the 10 s that a request may take; 20 wait for 0.4 s."""
    door = Door(seconds_apart=0.02)
    assert (await door.ask()).status_code == 200
    door.queue.length = 100
    statuses = [(await door.ask()).status_code for _ in range(40)]
    assert statuses[:10] == [200] * 10  # how fast they are read is not known yet
    assert statuses[-20:] == [503] * 20
    door.queue.length = 20
    assert (await door.ask()).status_code == 200


async def test_a_refusal_says_why_and_when_to_come_again() -> None:
    """As every other refusal of overload: its code, a sentence, Retry-After, and a figure."""
    door = Door(seconds_apart=0.02)
    door.queue.length = 90
    for _ in range(30):
        refused = await door.ask()
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "overloaded"
    assert "requests wait 1.8 s" in refused.json()["error"]["message"]
    assert refused.headers["retry-after"] == "2"
    assert door.recorder.gauges[metrics.REQUESTS_UNREAD, ()] == 90


async def test_a_crowd_after_a_quiet_time_is_no_overload() -> None:
    """A request a minute says nothing about how fast they can be read: only what is read while others wait does."""
    door = Door(seconds_apart=60.0)
    for _ in range(3):
        await door.ask()
    door.queue.length = 256
    assert (await door.ask()).status_code == 200


async def test_health_is_never_refused() -> None:
    """Whoever restarts what is not healthy would make it worse."""
    door = Door(seconds_apart=0.02)
    door.queue.length = 10_000
    for _ in range(40):
        await door.ask()
    assert (await door.ask()).status_code == 503
    assert (await door.ask("/health", None)).status_code == 200


async def test_what_there_is_no_room_for_is_refused_unread() -> None:
    """Whatever it asks for; what is no translation needs no room."""
    door = Door(seconds_apart=1.0, max_ongoing=0)
    for path in ("/translate", "/translate/stream", "/batch-translate"):
        refused = await door.ask(path, {"no": "translation"})
        assert refused.status_code == 503
        assert "0 requests are being worked on" in refused.json()["error"]["message"]
        assert refused.headers["retry-after"] == "1"
    assert (await door.ask("/detect", {"text": "Good morning."})).status_code == 200


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux tells")
def test_the_queue_is_the_kernels() -> None:
    """Connections count until they are accepted; the server's own socket is left open, and not kept open."""
    queue = AcceptQueue()
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as clients:
        assert len(queue) == 0
        for _ in range(3):
            clients.enter_context(socket.create_connection(server.getsockname()))
        assert len(queue) == 3
        clients.enter_context(server.accept()[0])
        assert len(queue) == 2
        address = server.getsockname()
    assert len(queue) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
