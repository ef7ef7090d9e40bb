"""What tests ask a cache for, and how they read its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from pipelines.errors import TranslationError
from pipelines.types import Failure, Outcome, Segment, Translation

REVISION = "0f3a"


def segment(text: str, **fields: Any) -> Segment:
    """A segment from English to French."""
    return Segment(text=text, source_lang="eng_Latn", target_lang="fra_Latn", **fields)


def texts(outcomes: list[Outcome]) -> list[str]:
    """The outputs; every outcome must be a translation."""
    assert all(isinstance(outcome, Translation) for outcome in outcomes), outcomes
    return [outcome.text for outcome in outcomes if isinstance(outcome, Translation)]


def error_of(outcome: Outcome) -> TranslationError:
    """The error of an outcome, which must be a failure."""
    assert isinstance(outcome, Failure)
    return outcome.error


async def started(work: Coroutine[Any, Any, list[Outcome]]) -> asyncio.Task[list[Outcome]]:
    """Start a request and let it reach what it has to wait for."""
    task = asyncio.create_task(work)
    for _ in range(5):
        await asyncio.sleep(0)
    return task
