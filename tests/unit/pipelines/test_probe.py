"""The probe: short, first in line, and in languages that the model has."""

from __future__ import annotations

import time

import pytest

from pipelines.probe import probe_segment
from pipelines.types import INTERACTIVE_PRIORITY


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
