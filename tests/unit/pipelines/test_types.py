"""What travels between processes arrives as it was sent."""

from __future__ import annotations

import pickle
import time
from dataclasses import replace

import pytest

from pipelines.types import DecodingOptions, Segment, Translation, _sent_s

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
    assert arrived.deadline_s >= now_s + left_s
    assert replace(arrived, deadline_s=None) == SEGMENT


@pytest.mark.parametrize(
    ("left_s", "way_back_s"), [(3600, 0.25), (10, 0.25), (4, 0.1), (1, 0.05), (0.1, 0.05), (0.01, 0.005)]
)
def test_a_hop_keeps_a_little_of_the_time_for_the_way_back(left_s: float, way_back_s: float) -> None:
    """Whoever sent it is to be told in time that it is late: a small part is kept, and never more than a half."""
    assert _sent_s(left_s) == pytest.approx(left_s - way_back_s)


def test_no_hop_gives_time_back() -> None:
    """What is late already stays late."""
    assert _sent_s(-1.0) < 0


def test_what_a_replica_of_the_version_before_sends_is_read() -> None:
    """It does not know the newest field, which has its default; of one of the version after, the newest is left."""
    sent = Translation("Hola.", -0.5, 3, 2, model_revision="0f3a")
    state = sent.__getstate__()  # type: ignore[attr-defined]  # a dataclass with slots has it
    assert pickle.loads(pickle.dumps(sent)).model_revision == "0f3a"
    arrived = Translation.__new__(Translation)
    arrived.__setstate__(state[:-1])
    assert (arrived, arrived.model_revision) == (sent, "")
    arrived.__setstate__([*state, "a field of tomorrow"])
    assert (arrived, arrived.model_revision) == (sent, "0f3a")
