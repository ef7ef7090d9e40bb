"""Refuses at the door what would be refused or late anyhow, before anybody has read it. Plain ASGI.

Under an overload most requests are refused, and what that takes is missing where translations are made.

The event loop accepts one connection per turn (libuv, since 1.45). When requests come faster than its turns, they wait
in the kernel, where no limit and no deadline of this process sees them, and all of them are late. While they do, what
is read is therefore refused, which takes a tenth of the time of anything else, until the wait is short again.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Sized

import psutil
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.access.routes import Requirement, requirement_of
from deployments.http_errors import refuse
from monitoring import metrics
from monitoring.recorder import Recorder
from pipelines.errors import OverloadedError

_TRANSLATING = frozenset({"translate", "batch-translate"})
# Of the time that a request may take. Most of it is meant for the work.
_MAX_WAIT_SHARE = 0.1
_MEASURED_S = 0.25  # a shorter time says little about how fast connections are accepted
_FORGOTTEN_S = 1.0
# Of Linux' `struct tcp_info`; on a listening socket, what is not accepted yet (net/ipv4/tcp.c, tcp_get_info).
_UNACKED = struct.Struct("24x I")


class AcceptQueue:
    """Connections to this process that are not accepted yet; its length is always 0 where the system does not tell.

    Ask for it when a request has come, not before: by then the socket that requests come to is there.
    """

    def __init__(self) -> None:
        self._descriptors: list[int] | None = None

    def __len__(self) -> int:
        """Return how many wait at the socket where most do."""
        if self._descriptors is None:
            self._descriptors = _listening_descriptors()
        return max(map(_num_unaccepted, self._descriptors), default=0)


class LoadSheddingMiddleware:
    """Refuses translations while there is no room for them, or those that are not accepted yet would wait for too long.

    Args:
        app: What comes next.
        check_room: Raises `OverloadedError` if there is no room for another translation.
        queue: Of what is not accepted yet.
        timeout_s: Returns how long a request may take.
        recorder: Of the queue's length.
        clock_s: Any clock that never goes back.
    """

    def __init__(
        self,
        app: ASGIApp,
        check_room: Callable[[], None],
        queue: Sized,
        timeout_s: Callable[[], float],
        recorder: Recorder,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._check_room = check_room
        self._queue = queue
        self._timeout_s = timeout_s
        self._recorder = recorder
        self._clock_s = clock_s
        self._accepted_per_s: float | None = None
        self._measured_from_s: float | None = None
        self._num_accepted = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer 503."""
        if scope["type"] == "http":
            try:
                self._check(requirement_of(scope["method"], scope["path"]))
            except OverloadedError as error:
                await refuse(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, requirement: Requirement) -> None:
        if requirement.scope != "translate":
            return
        wait_s = self._wait_s()
        if wait_s > _MAX_WAIT_SHARE * self._timeout_s():
            raise OverloadedError(f"requests wait {wait_s:.1f} s before they are read", retry_after_s=wait_s)
        if requirement.endpoint in _TRANSLATING:
            self._check_room()

    def _wait_s(self) -> float:
        """How long the last one that waits now will have to: Little's law, at the rate of the time since any waits."""
        waiting, now_s = len(self._queue), self._clock_s()
        self._recorder.set(metrics.REQUESTS_UNREAD, waiting)
        if waiting == 0:
            self._accepted_per_s = self._measured_from_s = None
            return 0.0
        if self._measured_from_s is None:
            self._measured_from_s, self._num_accepted = now_s, 0
        elif (measured_s := now_s - self._measured_from_s) >= _MEASURED_S:
            self._accepted_per_s = self._num_accepted / measured_s
            if measured_s >= _FORGOTTEN_S:
                self._measured_from_s, self._num_accepted = now_s, 0
        self._num_accepted += 1
        return 0.0 if self._accepted_per_s is None else waiting / self._accepted_per_s


def _listening_descriptors() -> list[int]:
    if not hasattr(socket, "TCP_INFO"):
        return []
    connections = psutil.Process().net_connections("tcp")
    return [each.fd for each in connections if each.status == psutil.CONN_LISTEN and each.fd >= 0]


def _num_unaccepted(descriptor: int) -> int:
    # Borrowed: a copy would go on listening when the server has closed its own, and take connections for nobody.
    try:
        listening = socket.socket(fileno=descriptor)
        try:
            info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED.size)
        finally:
            listening.detach()
    except OSError:  # closed by now
        return 0
    number: int = _UNACKED.unpack(info)[0]
    return number
