"""Keeps pages of other sites from sending what browsers send without asking first. Plain ASGI.

What has a JSON body, or another method than GET, HEAD and POST, a browser sends for a page of another site only after
the service has agreed to it (a preflight; see the CORS middleware). Every other POST it just sends, from any page, to
whatever the user's machine can reach: a service without keys would do what it says.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.http_errors import refuse
from pipelines.errors import ForbiddenError

_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json", re.ASCII | re.IGNORECASE)


class OriginMiddleware:
    """Refuses such a POST from a page of another site with 403. Programs send no `Origin` and are not touched.

    Args:
        app: What comes next.
        allowed: Origins of sites whose pages may call the service.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        self._app = app
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer 403."""
        if scope["type"] == "http" and scope["method"] == "POST" and self._is_foreign(headers := Headers(scope=scope)):
            error = ForbiddenError(
                f"a page of {headers.get('origin', 'another site')} may not send this; access.cors_origins names the "
                "sites whose pages may"
            )
            await refuse(error, scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_foreign(self, headers: Headers) -> bool:
        """By what the browser says, else by the host that it asked; as Go's `http.CrossOriginProtection` does it."""
        if _JSON.fullmatch(headers.get("content-type", "").partition(";")[0].strip()):
            return False
        origin = headers.get("origin")
        if origin in self._allowed:
            return False
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site not in {"same-origin", "none"}
        # Without the scheme: what ends TLS in front of the service hides it.
        return origin is not None and origin.partition("://")[2] != headers.get("host")
