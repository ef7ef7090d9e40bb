"""What a replica does again and again."""

from __future__ import annotations

import asyncio

from deployments.watch import Watch


async def test_a_watch_goes_on_after_a_failure() -> None:
    """What fails is done again."""
    done = asyncio.Event()
    turns = 0

    async def work() -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise OSError("a disk hiccup")
        done.set()

    watch = Watch(work, 0.0)
    watch.start()
    await asyncio.wait_for(done.wait(), 10)
    await watch.stop()
