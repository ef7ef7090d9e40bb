"""The reference engine: `generate`'s own tokens for every row, and no row at the mercy of another."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import M2M100ForConditionalGeneration, NllbTokenizer

from pipelines.engine.checkpoint import locate_checkpoint
from pipelines.engine.loading import load_engine
from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.engine.transformers_engine import TransformersEngine
from pipelines.errors import (
    DeadlineExceededError,
    EngineError,
    StartupError,
    UnavailableError,
    UnsupportedOptionError,
)
from pipelines.protocols import EncodedSegment, Engine, EngineStats
from pipelines.types import DecodingOptions, Failure, ModelInfo, Outcome, Segment, Translation

TEXTS = ("Hello my friend", "dog", "How much is it, good fox?")
PAIRS = (("eng_Latn", "fra_Latn"), ("spa_Latn", "hin_Deva"))
OPTIONS = (
    DecodingOptions(),
    DecodingOptions(max_new_tokens=5),
    DecodingOptions(min_new_tokens=4, repetition_penalty=1.3),
    DecodingOptions(num_beams=3, num_hypotheses=2),
    DecodingOptions(num_beams=4, length_penalty=0.5, no_repeat_ngram_size=2),
)
SEGMENTS = [
    Segment(text, source, target, decoding=options) for options in OPTIONS for text in TEXTS for source, target in PAIRS
]


@pytest.fixture(scope="module")
def engine(checkpoint_path: Path) -> Iterator[Engine]:
    """Return the engine on the tiny model, in float32."""
    engine = load_engine(
        locate_checkpoint(str(checkpoint_path)),
        engine="transformers",
        device="cpu",
        max_rows=16,
        num_threads=1,
        max_length_ratio=1.0,
        max_length_extra_tokens=4,
    )
    yield engine
    engine.close()


def translate(engine: Engine, segments: Sequence[Segment]) -> list[Outcome]:
    """Encode and submit all at once, and wait."""
    return [future.result(timeout=60) for future in engine.submit(encode(engine, segments))]


def encode(engine: Engine, segments: Sequence[Segment]) -> list[EncodedSegment]:
    """Encode segments that are known to be fine."""
    return [row for row in engine.encode(segments) if isinstance(row, EncodedSegment)]


def test_a_row_does_not_depend_on_its_batch(engine: Engine) -> None:
    """Mixed pairs, lengths and settings in one call give what each segment gives alone."""
    for segment, outcome in zip(SEGMENTS, translate(engine, SEGMENTS), strict=True):
        (alone,) = translate(engine, [segment])
        assert isinstance(outcome, Translation)
        assert isinstance(alone, Translation)
        assert outcome.score == pytest.approx(alone.score, abs=1e-5)
        assert [each.text for each in outcome.alternatives] == [each.text for each in alone.alternatives]
        assert replace(outcome, score=None, alternatives=()) == replace(alone, score=None, alternatives=())


def test_equals_generate(engine: Engine, checkpoint_path: Path) -> None:
    """Text, length and end of a row are those of a plain `generate` call, its score that of its tokens."""
    model = M2M100ForConditionalGeneration.from_pretrained(checkpoint_path)
    tokenizer = NllbTokenizer.from_pretrained(checkpoint_path)
    for segment, outcome in zip(SEGMENTS, translate(engine, SEGMENTS), strict=True):
        tokenizer.src_lang = segment.source_lang
        inputs = tokenizer(segment.text, return_tensors="pt")
        options = segment.decoding
        prefix = torch.tensor([[2, tokenizer.convert_tokens_to_ids(segment.target_lang)]])
        sequences = model.generate(
            **inputs,
            decoder_input_ids=prefix,
            max_new_tokens=options.max_new_tokens or inputs.input_ids.shape[1] + 4,
            min_new_tokens=options.min_new_tokens,
            num_beams=options.num_beams,
            num_return_sequences=options.num_hypotheses,
            length_penalty=options.length_penalty,
            no_repeat_ngram_size=options.no_repeat_ngram_size,
            repetition_penalty=options.repetition_penalty,
        )
        assert isinstance(outcome, Translation)
        texts = tokenizer.batch_decode(sequences, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert outcome.text == texts[0]
        assert [each.text for each in outcome.alternatives] == (texts if len(texts) > 1 else [])
        best = sequences[0, 2:][sequences[0, 2:] != tokenizer.pad_token_id]
        assert outcome.num_target_tokens == len(best)
        assert outcome.num_source_tokens == inputs.input_ids.shape[1]
        assert outcome.finish == ("stop" if best[-1] == 2 else "length")
        decoder_input_ids = torch.cat([prefix[0], best[:-1]])[None]
        logits = model(**inputs, decoder_input_ids=decoder_input_ids).logits[0, 1:]
        log_probs = logits.log_softmax(-1)[torch.arange(len(best)), best]
        assert outcome.score == pytest.approx(log_probs.mean().item(), abs=1e-5)


def test_info(engine: Engine) -> None:
    """It says what is loaded."""
    assert engine.info.engine == "transformers"
    assert (engine.info.device, engine.info.dtype, engine.info.max_source_tokens) == ("cpu", "float32", 64)
    assert engine.info.num_parameters == 17_664
    assert len(engine.info.languages) == 202


def test_bfloat16_on_request(checkpoint_path: Path) -> None:
    """Another number format is taken as asked; one the engine does not have is refused with those it has."""
    checkpoint = locate_checkpoint(str(checkpoint_path))
    engine = load_engine(checkpoint, engine="transformers", device="cpu", dtype="bfloat16", num_threads=1)
    (outcome,) = translate(engine, SEGMENTS[:1])
    engine.close()
    assert isinstance(outcome, Translation)
    assert engine.info.dtype == "bfloat16"
    with pytest.raises(StartupError, match=r"'int8': this engine accepts auto, float32, bfloat16, float16"):
        load_engine(checkpoint, engine="transformers", device="cpu", dtype="int8", num_threads=1)


class Trap:
    """What a hostile file of weights may hold: unpickled, it would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("unpickled",))


def test_pickled_weights(checkpoint_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights in PyTorch's old format are read as tensors; a gap, or anything else in them, stops the start."""
    path = Path(shutil.copytree(checkpoint_path, tmp_path / "copy"))
    weights = M2M100ForConditionalGeneration.from_pretrained(path).state_dict()
    (path / "model.safetensors").unlink()
    torch.save(weights, path / "pytorch_model.bin")
    engine = load_engine(locate_checkpoint(str(path)), engine="transformers", device="cpu", num_threads=1)
    (outcome,) = translate(engine, [Segment("dog", "eng_Latn", "fra_Latn")])
    engine.close()
    assert isinstance(outcome, Translation)
    torch.save({key: value for key, value in weights.items() if "fc1" not in key}, path / "pytorch_model.bin")
    with pytest.raises(StartupError, match=r"lack 8 tensors, such as .*fc1"):
        load_engine(locate_checkpoint(str(path)), engine="transformers", device="cpu", num_threads=1)
    torch.save({"weight": Trap()}, path / "pytorch_model.bin")
    with pytest.raises(StartupError, match=r"the weights in .* cannot be read"):
        load_engine(locate_checkpoint(str(path)), engine="transformers", device="cpu", num_threads=1)
    assert "unpickled" not in capsys.readouterr().out


class Model:
    """A model that fails on poison, and begins only when it may."""

    def __init__(self) -> None:
        self.may_begin = threading.Event()
        self.begun = threading.Event()
        self.batches: list[list[str]] = []

    def translate(self, rows: Sequence[EncodedSegment], on_step: Callable[[], None]) -> list[Translation]:
        """Return the input."""
        on_step()
        self.begun.set()
        self.may_begin.wait(60)
        texts = [row.segment.text for row in rows]
        self.batches.append(texts)
        if "poison" in texts:
            raise RuntimeError("bad row")
        return [Translation(text) for text in texts]


@pytest.fixture
def model() -> Model:
    """Return the model behind `faked`."""
    return Model()


@pytest.fixture
def faked(model: Model, checkpoint_path: Path) -> Iterator[TransformersEngine]:
    """Return an engine of four rows on a model that a test controls."""
    tokenizer = SegmentTokenizer.from_checkpoint(checkpoint_path)
    info = ModelInfo("fake", "1", "unknown", "transformers", "cpu", "float32", 64, 1, tokenizer.languages)
    engine = TransformersEngine(model.translate, tokenizer, info, max_rows=4)
    yield engine
    model.may_begin.set()
    engine.close()


def submit(engine: Engine, *texts: str, **fields: object) -> list[Future[Outcome]]:
    """Submit one row per text, all with the same further fields of a segment."""
    return engine.submit(
        encode(engine, [replace(Segment(text, "eng_Latn", "fra_Latn"), **fields) for text in texts])  # type: ignore[arg-type]
    )


def test_a_bad_row_fails_alone(faked: TransformersEngine, model: Model, caplog: pytest.LogCaptureFixture) -> None:
    """A failing batch is halved until only the row at fault fails, without a word about the inside."""
    model.may_begin.set()
    with caplog.at_level(logging.CRITICAL):
        outcomes = [future.result(60) for future in submit(faked, "a", "b", "poison", "c")]
    assert [outcome.text if isinstance(outcome, Translation) else None for outcome in outcomes] == ["a", "b", None, "c"]
    assert isinstance(outcomes[2], Failure)
    assert isinstance(outcomes[2].error, EngineError)
    assert outcomes[2].error.message == "the model failed on this segment"
    assert model.batches == [["a", "b", "poison", "c"], ["a", "b"], ["poison", "c"], ["poison"], ["c"]]


def test_room(faked: TransformersEngine, model: Model) -> None:
    """There is room until a batch begins, none while it is decoded, and again when its rows are answered."""
    assert (faked.room(), faked.max_rows) == (4, 4)
    first = submit(faked, "a")
    model.begun.wait(60)
    assert faked.room() == 0
    rooms: list[int] = []
    first[0].add_done_callback(lambda _: rooms.append(faked.room()))
    model.may_begin.set()
    first[0].result(60)
    submit(faked, "b")[0].result(60)
    assert rooms == [4]


def test_steps_count_while_a_batch_is_decoded(faked: TransformersEngine, model: Model) -> None:
    """A long batch is no stuck engine: it shows its steps as they are made, and that one is under way."""
    assert faked.stats() == EngineStats()
    blocker = submit(faked, "first", "second")
    model.begun.wait(60)
    stats = faked.stats()
    assert (stats.num_steps, stats.num_row_steps, stats.num_rows) == (1, 2, 2)
    assert stats.step_s > 0
    model.may_begin.set()
    for future in blocker:
        future.result(60)
    assert faked.stats() == EngineStats(num_steps=1, num_row_steps=2)


def test_batches_are_of_equal_settings(faked: TransformersEngine, model: Model) -> None:
    """What waits is decoded oldest first, with its like, at most `max_rows` rows with beams counted."""
    blocker = submit(faked, "first")
    model.begun.wait(60)
    beams = DecodingOptions(num_beams=2)
    futures = submit(faked, "a", "b", "c", decoding=beams)
    futures += submit(faked, "d", "e", "f", "g", "h")
    futures += submit(faked, "i", decoding=replace(beams, max_new_tokens=7))
    model.may_begin.set()
    for future in blocker + futures:
        future.result(60)
    assert model.batches == [["first"], ["a", "b"], ["c", "i"], ["d", "e", "f", "g"], ["h"]]


def test_nobody_waits_for_these(faked: TransformersEngine, model: Model) -> None:
    """A cancelled row and one past its deadline are dropped before they cost anything."""
    blocker = submit(faked, "first")
    model.begun.wait(60)
    cancelled = submit(faked, "cancelled")[0]
    late = submit(faked, "late", deadline_s=0.0)[0]
    in_time = submit(faked, "in time", deadline_s=4e9)[0]
    assert cancelled.cancel()
    model.may_begin.set()
    outcome = late.result(60)
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, DeadlineExceededError)
    assert isinstance(in_time.result(60), Translation)
    assert isinstance(blocker[0].result(60), Translation)
    assert model.batches == [["first"], ["in time"]]


def test_cancelled_rows_take_no_room(faked: TransformersEngine, model: Model) -> None:
    """They are not counted when a batch ends, which is when the engine is asked for its room."""
    (blocker,) = submit(faked, "first")
    model.begun.wait(60)
    rooms: list[int] = []
    blocker.add_done_callback(lambda _: rooms.append(faked.room()))
    assert all(future.cancel() for future in submit(faked, "a", "b", "c", "d", "e"))
    model.may_begin.set()
    blocker.result(60)
    assert isinstance(submit(faked, "last")[0].result(60), Translation)
    assert rooms == [4]
    assert model.batches == [["first"], ["last"]]


def test_adapters_are_refused(faked: TransformersEngine) -> None:
    """A row that asks for an adapter fails at once instead of being translated without it."""
    outcome = submit(faked, "a", adapter="medical@3")[0].result(timeout=0)
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, UnsupportedOptionError)
    with pytest.raises(UnsupportedOptionError, match=r"adapters need model\.engine = 'inflight'"):
        faked.load_adapter("medical@3", Path("anywhere"))
    assert faked.adapters() == {}


def test_close_answers_everybody(faked: TransformersEngine, model: Model) -> None:
    """The running batch ends as usual; rows that wait or come later are told that the engine is closed."""
    running = submit(faked, "running")[0]
    model.begun.wait(60)
    waiting = submit(faked, "waiting", decoding=DecodingOptions(num_beams=2))[0]
    waiting.add_done_callback(lambda _: model.may_begin.set())
    faked.close()
    assert isinstance(running.result(timeout=0), Translation)
    for future in (waiting, *submit(faked, "later")):
        outcome = future.result(timeout=0)
        assert isinstance(outcome, Failure)
        assert isinstance(outcome.error, UnavailableError)
    assert faked.room() == 0
