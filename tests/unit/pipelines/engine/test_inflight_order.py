"""Who is decoded next, and how many at once: what the in-flight engine tells its lanes of each row."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.engine.footprint import Footprint
from pipelines.engine.inflight import InflightEngine
from pipelines.engine.residents import ResidentAdapters
from pipelines.engine.rows import RowDesk
from pipelines.engine.scheduler import Ticket
from pipelines.protocols import EncodedSegment
from pipelines.types import DecodingOptions, Segment
from tests.unit.pipelines.engine.running import WAIT_S, GatedBatch, encode, engine_parts


@contextmanager
def _running(parts: dict[str, Any], batches: list[Any], **settings: Any) -> Iterator[InflightEngine]:
    """An engine that ends whatever the test finds: its steps stop waiting once it is to close."""
    engine = InflightEngine(batches, **parts, **settings)
    try:
        yield engine
    finally:
        for batch in batches:
            batch.step = lambda: []
            batch.gate.release()
        engine.close()


@pytest.mark.parametrize(
    ("first", "urgent"),
    [({"priority": 1}, {"priority": 0}), ({"deadline_s": 9e9}, {"deadline_s": 8e9}), ({}, {"deadline_s": 9e9})],
)
def test_the_more_urgent_row_joins_first(checkpoint_path: Path, first: dict[str, Any], urgent: dict[str, Any]) -> None:
    """Of two that wait behind a full batch, whichever came first."""
    batch = GatedBatch()
    with _running(engine_parts(checkpoint_path), [batch]) as engine:
        futures = engine.submit([encode(engine)] * 8)
        assert batch.steps.get(timeout=WAIT_S) == [1, 2, 3, 4, 5, 6, 7, 8]
        engine.submit([encode(engine, **first), encode(engine, **urgent)])
        futures[0].cancel()
        batch.gate.release()
        assert batch.steps.get(timeout=WAIT_S) == [2, 3, 4, 5, 6, 7, 8, 10]


@pytest.mark.parametrize("num_lanes", [1, 2])
def test_lanes_share_the_memory(checkpoint_path: Path, num_lanes: int) -> None:
    """Of four rows for each lane only two are decoded at once: there is memory for no more."""
    parts = engine_parts(checkpoint_path)
    row, ticket = _row_and_ticket(parts)
    two = Footprint({1: 2}, ticket.num_source_tokens, ticket.num_target_tokens).num_tokens
    batches = [GatedBatch() for _ in range(num_lanes)]
    with _running(parts, batches, max_cached_tokens=two * num_lanes, rows_to_spread=0) as engine:
        engine.submit([row] * (4 * num_lanes))
        assert [len(batch.steps.get(timeout=WAIT_S)) for batch in batches] == [2] * num_lanes


def test_a_ticket_says_how_long_a_row_may_become(checkpoint_path: Path) -> None:
    """All that it remembers: the source, and of the target the language, the prefix and what is generated."""
    parts = engine_parts(checkpoint_path)
    row, ticket = _row_and_ticket(parts, decoding=DecodingOptions(target_prefix="la gare", max_new_tokens=9))
    (prefix,) = parts["tokenizer"].encode_target(["la gare"])
    assert ticket.num_source_tokens == row.num_tokens
    assert ticket.num_target_tokens == 1 + len(prefix) + 9


def _row_and_ticket(parts: dict[str, Any], **settings: Any) -> tuple[EncodedSegment, Ticket]:
    segment = Segment("good morning", "eng_Latn", "fra_Latn", **settings)
    (row,) = parts["tokenizer"].encode([segment])
    desk = RowDesk(parts["tokenizer"], ResidentAdapters(), parts["max_rows"], parts["bound"])
    return row, desk.accept(row, Future()).ticket
