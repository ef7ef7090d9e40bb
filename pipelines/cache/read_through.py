"""The cache as a station: what is known is answered, what is equal is translated once, the rest goes on in one call.

Does not know where entries are kept, nor what the station behind is.

A *flight* is one key on its way to an outcome; segments with that key join it. The new flights of a request share a
*trip*: one look into the store, one call of the station for what was not there, one write. A trip runs in a task of
its own, so it outlives the request that started it as long as anybody waits for one of its flights.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from pipelines.cache.codec import decode, encode
from pipelines.cache.key import segment_key
from pipelines.cache.store import CacheStats, CacheStore
from pipelines.errors import DeadlineExceededError, TranslationError, UnavailableError
from pipelines.protocols import SegmentTranslator
from pipelines.types import Failure, Outcome, Segment, Translation

_LOGGER = logging.getLogger(__name__)


class CacheObserver(Protocol):
    """Is told of each stage of a trip as it ends, in the trip's context. Quick, and never raises."""

    def looked_up(self, num_hits: int, num_misses: int, duration_s: float) -> None:
        """The store was asked for the segments that were not on their way already."""
        ...

    def kept(self, num_entries: int, duration_s: float) -> None:
        """The store has the new translations; who waited for them has gone on before."""
        ...


@dataclass(slots=True, eq=False)
class _Trip:
    flights: list[_Flight] = field(default_factory=list)
    num_waiting: int = 0
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class _Flight:
    key: str
    segment: Segment
    trip: _Trip
    outcome: asyncio.Future[Outcome]


class ReadThroughCache:
    """A `SegmentTranslator` in front of another. One event loop at a time.

    Only translations are kept, never failures. A translation cut by the engine's own bound is not kept either,
    because that bound is no part of the key, nor is one by another model, which is being rolled out or replaced.
    """

    def __init__(
        self,
        store: CacheStore,
        station: SegmentTranslator,
        model_revision: str,
        observer: CacheObserver | None = None,
        *,
        max_pending_writes: int = 256,
        clock_s: Callable[[], float] = time.monotonic,
        trip_context: Callable[[], contextvars.Context] = contextvars.copy_context,
    ) -> None:
        """Put a store in front of a station.

        Args:
            store: Keeps the entries.
            station: Translates what the store does not have.
            model_revision: Names everything of the base model that decides its output: checkpoint, engine, number
                format, vocabulary.
            observer: Who is told of the stages; None is nobody.
            max_pending_writes: Trips whose write is under way; beyond, translations are answered but not kept.
            clock_s: The clock of the segments' deadlines.
            trip_context: Makes the context of a trip when it starts; by default that of the request.
        """
        self._store = store
        self._station = station
        self._model_revision = model_revision
        self._observer = observer
        self._max_pending_writes = max_pending_writes
        self._clock_s = clock_s
        self._trip_context = trip_context
        self._in_flight: dict[str, _Flight] = {}
        self._trips: set[asyncio.Task[None]] = set()
        self._num_pending_writes = 0
        self._num_hits = 0
        self._num_misses = 0
        self._num_coalesced = 0
        self._num_errors = 0

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator`; an equal segment that is on its way already is waited for, until the deadline.

        If the station behind cannot be reached, the segments that need it fail; the call does not, because this
        station was reached.
        """
        flights, outcomes = await self._fly(segments)
        again = [
            index
            for index, (segment, flight, outcome) in enumerate(zip(segments, flights, outcomes, strict=True))
            if self._failed_for_another(segment, flight, outcome)
        ]
        if again:
            _, second = await self._fly([segments[index] for index in again], in_own_time=True)
            for index, outcome in zip(again, second, strict=True):
                outcomes[index] = outcome
        return outcomes

    async def clear(self) -> int:
        """Remove every entry and return how many there were.

        Raises:
            UnavailableError: The store cannot be reached.
        """
        return await self._store.clear()

    async def stats(self) -> CacheStats:
        """Return how the store and this cache do."""
        stats = await self._store.stats()
        return replace(
            stats,
            errors=stats.errors + self._num_errors,
            hits=self._num_hits,
            misses=self._num_misses,
            coalesced=self._num_coalesced,
        )

    async def close(self) -> None:
        """Wait for what is under way, writes included, then close the store."""
        if self._trips:
            await asyncio.wait(self._trips)
        await self._store.close()

    async def _fly(self, segments: list[Segment], *, in_own_time: bool = False) -> tuple[list[_Flight], list[Outcome]]:
        flights = self._board(segments, in_own_time)
        try:
            outcomes = [await self._arrival(segment, flight) for segment, flight in zip(segments, flights, strict=True)]
        finally:
            for flight in flights:
                self._leave(flight)
        return flights, outcomes

    def _board(self, segments: list[Segment], in_own_time: bool) -> list[_Flight]:
        """Join the flights that there are and start one trip for the rest; one flight per segment, in order."""
        trip = _Trip()
        boarded = []
        for segment in segments:
            key = segment_key(segment, self._model_revision)
            flight = self._in_flight.get(key)
            if flight is not None and _is_joinable(flight, segment, in_own_time):
                self._num_coalesced += 1
            else:
                flight = _Flight(key, segment, trip, asyncio.get_running_loop().create_future())
                self._in_flight[key] = flight
                trip.flights.append(flight)
            flight.trip.num_waiting += 1
            boarded.append(flight)
        if trip.flights:
            trip.task = asyncio.create_task(self._make(trip), context=self._trip_context())
            self._trips.add(trip.task)
            trip.task.add_done_callback(self._trips.discard)
        return boarded

    async def _arrival(self, segment: Segment, flight: _Flight) -> Outcome:
        if not flight.outcome.done():
            left_s = None if segment.deadline_s is None else self._seconds_left(segment)
            await asyncio.wait([flight.outcome], timeout=left_s)
        if flight.outcome.done():
            return flight.outcome.result()
        return Failure(DeadlineExceededError("the translation was not done before the request's deadline"))

    def _leave(self, flight: _Flight) -> None:
        trip = flight.trip
        trip.num_waiting -= 1
        if trip.num_waiting == 0 and trip.task is not None and not all(f.outcome.done() for f in trip.flights):
            for abandoned in trip.flights:
                self._forget(abandoned)
            trip.task.cancel()

    async def _make(self, trip: _Trip) -> None:
        try:
            missing = await self._look_up(trip.flights)
            if missing:
                await self._keep(await self._pass_on(missing))
        finally:
            for flight in trip.flights:
                if not flight.outcome.done():
                    flight.outcome.set_result(Failure(UnavailableError("the translation was interrupted")))
                self._forget(flight)

    async def _look_up(self, flights: list[_Flight]) -> list[_Flight]:
        """Land the flights that the store has an entry for; return the others."""
        missing = []
        started_s = time.perf_counter()
        entries = await self._store.get_many([flight.key for flight in flights])
        for flight, entry in zip(flights, entries, strict=True):
            translation = decode(flight.key, entry, self._model_revision) if entry is not None else None
            if translation is not None:
                self._num_hits += 1
                flight.outcome.set_result(translation)
                self._forget(flight)
            else:
                self._num_misses += 1
                self._num_errors += entry is not None
                missing.append(flight)
        if self._observer is not None:
            self._observer.looked_up(len(flights) - len(missing), len(missing), time.perf_counter() - started_s)
        return missing

    async def _pass_on(self, flights: list[_Flight]) -> dict[str, bytes]:
        """Land the flights with what the station makes of them; return the entries to keep."""
        entries = {}
        outcomes = await self._ask_station([flight.segment for flight in flights])
        for flight, outcome in zip(flights, outcomes, strict=True):
            flight.outcome.set_result(outcome)
            if isinstance(outcome, Translation) and self._is_decided_by_key(flight.segment, outcome):
                entries[flight.key] = encode(flight.key, outcome)
            else:
                self._forget(flight)
        return entries

    def _is_decided_by_key(self, segment: Segment, translation: Translation) -> bool:
        is_whole = translation.finish == "stop" or segment.decoding.max_new_tokens is not None
        return is_whole and translation.model_revision == self._model_revision

    async def _ask_station(self, segments: list[Segment]) -> list[Outcome]:
        try:
            outcomes = await self._station.translate(segments)
            if len(outcomes) != len(segments):
                raise RuntimeError(f"{len(outcomes)} outcomes for {len(segments)} segments")
        except TranslationError as error:
            return [Failure(error)] * len(segments)
        except Exception:
            _LOGGER.exception("the station behind the cache failed")
            return [Failure(TranslationError("the translation failed"))] * len(segments)
        return outcomes

    async def _keep(self, entries: dict[str, bytes]) -> None:
        """Write; until it is done, equal segments join the flight that has landed instead of missing the entry."""
        if not entries:
            return
        if self._num_pending_writes >= self._max_pending_writes:
            self._num_errors += 1
            return
        self._num_pending_writes += 1
        started_s = time.perf_counter()
        try:
            await self._store.put_many(entries)
            if self._observer is not None:
                self._observer.kept(len(entries), time.perf_counter() - started_s)
        finally:
            self._num_pending_writes -= 1

    def _forget(self, flight: _Flight) -> None:
        if self._in_flight.get(flight.key) is flight:
            del self._in_flight[flight.key]

    def _failed_for_another(self, segment: Segment, flight: _Flight, outcome: Outcome) -> bool:
        """Whether the deadline that failed a flight was that of another segment with less time than this one.

        What cannot be reached is tried again until the deadline as well.
        """
        return (
            isinstance(outcome, Failure)
            and isinstance(outcome.error, DeadlineExceededError | UnavailableError)
            and _deadline(flight.segment) < _deadline(segment)
            and self._seconds_left(segment) > 0
        )

    def _seconds_left(self, segment: Segment) -> float:
        return max(0.0, _deadline(segment) - self._clock_s())


def _deadline(segment: Segment) -> float:
    return math.inf if segment.deadline_s is None else segment.deadline_s


def _is_joinable(flight: _Flight, segment: Segment, in_own_time: bool) -> bool:
    """Whether the flight will serve the segment as soon, and if asked for, as long, as a flight of its own."""
    if flight.outcome.done():
        return True
    in_time = not in_own_time or _deadline(flight.segment) >= _deadline(segment)
    return in_time and flight.segment.priority <= segment.priority
