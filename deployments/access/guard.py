"""The door of the service: every request shows who it is, and passes within what it may. Plain ASGI.

Runs before a body is read. Does not know what a route does; see `deployments.access.routes` for what each needs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import limits
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from configs.schema import Endpoint
from deployments.access.callers import Authenticator, Caller, ProxyTrust, current_caller
from deployments.access.limiter import RateLimiter, Slots, Window
from deployments.access.routes import Requirement, requirement_of
from deployments.http_errors import refuse
from monitoring import metrics
from monitoring.recorder import Recorder
from pipelines.errors import ForbiddenError, RateLimitedError, TranslationError, UnauthenticatedError

# What callers without a key may where keys are optional: as much as a key that was made without naming a scope.
_OPEN_SCOPES = (None, "translate")


class Guard:
    """Decides about requests.

    Args:
        authenticator: Finds the key.
        proxies: Whose word about the client's address counts.
        limiter: Counts requests in time.
        slots: Counts requests under way.
        rates: Requests per endpoint and caller, such as `{"translate": "600/minute"}`; `*` is all that are not named.
        slot_lease_s: Longest time that a request may take.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        proxies: ProxyTrust,
        limiter: RateLimiter,
        slots: Slots,
        *,
        rates: Mapping[Endpoint, str],
        slot_lease_s: float,
    ) -> None:
        self._authenticator = authenticator
        self._proxies = proxies
        self._limiter = limiter
        self._slots = slots
        self._rates = {endpoint: limits.parse(rate.replace("/", " per ")) for endpoint, rate in rates.items()}
        self._slot_lease_s = slot_lease_s

    async def identify(self, headers: Headers, peer: str, needs: Requirement) -> Caller:
        """Return the caller of a request.

        Raises:
            UnauthenticatedError: It needs a key that is not there or not valid.
            ForbiddenError: Its key does not allow this.
        """
        # Several lines are one list (RFC 9110, 5.3), and it is the first line that a client can forge.
        address = self._proxies.client_address(peer, ",".join(headers.getlist("x-forwarded-for")))
        if needs.public:
            return Caller(None, address)
        caller = Caller(await self._authenticator.key_of(headers), address)
        if caller.key is None:
            mode = self._authenticator.mode
            if mode == "required" or (mode == "optional" and needs.scope not in _OPEN_SCOPES):
                raise UnauthenticatedError("this needs an API key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`")
        elif not caller.key.allows(needs.scope):
            raise ForbiddenError(
                f"this needs a key with the scope {needs.scope!r}; this key has {', '.join(caller.key.scopes)}"
            )
        return caller

    async def count(self, caller: Caller, needs: Requirement) -> Window | None:
        """Count the request; return the window that leaves least room, or None where nothing is limited."""
        windows = []
        rate = self._rates.get(needs.endpoint, self._rates.get("*"))
        if rate is not None and not needs.public:
            windows.append(await self._limiter.hit(rate, needs.endpoint, caller.identity))
        if caller.key is not None and caller.key.limits.requests_per_second is not None:
            per_second = limits.RateLimitItemPerSecond(caller.key.limits.requests_per_second)
            windows.append(await self._limiter.hit(per_second, caller.identity))
        return min(windows, key=lambda window: (window.allowed, window.remaining / window.limit), default=None)

    @asynccontextmanager
    async def slot(self, caller: Caller) -> AsyncIterator[None]:
        """Hold one of the key's concurrent requests.

        Raises:
            RateLimitedError: All are taken.
        """
        most = caller.key.limits.concurrent_requests if caller.key is not None else None
        if most is None:
            yield
            return
        token = await self._slots.take(caller.identity, most, self._slot_lease_s)
        if token is None:
            raise RateLimitedError(f"this key may have {most} requests at the same time", retry_after_s=1.0)
        try:
            yield
        finally:
            await self._slots.give_back(caller.identity, token)


class GuardMiddleware:
    """Asks the guard about every request, and tells the caller how much is left."""

    def __init__(self, app: ASGIApp, guard: Guard, recorder: Recorder) -> None:
        self._app = app
        self._guard = guard
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through with its caller in `current_caller`, or answer 401, 403, 429 or 503."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        needs = requirement_of(scope["method"], scope["path"])
        window: Window | None = None
        started = False

        async def send_with_limits(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if window is not None:
                    MutableHeaders(scope=message).update(_limit_headers(window))
            await send(message)

        try:
            caller = await self._guard.identify(Headers(scope=scope), (scope.get("client") or ("", 0))[0], needs)
            if caller.key is not None:
                scope["state"]["key_id"] = caller.key.id  # for the request's line in the log
            window = await self._guard.count(caller, needs)
            if window is not None and not window.allowed:
                raise RateLimitedError(
                    f"{window.limit} requests in {window.window_s} s are allowed", retry_after_s=window.reset_s
                )
            async with self._guard.slot(caller):
                token = current_caller.set(caller)
                try:
                    await self._app(scope, receive, send_with_limits)
                finally:
                    current_caller.reset(token)
        except TranslationError as error:
            if started:
                raise
            if isinstance(error, RateLimitedError):
                self._recorder.count(metrics.RATE_LIMITED, endpoint=needs.endpoint)
            await refuse(error, scope, receive, send_with_limits)


def _limit_headers(window: Window) -> dict[str, str]:
    """Headers of draft-ietf-httpapi-ratelimit-headers-06, the form that clients know."""
    return {
        "RateLimit-Limit": str(window.limit),
        "RateLimit-Remaining": str(window.remaining),
        "RateLimit-Reset": str(window.reset_s),
        "RateLimit-Policy": f"{window.limit};w={window.window_s}",
    }
