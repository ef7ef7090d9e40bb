"""What happens to every request before its route: an id, and limits on its body in bytes and time. Plain ASGI."""

from __future__ import annotations

import asyncio
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.http_errors import refuse
from pipelines.errors import BodyTimeoutError, BodyTooLargeError

# What a client may choose as its id: it is logged and sent back, so nothing that could forge a log line or a header.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_LENGTH = re.compile(r"[0-9]{1,18}")


class RequestIdMiddleware:
    """Gives every request an id: the client's `X-Request-ID` if it is well formed, else a new one.

    Args:
        app: What comes next.
        behind_serve: Whether Ray Serve's own middleware returns the id that it found or made.
    """

    def __init__(self, app: ASGIApp, *, behind_serve: bool = False) -> None:
        self._app = app
        self._behind_serve = behind_serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set `scope["state"]["request_id"]` and the answer's header."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wanted = Headers(scope=scope).get("x-request-id", "")
        request_id = wanted if _REQUEST_ID.fullmatch(wanted) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start" and not (self._behind_serve and request_id == wanted):
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


class BodyLimitMiddleware:
    """Refuses a body over the limit with 413, without reading more of it than the limit, and a slow one with 408."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body within the limit, then hand it on whole."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read_in_time(scope, receive)
        except (BodyTimeoutError, BodyTooLargeError) as error:
            await refuse(error, scope, receive, send)
            return
        if body is None:
            return
        handed_on = False

        async def receive_body() -> Message:
            nonlocal handed_on
            if handed_on:
                return await receive()
            handed_on = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_body, send)

    async def _read_in_time(self, scope: Scope, receive: Receive) -> bytes | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._read(scope, receive)
        except TimeoutError:
            raise BodyTimeoutError(f"the body did not arrive within {self._timeout_s:g} s") from None

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the whole body, or None if the client went away."""
        declared = Headers(scope=scope).get("content-length", "")
        body = bytearray()
        complete = False
        # What is no number, or one that Python would not read, is the server's to refuse.
        too_large = _LENGTH.fullmatch(declared) is not None and int(declared) > self._max_body_bytes
        while not complete and not too_large:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            complete = not message.get("more_body", False)
            too_large = len(body) > self._max_body_bytes
        if too_large:
            raise BodyTooLargeError(f"the body is over the limit of {self._max_body_bytes} bytes")
        return bytes(body)
