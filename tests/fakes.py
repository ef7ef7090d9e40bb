"""Stand-ins that speak the project's own protocols."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.errors import EngineError, SegmentTooLongError, UnavailableError, UnknownAdapterError
from pipelines.protocols import EncodedSegment, EngineStats
from pipelines.types import Failure, LoadedAdapter, ModelInfo, Outcome, Segment, Translation

MODEL = ModelInfo(
    name="fake",
    revision="1",
    licence="Apache-2.0",
    engine="identity",
    device="cpu",
    dtype="float32",
    max_source_tokens=64,
    num_parameters=0,
    languages=("eng_Latn", "fra_Latn", "hin_Deva", "jpn_Jpan", "spa_Latn", "zho_Hans"),
)


class ShoutingStation:
    """Translates by upper-casing; text with `boom` fails, text over `max_chars` is too long for the model."""

    def __init__(self, max_chars: int = 10_000) -> None:
        self.calls: list[list[Segment]] = []
        self._max_chars = max_chars

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator`."""
        self.calls.append(segments)
        return [self._translate(segment) for segment in segments]

    def _translate(self, segment: Segment) -> Outcome:
        if "boom" in segment.text:
            return Failure(EngineError("the model failed on this segment"))
        if len(segment.text) > self._max_chars:
            return Failure(SegmentTooLongError("too many tokens"))
        return Translation(segment.text.upper())


class UnreachableStation:
    """Cannot be reached."""

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator`."""
        raise UnavailableError("a part of the service is restarting", retry_after_s=1.0)


class ManualEngine:
    """Decodes when the test says so: `finish(n)` resolves the oldest n rows. One token per character.

    Any folder is an adapter; `reads` lists the versions whose folders were read.
    """

    def __init__(self, max_rows: int = 4) -> None:
        self.info = MODEL
        self.max_rows = max_rows
        self.batches: list[list[str]] = []
        self.rows: list[tuple[EncodedSegment, Future[Outcome]]] = []
        self.reads: list[str] = []
        self._adapters: dict[str, LoadedAdapter] = {}

    def encode(self, segments: list[Segment]) -> list[EncodedSegment | Failure]:
        """See `Engine`."""
        return [EncodedSegment(segment, tuple(map(ord, segment.text))) for segment in segments]

    def submit(self, rows: list[EncodedSegment]) -> list[Future[Outcome]]:
        """See `Engine`."""
        self.batches.append([row.segment.text for row in rows])
        futures: list[Future[Outcome]] = [Future() for _ in rows]
        for row, future in zip(rows, futures, strict=True):
            adapter = row.segment.adapter
            if adapter is None or adapter in self._adapters:
                self.rows.append((row, future))
            else:
                future.set_result(Failure(UnknownAdapterError(f"adapter {adapter!r} is not loaded", field="adapter")))
        return futures

    def room(self) -> int:
        """See `Engine`."""
        return self.max_rows - len(self.rows)

    def finish(self, num_rows: int) -> None:
        """Resolve the oldest rows with their upper-cased text."""
        done, self.rows = self.rows[:num_rows], self.rows[num_rows:]
        for row, future in done:
            if not future.cancelled():
                future.set_result(Translation(row.segment.text.upper()))

    def load_adapter(self, version: str, folder: Path) -> LoadedAdapter:
        """See `Engine`."""
        if version not in self._adapters:
            self.reads.append(version)
            self._adapters[version] = LoadedAdapter(version, rank=8, num_bytes=1000)
        return self.adapters()[version]

    def unload_adapter(self, version: str) -> bool:
        """See `Engine`."""
        if any(row.segment.adapter == version for row, _ in self.rows):
            return False
        self._adapters.pop(version, None)
        return True

    def adapters(self) -> dict[str, LoadedAdapter]:
        """See `Engine`."""
        users = [row.segment.adapter for row, _ in self.rows]
        return {version: replace(each, num_rows=users.count(version)) for version, each in self._adapters.items()}

    def stats(self) -> EngineStats:
        """See `Engine`."""
        return EngineStats(num_rows=len(self.rows))

    def close(self) -> None:
        """See `Engine`."""


class FakeFleet:
    """A fleet whose translator is healthy or not, as the test says."""

    cache_enabled = True

    def __init__(self) -> None:
        self.model = MODEL
        self.healthy = True
        self.deployment_status = "HEALTHY"

    async def model_info(self) -> ModelInfo:
        """See `Fleet`."""
        return self.model

    async def cache_stats(self) -> dict[str, Any]:
        """See `Fleet`."""
        return {"type": "memory", "entries": 3, "available": True}

    async def clear_cache(self) -> int:
        """See `Fleet`."""
        return 3

    async def deployments(self) -> dict[str, Any]:
        """See `Fleet`."""
        return {"Translator": {"status": self.deployment_status, "replicas": {"RUNNING": 1}}}

    async def batching(self) -> dict[str, Any]:
        """See `Fleet`."""
        return {"num_batches": 2, "num_rows": 6}

    async def profile(self, seconds: float) -> AsyncIterator[bytes]:
        """See `Fleet`."""
        if not self.healthy:
            raise UnavailableError("this replica is being profiled already", retry_after_s=seconds)
        for part in (b"PK", b"archive"):
            yield part

    async def probe(self) -> dict[str, Any]:
        """See `Fleet`."""
        return {"ok": self.healthy, "latency_ms": 1.0, "error": None if self.healthy else "it is gone"}
