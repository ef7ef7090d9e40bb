"""What tells whether translating works: a translation, and how long the engine's step takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pipelines.errors import UnavailableError
from pipelines.protocols import EngineStats, SegmentTranslator
from pipelines.types import PROBE_PRIORITY, DecodingOptions, Failure, Segment

# Enough to see that the decoder moves; a model that does not stop must not make a probe long.
_DECODING = DecodingOptions(max_new_tokens=8)
# Of the largest model, in float32 on a few cores, reading long sources takes a part of it.
_LONGEST_STEP_S = 120.0


async def check_translating(translator: SegmentTranslator, probe: Segment, progress: Callable[[], object]) -> None:
    """Translate a probe. One that fails says nothing where others are served: the engine may be busy with long rows.

    Callers who wait are no such sign, they do so behind a stuck engine as well.

    Args:
        translator: That is to work.
        probe: See `probe_segment`.
        progress: Returns what changes as long as the translator's engine works.

    Raises:
        UnavailableError: No translation came back, nor did the engine do anything else meanwhile.
    """
    before = progress()
    (outcome,) = await translator.translate([probe])
    if isinstance(outcome, Failure) and progress() == before:
        raise UnavailableError(f"the health probe failed: {outcome.error.message}")


def check_stepping(stats: EngineStats) -> None:
    """See that no lane of the engine is stuck: the probe may have been translated by another one.

    Raises:
        UnavailableError: A step takes longer than any can.
    """
    if stats.step_s > _LONGEST_STEP_S:
        raise UnavailableError(f"the engine is stuck: a step takes {stats.step_s:.0f} s already")


def probe_segment(languages: Sequence[str], timeout_s: float) -> Segment:
    """Return a segment that goes before all others and is worth nothing after `timeout_s`.

    Args:
        languages: FLORES-200 codes that the model has, at least one.
        timeout_s: Seconds from now.
    """
    return Segment(
        "Hello.",
        "eng_Latn" if "eng_Latn" in languages else languages[0],
        "spa_Latn" if "spa_Latn" in languages else languages[-1],
        decoding=_DECODING,
        priority=PROBE_PRIORITY,
        deadline_s=time.monotonic() + timeout_s,
    )
