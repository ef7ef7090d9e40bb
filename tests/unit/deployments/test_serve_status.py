"""What runs is asked for without holding anybody up."""

from __future__ import annotations

import asyncio
import threading

import pytest

from deployments.serve_status import ServeStatus
from pipelines.errors import UnavailableError


async def test_a_controller_that_is_away_holds_up_one_thread_however_many_ask() -> None:
    """Who asks is told in time, the question is not put again meanwhile, and its answer serves all who wait for it."""
    back, num_asked = threading.Event(), 0

    def ask() -> str:
        nonlocal num_asked
        num_asked += 1
        back.wait()
        return "well"

    status = ServeStatus(ask, timeout_s=0.01)
    for _ in range(10):
        with pytest.raises(UnavailableError, match="does not answer"):
            await status.get()
    assert num_asked == 1
    patient = ServeStatus(ask, timeout_s=60)
    asked = [asyncio.ensure_future(patient.get()) for _ in range(10)]
    await asyncio.sleep(0)
    back.set()
    assert await asyncio.gather(*asked) == ["well"] * 10
    assert num_asked == 2
