"""Which adapters are in memory: read once, kept while rows use them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipelines.engine.residents import ResidentAdapters
from pipelines.errors import InvalidAdapterError, UnknownAdapterError
from pipelines.types import LoadedAdapter


@dataclass
class Adapter:
    """Something that takes memory."""

    rank: int = 4
    num_bytes: int = 100


def test_a_version_is_read_once_for_all_who_ask_meanwhile() -> None:
    """Those who ask while it is being read wait for the one reading."""
    residents: ResidentAdapters[Adapter] = ResidentAdapters()
    reads, may_read = [], threading.Event()

    def read() -> Adapter:
        reads.append(1)
        may_read.wait()
        return Adapter()

    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(residents.load, "medical@3", read) for _ in range(4)]
        may_read.set()
        assert [load.result() for load in loads] == [LoadedAdapter("medical@3", 4, 100, 0)] * 4
    assert reads == [1]


def test_a_failed_reading_fails_all_who_waited_and_is_tried_again() -> None:
    """An error is nobody's for ever."""
    residents: ResidentAdapters[Adapter] = ResidentAdapters()
    reading, may_fail = threading.Event(), threading.Event()

    def fail() -> Adapter:
        reading.set()
        may_fail.wait()
        raise InvalidAdapterError("damaged")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(residents.load, "medical@3", fail)
        reading.wait()
        second = pool.submit(residents.load, "medical@3", fail)
        may_fail.set()
        for load in (first, second):
            with pytest.raises(InvalidAdapterError, match="damaged"):
                load.result()
    assert residents.snapshot() == {}
    assert residents.load("medical@3", Adapter).rank == 4


class ResidentsMachine(RuleBasedStateMachine):
    """Random loads, unloads, and rows that come and go, against a plain model."""

    def __init__(self) -> None:
        super().__init__()
        self.residents: ResidentAdapters[Adapter] = ResidentAdapters()
        self.model: dict[str, int] = {}
        self.rows: list[tuple[str, int]] = []

    versions = st.sampled_from(["medical@1", "medical@2", "legal@1"])

    @rule(version=versions)
    def load(self, version: str) -> None:
        """Load a version, or find it loaded with its rows."""
        assert self.residents.load(version, Adapter).num_rows == self.model.setdefault(version, 0)

    @rule(version=versions)
    def unload(self, version: str) -> None:
        """Unload a version unless a row uses it."""
        assert self.residents.unload(version) == (self.model.get(version, 0) == 0)
        if self.model.get(version) == 0:
            del self.model[version]

    @rule(version=versions, num_rows=st.integers(1, 5))
    def begin_row(self, version: str, num_rows: int) -> None:
        """Begin rows of a loaded version; of another they are refused."""
        if version not in self.model:
            with pytest.raises(UnknownAdapterError, match=version):
                self.residents.acquire(version, num_rows)
            return
        assert self.residents.acquire(version, num_rows) == Adapter()
        self.model[version] += num_rows
        self.rows.append((version, num_rows))

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def end_row(self, data: st.DataObject) -> None:
        """End rows in any order."""
        version, num_rows = self.rows.pop(data.draw(st.integers(0, len(self.rows) - 1)))
        self.residents.release(version, num_rows)
        self.model[version] -= num_rows

    @invariant()
    def counts_are_right(self) -> None:
        """The snapshot says who is loaded and how many rows each has."""
        counts = {version: loaded.num_rows for version, loaded in self.residents.snapshot().items()}
        assert counts == self.model


TestResidents = ResidentsMachine.TestCase
