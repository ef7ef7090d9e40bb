"""A deployment as a station: calls through a Serve handle, with Ray's ways to fail turned into the project's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from monitoring import metrics
from monitoring.recorder import Recorder
from monitoring.tracing import current_traceparent
from pipelines.errors import EngineError, OverloadedError, TranslationError, UnavailableError
from pipelines.protocols import SegmentTranslator
from pipelines.retry import retry
from pipelines.station import earliest_deadline_s
from pipelines.types import Outcome, Segment

_LOGGER = logging.getLogger(__name__)
_GONE = (RayActorError, DeploymentUnavailableError, ReplicaUnavailableError)


async def call(response: Awaitable[Any]) -> Any:
    """Await a handle's response.

    Raises:
        OverloadedError: The deployment's queue is full.
        UnavailableError: The replica died, or there is none.
        TranslationError: What the replica raised.
    """
    try:
        return await response
    except BackPressureError as error:
        raise OverloadedError("the service has more work than it can do now", retry_after_s=1.0) from error
    except _GONE as error:
        raise UnavailableError("a part of the service is restarting", retry_after_s=1.0) from error
    except RayTaskError as error:
        if isinstance(error.cause, TranslationError):
            raise error.cause from error
        _LOGGER.exception("a replica failed")
        raise EngineError("the model failed on this request") from error
    except RayError as error:
        raise UnavailableError("a part of the service cannot be reached", retry_after_s=1.0) from error


async def call_all(handle: DeploymentHandle[Any], method: str, *, timeout_s: float = 5.0) -> list[Any]:
    """Call a method on every replica of a deployment; return what each of them said.

    Raises:
        UnavailableError: There is no replica, or one does not answer.
        TranslationError: As `call`, for any of the replicas.
    """
    try:
        answers: list[Any] = await call(handle.broadcast(method).results_async(timeout_s=timeout_s))
    except TimeoutError:
        raise UnavailableError(
            f"a part of the service did not answer within {timeout_s:g} s", retry_after_s=1.0
        ) from None
    if not answers:
        raise UnavailableError("a part of the service is restarting", retry_after_s=1.0)
    return answers


class HandleStation:
    """A deployment with a `translate` method, behind its handle.

    Serve retries requests that no replica has taken, not those in flight when a replica dies. Translating twice does
    no harm, so these are sent again, after a short random pause and as long as somebody waits for them.

    Args:
        handle: Of the deployment.
        name: What the metrics call it.
        recorder: Of this process.
        max_attempts: Of one call.
    """

    def __init__(self, handle: DeploymentHandle[Any], name: str, recorder: Recorder, *, max_attempts: int = 10) -> None:
        self._handle = handle
        self._max_attempts = max_attempts
        self._name = name
        self._recorder = recorder

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator.translate`. A cancelled caller's work is cancelled in the deployment as well."""

        async def attempt() -> list[Outcome]:
            response = self._handle.translate.remote(segments, current_traceparent())
            try:
                outcomes: list[Outcome] = await call(response)
            except asyncio.CancelledError:
                # Serve lets it run on: it cancels what a cancelled request called, not what nobody awaits any more.
                response.cancel()
                raise
            return outcomes

        return await retry(
            attempt,
            on=UnavailableError,
            deadline_s=earliest_deadline_s(segments),
            max_attempts=self._max_attempts,
            again=lambda: self._recorder.count(metrics.RETRIES, dependency=self._name),
        )


class FallbackStation:
    """Goes straight to the second station where the first cannot be reached: slower, never wrong, never down."""

    def __init__(self, first: SegmentTranslator, second: SegmentTranslator) -> None:
        self._first = first
        self._second = second

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator.translate`."""
        try:
            return await self._first.translate(segments)
        except (UnavailableError, EngineError) as error:
            _LOGGER.warning("going around the cache: %s", error.message)
            return await self._second.translate(segments)
