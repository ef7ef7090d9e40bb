"""What a replica says of the adapters that it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class KeeperReport:
    """What a replica holds.

    Attributes:
        replica: Its name.
        base_revision: Of its model.
        held: Loaded versions and their bytes.
        problems: Versions that could not be loaded, and why.
        registry_problem: Why the registry could not be read, or None.
    """

    replica: str
    base_revision: str
    held: Mapping[str, int]
    problems: Mapping[str, str]
    registry_problem: str | None = None


class KeeperObserver(Protocol):
    """Is told of loads. Quick, and never raises."""

    def adapter_loaded(self, version: str, duration_s: float) -> None:
        """A version can be used now."""
        ...

    def adapter_failed(self, version: str) -> None:
        """A version could not be loaded."""
        ...
