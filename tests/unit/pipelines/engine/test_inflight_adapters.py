"""Adapters in a running engine: loaded beside decoding rows, kept while rows use them, missing for one row alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.engine.batch import Finished
from pipelines.engine.inflight import InflightEngine
from pipelines.engine.lora import Adapter
from pipelines.errors import InvalidAdapterError, UnavailableError, UnknownAdapterError
from pipelines.types import DecodingOptions, Failure, LoadedAdapter, Translation
from tests.tiny_adapter import make_tiny_adapter
from tests.unit.pipelines.engine.running import WAIT_S, FailingBatch, encode, engine_parts, load, translate

LONG = DecodingOptions(max_new_tokens=60, min_new_tokens=60)


@pytest.fixture(scope="module")
def adapter_paths(checkpoint_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the folders of two adapters of different rank."""
    root = tmp_path_factory.mktemp("adapters")
    return [make_tiny_adapter(root / str(rank), checkpoint_path, r=rank, lora_alpha=8, seed=rank) for rank in (4, 8)]


@pytest.fixture
def engine(checkpoint_path: Path) -> Iterator[InflightEngine]:
    """Return a running engine of eight rows."""
    engine = load(checkpoint_path)
    yield engine
    engine.close()


def test_rows_of_many_adapters_share_a_batch(engine: InflightEngine, adapter_paths: list[Path]) -> None:
    """Each row gives what it gives alone, and the adapters give different things."""
    for rank, path in zip((4, 8), adapter_paths, strict=True):
        loaded = engine.load_adapter(f"medical@{rank}", path)
        assert (loaded.version, loaded.rank, loaded.num_rows) == (f"medical@{rank}", rank, 0)
        assert loaded.num_bytes > 0
    versions = [None, "medical@4", "medical@8", None, "medical@8", "medical@4"]
    rows = [encode(engine, "hello my friend", adapter=version) for version in versions]
    outcomes = translate(engine, *rows)
    texts = [outcome.text for outcome in outcomes if isinstance(outcome, Translation)]
    alone = [outcome.text for row in rows for outcome in translate(engine, row) if isinstance(outcome, Translation)]
    assert texts == alone
    assert len(set(texts)) == 3


def test_an_adapter_that_is_not_loaded_fails_its_row_alone(engine: InflightEngine, adapter_paths: list[Path]) -> None:
    """Never loaded, or not any more; the row beside it is translated."""
    missing, kept = translate(engine, encode(engine, adapter="medical@4"), encode(engine))
    assert isinstance(missing, Failure)
    assert isinstance(missing.error, UnknownAdapterError)
    assert "'medical@4' is not loaded" in missing.error.message
    assert isinstance(kept, Translation)
    engine.load_adapter("medical@4", adapter_paths[0])
    assert engine.unload_adapter("medical@4")
    (gone,) = translate(engine, encode(engine, adapter="medical@4"))
    assert isinstance(gone, Failure)


def test_adapters_come_and_go_while_rows_decode(engine: InflightEngine, adapter_paths: list[Path]) -> None:
    """Rows under way, some of them still waiting, end as they began, whatever is loaded and unloaded meanwhile."""
    engine.load_adapter("medical@4", adapter_paths[0])
    row = encode(engine, adapter="medical@4", decoding=LONG)
    (expected,) = translate(engine, row)
    running = engine.submit([row] * 20)
    engine.load_adapter("medical@8", adapter_paths[1])
    assert isinstance(translate(engine, encode(engine, adapter="medical@8"))[0], Translation)
    assert engine.unload_adapter("medical@8")
    assert isinstance(expected, Translation)
    for outcome in (future.result(WAIT_S) for future in running):
        assert isinstance(outcome, Translation)
        assert outcome.text == expected.text
        assert outcome.score == pytest.approx(expected.score, abs=1e-5)


class HeldBatch(FailingBatch):
    """A batch whose steps wait until the test lets them."""

    def __init__(self) -> None:
        super().__init__()
        self.may_step = threading.Event()

    def step(self) -> list[Finished]:
        """Finish all rows, once it may."""
        self.may_step.wait(WAIT_S)
        return super().step()


def test_an_adapter_stays_until_its_last_row_is_answered(checkpoint_path: Path) -> None:
    """A beam counts its rows, a cancelled row counts until it is dropped; whoever has the answer may unload."""
    batch: Any = HeldBatch()
    engine = InflightEngine([batch], **engine_parts(checkpoint_path))
    engine.load_adapter("medical@3", checkpoint_path)
    wide = encode(engine, adapter="medical@3", decoding=DecodingOptions(num_beams=3))
    one = encode(engine, adapter="medical@3")
    cancelled, first, last = engine.submit([one, wide, one])
    unloaded: list[bool] = []
    last.add_done_callback(lambda _: unloaded.append(engine.unload_adapter("medical@3")))
    assert engine.adapters() == {"medical@3": LoadedAdapter("medical@3", rank=4, num_bytes=0, num_rows=5)}
    cancelled.cancel()
    assert not engine.unload_adapter("medical@3")
    batch.may_step.set()
    first.result(WAIT_S)
    last.result(WAIT_S)
    engine.close()
    assert unloaded == [True]
    assert engine.adapters() == {}


def test_reading_an_adapter_does_not_hold_up_the_engine(checkpoint_path: Path) -> None:
    """Rows are decoded to their end while a load is stuck in its reading."""
    may_read, reading = threading.Event(), threading.Event()

    def read_slowly(folder: Path) -> Any:
        reading.set()
        may_read.wait(WAIT_S)
        raise InvalidAdapterError("damaged")

    batch: Any = FailingBatch()
    engine = InflightEngine([batch], **{**engine_parts(checkpoint_path), "read_adapter": read_slowly})
    failures: list[str] = []

    def load_adapter() -> None:
        try:
            engine.load_adapter("medical@3", checkpoint_path)
        except InvalidAdapterError as error:
            failures.append(error.message)

    loading = threading.Thread(target=load_adapter)
    loading.start()
    reading.wait(WAIT_S)
    assert len(translate(engine, *[encode(engine)] * 10)) == 10
    may_read.set()
    loading.join()
    assert failures == ["damaged"]
    assert engine.adapters() == {}
    engine.close()


def test_the_thread_that_reads_an_adapter_ends(checkpoint_path: Path) -> None:
    """It may have got OpenMP workers for its operations; were they to stay, those of the engine would sleep more."""
    readers: list[threading.Thread] = []

    def read(folder: Path) -> Adapter:
        readers.append(threading.current_thread())
        return Adapter(4, {})

    batch: Any = FailingBatch()
    engine = InflightEngine([batch], **{**engine_parts(checkpoint_path), "read_adapter": read})
    engine.load_adapter("medical@3", checkpoint_path)
    engine.close()
    assert [reader.is_alive() for reader in readers] == [False]


def test_a_failing_row_gives_its_adapter_back(checkpoint_path: Path) -> None:
    """Whether it failed to be encoded, failed in a step, or was cut off by the end of the engine."""
    for batch in (FailingBatch(poison=2, fails_to_join=True), FailingBatch(poison=2), FailingBatch()):
        parts: dict[str, Any] = engine_parts(checkpoint_path)
        engine = InflightEngine([batch], **parts)  # type: ignore[arg-type]
        engine.load_adapter("medical@3", checkpoint_path)
        futures = engine.submit([encode(engine, adapter="medical@3")] * 3)
        engine.close()
        assert all(isinstance(future.result(WAIT_S), Failure) for future in futures)
        assert engine.adapters()["medical@3"].num_rows == 0


def test_a_closed_engine_loads_nothing(checkpoint_path: Path, adapter_paths: list[Path]) -> None:
    """It says so."""
    engine = load(checkpoint_path)
    engine.close()
    with pytest.raises(UnavailableError):
        engine.load_adapter("medical@4", adapter_paths[0])


def test_an_invalid_adapter_is_not_loaded(engine: InflightEngine, tmp_path: Path) -> None:
    """The error reaches the caller; rows that name it are refused."""
    with pytest.raises(InvalidAdapterError, match=r"the adapter has no adapter_model\.safetensors"):
        engine.load_adapter("medical@4", tmp_path)
    assert engine.adapters() == {}
