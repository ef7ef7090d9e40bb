"""The probe: short, first in line, and in languages that the model has."""

from __future__ import annotations

import time

import pytest

from pipelines.errors import DeadlineExceededError, UnavailableError
from pipelines.probe import check_stepping, check_translating, probe_segment
from pipelines.protocols import EngineStats
from pipelines.types import INTERACTIVE_PRIORITY, Failure, Outcome, Segment, Translation


@pytest.mark.parametrize(
    ("languages", "pair"),
    [
        (("eng_Latn", "hin_Deva", "spa_Latn"), ("eng_Latn", "spa_Latn")),
        (("fra_Latn", "hin_Deva"), ("fra_Latn", "hin_Deva")),
        (("deu_Latn",), ("deu_Latn", "deu_Latn")),
    ],
)
def test_a_probe_is_a_segment_that_the_model_can_translate(languages: tuple[str, ...], pair: tuple[str, str]) -> None:
    """English to Spanish where both are there, else what is there."""
    segment = probe_segment(languages, timeout_s=10)
    assert (segment.source_lang, segment.target_lang) == pair


def test_a_probe_is_short_and_goes_before_everything_else() -> None:
    """It measures whether the service works, not how busy it is, and takes a row for eight steps at most."""
    segment = probe_segment(("eng_Latn",), timeout_s=10)
    assert segment.priority < INTERACTIVE_PRIORITY
    assert segment.decoding.max_new_tokens == 8
    assert segment.deadline_s is not None
    assert 0 < segment.deadline_s - time.monotonic() <= 10


class Busy:
    """A translator that makes so many steps for others while it is asked."""

    def __init__(self, outcome: Outcome, num_steps: int) -> None:
        self.progress = 0
        self._outcome = outcome
        self._num_steps = num_steps

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator`."""
        self.progress += self._num_steps
        return [self._outcome for _ in segments]


@pytest.mark.parametrize(
    ("outcome", "num_steps", "is_healthy"),
    [
        (Translation("Hola."), 0, True),
        (Failure(DeadlineExceededError("too late")), 3, True),
        (Failure(DeadlineExceededError("too late")), 0, False),
    ],
)
async def test_a_probe_that_fails_is_excused_by_work_for_others_alone(
    outcome: Outcome, num_steps: int, is_healthy: bool
) -> None:
    """An engine that does nothing meanwhile is stuck, however many callers wait behind it."""
    translator = Busy(outcome, num_steps)
    probe = probe_segment(("eng_Latn",), timeout_s=10)
    if is_healthy:
        await check_translating(translator, probe, lambda: translator.progress)
    else:
        with pytest.raises(UnavailableError, match="too late"):
            await check_translating(translator, probe, lambda: translator.progress)


def test_a_step_that_does_not_end_is_no_excuse() -> None:
    """A lane that is stuck shows, though another one translates the probes; a slow step is not one."""
    check_stepping(EngineStats(num_steps=5, num_rows=3, step_s=60.0))
    with pytest.raises(UnavailableError, match="a step takes 300 s already"):
        check_stepping(EngineStats(num_steps=5, num_rows=3, step_s=300.0))
