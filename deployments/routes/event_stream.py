"""Server-sent events whose source ends with the sending, however that ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send


class EventStream(StreamingResponse):
    """An answer of events.

    Left to the garbage collector, what a client no longer listens to would count as work for an unknown time.

    Args:
        events: As they go over the wire.
        source: What they are made of; it is closed after them, even if none of them was asked for.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[str], source: AsyncGenerator[Any]) -> None:
        super().__init__(events, headers={"Cache-Control": "no-cache"})
        self._events = events
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the events end or the client goes away, which is no error of ours."""
        async with aclosing(self._source), aclosing(self._events):
            with suppress(ClientDisconnect):
                await super().__call__(scope, receive, send)
