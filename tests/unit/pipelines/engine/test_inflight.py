"""The in-flight engine as its callers see it: futures, isolation, cancellation, bounds."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.engine.inflight import InflightEngine
from pipelines.errors import DeadlineExceededError, EngineError, UnavailableError, UnsupportedOptionError
from pipelines.types import DecodingOptions, Failure, Segment, Translation
from tests.unit.pipelines.engine.running import WAIT_S, FailingBatch, GatedBatch, encode, engine_parts, load, translate


@pytest.fixture
def engine(checkpoint_path: Path) -> Iterator[InflightEngine]:
    """Return a running engine of eight rows."""
    engine = load(checkpoint_path)
    yield engine
    engine.close()


def test_rows_come_back_in_order_with_all_their_facts(engine: InflightEngine) -> None:
    """A translation tells its text, score, lengths and end."""
    rows = [encode(engine, text) for text in ("good morning", "how much is it", "hello my friend")]
    outcomes = translate(engine, *rows)
    for row, outcome in zip(rows, outcomes, strict=True):
        assert isinstance(outcome, Translation)
        assert outcome.num_source_tokens == row.num_tokens
        assert outcome.num_target_tokens > 0
        assert outcome.score is not None
        assert outcome.score < 0
        assert outcome.finish in {"stop", "length"}


def test_mixed_rows_equal_the_same_rows_alone(engine: InflightEngine) -> None:
    """Languages, lengths and decoding settings mix in one batch without a trace."""
    texts = ("dog", "the lazy dog jumps over it", "good morning my friend how much is it", "0123", "merci beaucoup")
    settings = (DecodingOptions(), DecodingOptions(num_beams=3, num_hypotheses=2), DecodingOptions(max_new_tokens=4))
    rows = [
        encode(engine, text, target_lang=lang, decoding=settings[(i + j) % 3])
        for i, text in enumerate(texts)
        for j, lang in enumerate(("fra_Latn", "hin_Deva", "spa_Latn"))
    ]
    together = translate(engine, *rows)
    alone = [translate(engine, row)[0] for row in rows]
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one, Translation)
        assert isinstance(other, Translation)
        assert one.text == other.text
        assert one.score == pytest.approx(other.score, abs=1e-5)


def test_alternatives_are_the_best_hypotheses(engine: InflightEngine) -> None:
    """As many as asked for, the first being the translation itself."""
    (outcome,) = translate(engine, encode(engine, decoding=DecodingOptions(num_beams=4, num_hypotheses=3)))
    assert isinstance(outcome, Translation)
    assert len(outcome.alternatives) == 3
    assert outcome.alternatives[0].text == outcome.text


def test_a_cancelled_row_makes_room_and_harms_nobody(engine: InflightEngine) -> None:
    """Cancelling a future drops its row; the others are answered."""
    long = DecodingOptions(max_new_tokens=50, min_new_tokens=50)
    cancelled, kept = engine.submit([encode(engine, decoding=long), encode(engine)])
    assert cancelled.cancel()
    assert isinstance(kept.result(WAIT_S), Translation)
    translate(engine, encode(engine))
    assert engine.room() == 10


def test_the_room_of_a_cancelled_row_is_counted_at_once(checkpoint_path: Path) -> None:
    """Whoever waits for room may be told by the futures of rows that are all cancelled, in the middle of a step."""
    batch: Any = GatedBatch()
    engine = InflightEngine([batch], **engine_parts(checkpoint_path))
    futures = engine.submit([encode(engine)] * engine.room())
    batch.steps.get(timeout=WAIT_S)
    rooms = [engine.room()]
    for future in futures:
        future.add_done_callback(lambda _: rooms.append(engine.room()))
        future.cancel()
    batch.gate.release(2)
    engine.close()
    assert rooms == list(range(11))


def test_a_cancelled_row_is_gone_at_the_next_step(checkpoint_path: Path) -> None:
    """Cancelling while a step runs, that step is the row's last one."""
    batch: Any = GatedBatch()
    engine = InflightEngine([batch], **engine_parts(checkpoint_path))
    futures = engine.submit([encode(engine)] * 3)
    assert batch.steps.get(timeout=WAIT_S) == [1, 2, 3]
    assert futures[1].cancel()
    batch.gate.release()
    assert batch.steps.get(timeout=WAIT_S) == [1, 3]
    assert engine.room() == 8
    batch.gate.release()
    batch.gate.release()
    engine.close()


def test_a_row_that_leaves_is_followed_in_the_next_step(checkpoint_path: Path) -> None:
    """Eight rows decode and two more are let in, so that a place is not empty until one comes from outside."""
    batch: Any = GatedBatch()
    engine = InflightEngine([batch], **engine_parts(checkpoint_path))
    futures = engine.submit([encode(engine)] * engine.room())
    assert batch.steps.get(timeout=WAIT_S) == [1, 2, 3, 4, 5, 6, 7, 8]
    futures[0].cancel()
    batch.gate.release()
    assert batch.steps.get(timeout=WAIT_S) == [2, 3, 4, 5, 6, 7, 8, 9]
    batch.gate.release(2)
    engine.close()


def test_room_counts_beams(engine: InflightEngine) -> None:
    """A beam of width b takes b rows until it is answered, and more than fit wait inside."""
    rows = [encode(engine, decoding=DecodingOptions(num_beams=5)) for _ in range(3)]
    futures = engine.submit(rows)
    assert engine.room() < 10
    assert all(isinstance(future.result(WAIT_S), Translation) for future in futures)


@pytest.mark.parametrize(
    "options", [DecodingOptions(num_beams=9), DecodingOptions(num_beams=0), DecodingOptions(num_hypotheses=2)]
)
def test_impossible_options_are_refused(engine: InflightEngine, options: DecodingOptions) -> None:
    """More beams than rows, or more hypotheses than beams, fail that row alone."""
    refused, kept = translate(engine, encode(engine, decoding=options), encode(engine))
    assert isinstance(refused, Failure)
    assert isinstance(refused.error, UnsupportedOptionError)
    assert isinstance(kept, Translation)


def test_what_cannot_be_accepted_fails_alone(engine: InflightEngine) -> None:
    """A number that nobody foresaw is an answer for its row and none of its neighbours' business."""
    options = DecodingOptions(max_length_ratio=math.nan)
    failed, kept = translate(engine, encode(engine, decoding=options), encode(engine))
    assert isinstance(failed, Failure)
    assert isinstance(failed.error, EngineError)
    assert isinstance(kept, Translation)
    assert engine.room() == 10


def test_an_output_begins_with_its_prefix(engine: InflightEngine) -> None:
    """The model continues what was given; a prefix that leaves it no room fails that row alone."""
    rows = [
        encode(engine, decoding=DecodingOptions(target_prefix=prefix, num_beams=beams, max_new_tokens=9))
        for prefix in ("Où est", "la gare", "")
        for beams in (1, 3)
    ]
    rows.append(encode(engine, decoding=DecodingOptions(target_prefix="gare " * 60)))
    *outcomes, refused = translate(engine, *rows)
    for row, outcome in zip(rows, outcomes, strict=False):
        assert isinstance(outcome, Translation)
        assert outcome.text.startswith(row.segment.decoding.target_prefix)
        assert 1 <= outcome.num_target_tokens <= 9
    assert isinstance(refused, Failure)
    assert isinstance(refused.error, UnsupportedOptionError)
    assert refused.error.field == "target_prefix"


def test_bounds_follow_the_source(engine: InflightEngine) -> None:
    """An output is no shorter and no longer than the shares of its source that were asked for."""
    options = DecodingOptions(min_length_ratio=1.5, max_length_ratio=2.0, align=True)
    rows = [encode(engine, text, decoding=options) for text in ("dog", "how much is it", "the lazy dog")]
    for row, outcome in zip(rows, translate(engine, *rows), strict=True):
        assert isinstance(outcome, Translation)
        assert 1.5 * row.num_tokens <= outcome.num_target_tokens <= 2 * row.num_tokens + 32
        assert len(outcome.alignment) == outcome.num_target_tokens
        assert all(0 < source < row.num_tokens - 1 for source in outcome.alignment)


def test_a_row_past_its_deadline_is_dropped(engine: InflightEngine) -> None:
    """Nobody waits for it any more."""
    (outcome,) = translate(engine, encode(engine, deadline_s=1.0))
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, DeadlineExceededError)


def test_close_answers_whoever_waits(checkpoint_path: Path) -> None:
    """Rows inside and rows that come too late get `UnavailableError`; the thread has ended."""
    engine = load(checkpoint_path)
    row = encode(engine, decoding=DecodingOptions(max_new_tokens=60, min_new_tokens=60))
    futures = engine.submit([row] * 20)
    engine.close()
    outcomes = [future.result(WAIT_S) for future in [*futures, *engine.submit([row])]]
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert failures
    assert all(isinstance(failure.error, UnavailableError) for failure in failures)
    assert not any(thread.name == "decoding-lane" for thread in threading.enumerate())


@pytest.mark.parametrize("fails_to_join", [True, False])
def test_a_poisonous_row_fails_alone(checkpoint_path: Path, fails_to_join: bool) -> None:
    """Whether encoding or decoding fails, only the row at fault gets `EngineError` for a failed model."""
    parts = engine_parts(checkpoint_path)
    (spanish,) = parts["tokenizer"].encode([Segment("0", "spa_Latn", "eng_Latn")])
    batch: Any = FailingBatch(poison=spanish.token_ids[0], fails_to_join=fails_to_join)
    broken = InflightEngine([batch], **parts)
    rows = [encode(broken, text) for text in ("dog", "fox", "jumps", "0", "it", "over", "the")]
    outcomes = translate(broken, *rows, spanish)
    broken.close()
    messages = [outcome.error.message for outcome in outcomes if isinstance(outcome, Failure)]
    assert ["the model failed" in message for message in messages] == [False] * len(rows) + [True]


def test_out_of_memory_halves_the_batch(checkpoint_path: Path) -> None:
    """Rows that do not fit together are decoded in smaller batches, and all are answered."""
    batch: Any = FailingBatch(max_rows=2)
    tight = InflightEngine([batch], **engine_parts(checkpoint_path))
    outcomes = translate(tight, *[encode(tight)] * 8)
    tight.close()
    assert all(isinstance(outcome, Failure) for outcome in outcomes)
    assert all("no usable numbers" in outcome.error.message for outcome in outcomes if isinstance(outcome, Failure))
    assert all(isinstance(outcome.error, EngineError) for outcome in outcomes if isinstance(outcome, Failure))


def test_the_second_start_maps_the_quantized_weights(
    checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """int8 weights are written once and give the same answers when they are read back."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    texts = []
    for _ in range(2):
        engine = load(checkpoint_path, dtype="int8")
        (outcome,) = translate(engine, encode(engine))
        engine.close()
        assert isinstance(outcome, Translation)
        texts.append(outcome.text)
    assert texts[0] == texts[1]
    assert len(list(tmp_path.rglob("*-int8-*.safetensors"))) == 1
