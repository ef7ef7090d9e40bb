"""Warm-up: everything is translated once, a failure is fatal, and the token budget is the measured one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.admission import weighed_tokens
from pipelines.engine.identity import IdentityEngine
from pipelines.engine.warmup import SAMPLES, choose_token_budget, warm_up
from pipelines.errors import StartupError
from pipelines.protocols import EncodedSegment
from pipelines.types import Failure, LoadedAdapter, ModelInfo, Outcome, Segment


class TimedEngine:
    """An `Engine` with a clock of its own: a batch takes `fixed_s`, and `token_s` per padded token over `free`."""

    def __init__(self, *, fixed_s: float = 1.0, token_s: float = 0.01, free: int = 0, max_rows: int = 32) -> None:
        self._inner = IdentityEngine(max_rows=max_rows)
        self._fixed_s = fixed_s
        self._token_s = token_s
        self._free = free
        self.info: ModelInfo = replace(self._inner.info, num_parameters=1_000_000)
        self.max_rows = max_rows
        self.now_s = 0.0
        self.batches: list[list[EncodedSegment]] = []

    def encode(self, segments: Sequence[Segment]) -> list[EncodedSegment | Failure]:
        """See `Engine.encode`."""
        self.now_s += 0.25
        return self._inner.encode(segments)

    def submit(self, rows: Sequence[EncodedSegment]) -> list[Future[Outcome]]:
        """See `Engine.submit`."""
        self.batches.append(list(rows))
        padded = len(rows) * max(row.num_tokens for row in rows)
        self.now_s += self._fixed_s + self._token_s * max(0, padded - self._free)
        return self._inner.submit(rows)

    def room(self) -> int:
        """See `Engine.room`."""
        return self.max_rows

    def load_adapter(self, version: str, folder: Path) -> LoadedAdapter:
        """See `Engine.load_adapter`."""
        return self._inner.load_adapter(version, folder)

    def unload_adapter(self, version: str) -> bool:
        """See `Engine.unload_adapter`."""
        return self._inner.unload_adapter(version)

    def adapters(self) -> dict[str, LoadedAdapter]:
        """See `Engine.adapters`."""
        return self._inner.adapters()

    def close(self) -> None:
        """See `Engine.close`."""

    def clock(self) -> float:
        """Return the engine's own time."""
        return self.now_s


def test_report() -> None:
    """Every built-in and custom sample is translated; each stage's time is its own."""
    engine = TimedEngine(fixed_s=2.0, token_s=0.0, max_rows=4)
    custom = Segment("my own sample", "deu_Latn", "eng_Latn")
    report = warm_up(engine, [custom], padded_token_budget=77, clock=engine.clock)
    assert report.num_samples == len(SAMPLES) + 1
    assert (report.first_request_s, report.warm_request_s) == (2.25, 2.25)
    assert (report.tokenize_s, report.translate_s) == (0.25, 4.0)
    assert (report.budget_s, report.padded_token_budget) == (0.0, 77)
    assert [len(batch) for batch in engine.batches] == [1, 4, 3, 4, 1]
    assert engine.batches[2][-1].segment == custom


def test_on_a_gpu_all_common_sizes_are_seen_before_speed_is_measured() -> None:
    """Such an engine records what it does with a size at its first use: neither callers nor the measure wait for it."""
    engine = TimedEngine(max_rows=6)
    engine.info = replace(engine.info, engine="inflight", device="cuda:0")
    report = warm_up(engine, padded_token_budget=77, clock=engine.clock)
    sizes = [(len(batch), len(batch[0].token_ids)) for batch in engine.batches[2:-2]]
    assert sizes == [(rows, tokens) for rows in (6, 4, 2, 1) for tokens in (64, 32, 16)]
    assert report.sizes_s > 0


def test_speed_is_that_of_a_full_batch() -> None:
    """As many rows as the engine decodes at once, of several languages; counted as admission counts them."""
    engine = TimedEngine(fixed_s=2.0, token_s=0.0, max_rows=8)
    report = warm_up(engine, padded_token_budget=1, clock=engine.clock)
    full = engine.batches[-2]
    assert len(full) == 8
    assert len({row.segment.target_lang for row in full}) == len(SAMPLES)
    assert report.full_load_s == 2.0
    assert report.tokens_per_s == sum(map(weighed_tokens, full)) / 2.0


@pytest.mark.parametrize(
    ("languages", "pairs"),
    [
        (["eng_Latn", "hin_Deva", "deu_Latn"], {("eng_Latn", "hin_Deva"), ("hin_Deva", "eng_Latn")}),
        (["deu_Latn", "ita_Latn"], {("deu_Latn", "ita_Latn")}),
    ],
)
def test_samples_fit_the_model(languages: list[str], pairs: set[tuple[str, str]]) -> None:
    """Only languages that the model has are used; a model of others gets a sample all the same."""
    engine = TimedEngine()
    engine.info = replace(engine.info, languages=tuple(languages))
    warm_up(engine, padded_token_budget=1)
    segments = [row.segment for batch in engine.batches for row in batch]
    assert {(segment.source_lang, segment.target_lang) for segment in segments} == pairs


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        (Segment("poison", "eng_Latn", "fra_Latn"), "the model failed on this segment"),
        (Segment("dog", "eng_Latn", "xxx_Latn"), "the model has no language 'xxx_Latn'"),
    ],
)
def test_a_failing_sample_is_fatal(sample: Segment, why: str) -> None:
    """A sample that is not translated stops the start, with the sample and the reason."""
    engine = IdentityEngine(fail_on="poison")
    with pytest.raises(StartupError, match=f"'{sample.text}' from eng_Latn to {sample.target_lang}: {why}"):
        warm_up(engine, [sample])


def test_budget_is_where_throughput_stops_growing() -> None:
    """If 1024 padded tokens cost as much as one, and more cost their share, 1024 is the budget."""
    engine = TimedEngine(fixed_s=1.0, token_s=1 / 1024, free=1024)
    assert choose_token_budget(engine, memory_bound_bytes=1e12, clock=engine.clock) == 1024


def test_budget_is_small_where_size_gains_nothing() -> None:
    """If every token costs the same, the smallest batch is as good as any, and few are tried."""
    engine = TimedEngine(fixed_s=0.0001, token_s=0.001)
    assert choose_token_budget(engine, memory_bound_bytes=1e12, clock=engine.clock) == 128
    assert {len(batch) for batch in engine.batches} == {4, 8, 16}


def test_budget_keeps_nobody_waiting_for_long() -> None:
    """However much larger batches gain: rows that are being decoded wait for none of over a second."""
    engine = TimedEngine(fixed_s=0.5, token_s=0.5 / 1024)
    assert choose_token_budget(engine, memory_bound_bytes=1e12, clock=engine.clock) == 1024
    assert max(len(batch) * batch[0].num_tokens for batch in engine.batches) == 2048
    slow = TimedEngine(fixed_s=5.0)
    assert choose_token_budget(slow, memory_bound_bytes=1e12, clock=slow.clock) == 128


def test_budget_of_static_batches_may_take_long() -> None:
    """Nobody is decoded beside them, and a small one wastes the device."""
    engine = TimedEngine(fixed_s=5.0, token_s=0.0)
    engine.info = replace(engine.info, engine="transformers")
    assert choose_token_budget(engine, memory_bound_bytes=1e12, clock=engine.clock) == 32 * 1024


def test_budget_fits_memory_and_model() -> None:
    """However much larger batches gain: never over the memory bound, the engine's rows and the model's length."""
    engine = TimedEngine(token_s=0.0)
    assert choose_token_budget(engine, memory_bound_bytes=12_000 * 1000, clock=engine.clock) == 512
    assert choose_token_budget(engine, memory_bound_bytes=1, clock=engine.clock) == 128
    assert choose_token_budget(engine, memory_bound_bytes=1e12, clock=engine.clock) == 32 * 1024
    assert max(len(batch) for batch in engine.batches) == 32
    assert max(row.num_tokens for batch in engine.batches for row in batch) == 1024


def test_measured_rows_are_full() -> None:
    """What is measured are rows of exactly the size that is counted, the slow ones only once."""
    engine = TimedEngine(fixed_s=0.001, token_s=0.01, max_rows=1)
    assert choose_token_budget(engine, memory_bound_bytes=1e12, clock=engine.clock) == 32
    assert [row.num_tokens for batch in engine.batches for row in batch] == [32, 32, 64, 128]
