"""What travels between processes arrives as it was sent."""

from __future__ import annotations

import pickle
import time
from dataclasses import replace

from pipelines.types import DecodingOptions, Segment

SEGMENT = Segment("Hello.", "eng_Latn", "spa_Latn", "medical@3", DecodingOptions(num_beams=4), priority=1)


def test_a_segment_arrives_whole() -> None:
    """With every field, and without a deadline where it has none."""
    assert pickle.loads(pickle.dumps(SEGMENT)) == SEGMENT


def test_a_deadline_travels_as_the_time_that_is_left() -> None:
    """The receiver counts it from its own clock, so no clock of another machine can make it late."""
    now_s = time.monotonic()
    sent = replace(SEGMENT, deadline_s=now_s + 60)
    _, (_, left_s) = sent.__reduce__()
    assert 0 < left_s <= 60
    arrived = pickle.loads(pickle.dumps(sent))
    assert arrived.deadline_s >= sent.deadline_s
    assert replace(arrived, deadline_s=None) == SEGMENT
