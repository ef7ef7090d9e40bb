"""A station whose segments find their adapters loaded: who has to wait waits for its own, and for no other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pipelines.adapters.keeper import AdapterKeeper
from pipelines.errors import TranslationError
from pipelines.protocols import SegmentTranslator
from pipelines.types import Failure, Outcome, Segment


class AdapterStation:
    """Holds each segment's adapter from before the station behind gets it until its outcome is there.

    Args:
        station: Translates the segments.
        keeper: Of the same engine.
    """

    def __init__(self, station: SegmentTranslator, keeper: AdapterKeeper) -> None:
        self._station = station
        self._keeper = keeper

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator.translate`."""
        versions = {segment.adapter for segment in segments}
        if versions == {None}:
            return await self._station.translate(segments)
        groups = {
            version: [index for index, segment in enumerate(segments) if segment.adapter == version]
            for version in versions
        }
        async with asyncio.TaskGroup() as group:
            tasks = {
                version: group.create_task(self._translate_group(version, [segments[index] for index in indices]))
                for version, indices in groups.items()
            }
        outcomes: dict[int, Outcome] = {}
        for version, indices in groups.items():
            outcomes.update(zip(indices, tasks[version].result(), strict=True))
        return [outcomes[index] for index in range(len(segments))]

    async def _translate_group(self, version: str | None, segments: list[Segment]) -> Sequence[Outcome]:
        if version is None:
            return await self._station.translate(segments)
        try:
            async with self._keeper.using(version):
                return await self._station.translate(segments)
        except TranslationError as error:
            return [Failure(error) for _ in segments]
