"""Headers that keep browsers from doing what nobody asked for."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# As ASGI has them: set one by one, each would be looked for first.
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_NOTHING_LOADS = "default-src 'none'; frame-ancestors 'none'"
# FastAPI's page of the documentation has one inline script; the rest it takes from here.
_DOCS_PAGE = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)


class SecurityHeadersMiddleware:
    """Adds them to every answer. `Strict-Transport-Security` is for what ends TLS; see docs/security.md."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send on, with the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.raw.extend(_ALWAYS)
                headers.setdefault("Cache-Control", "no-store")
                headers["Content-Security-Policy"] = _DOCS_PAGE if scope["path"] == "/docs" else _NOTHING_LOADS
            await send(message)

        await self._app(scope, receive, send_with_headers)
