"""Recordings of a replica: one at a time, whoever still waits for it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from deployments.profiling import Profiler
from pipelines.errors import UnavailableError


async def test_a_recording_goes_on_when_its_caller_hangs_up() -> None:
    """Another one is refused until it has ended: two at once break the process."""
    may_end, begun = threading.Event(), threading.Event()

    def record(seconds: float) -> bytes:
        begun.set()
        may_end.wait(60)
        return b"archive"

    profiler = Profiler(record)
    first = asyncio.create_task(profiler.archive(5.0))
    await asyncio.to_thread(begun.wait, 60)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    with pytest.raises(UnavailableError, match="profiled already"):
        await profiler.archive(5.0)
    may_end.set()
    async with asyncio.timeout(60):
        while True:
            try:
                assert await profiler.archive(5.0) == b"archive"
            except UnavailableError:
                await asyncio.sleep(0.01)
            else:
                break


async def test_a_recording_that_fails_lets_others_be_made() -> None:
    """Its caller gets the error."""
    answers = iter([RuntimeError("no profiler"), b"archive"])

    def record(seconds: float) -> bytes:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    profiler = Profiler(record)
    with pytest.raises(RuntimeError, match="no profiler"):
        await profiler.archive(5.0)
    assert await profiler.archive(5.0) == b"archive"
