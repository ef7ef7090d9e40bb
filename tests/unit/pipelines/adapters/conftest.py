"""A registry in a folder, an adapter to publish, and what a replica keeps of it in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipelines.adapters import AdapterRegistry
from pipelines.adapters.keeper import AdapterKeeper
from pipelines.breaker import CircuitBreaker
from tests.adapter_files import draft, write_adapter
from tests.gcs_server import GcsServer, running_gcs
from tests.unit.pipelines.adapters.keeping import Clock, FileEngine, KeeperMaker
from tests.unit.pipelines.adapters.losing_files import LosingFiles


@pytest.fixture
def registry(tmp_path: Path) -> AdapterRegistry:
    """An empty registry; while it is away it is probed at every turn."""
    return AdapterRegistry(str(tmp_path / "registry"), breaker=CircuitBreaker(cool_down_s=0))


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsServer]:
    """A Google Cloud Storage; the variables that lead there are set."""
    with running_gcs() as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})  # what fsspec read when it was imported
        yield server
        fsspec.get_filesystem_class("gs").clear_instance_cache()


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """An empty folder that every user of this machine can reach, as `tmp_path` is not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def losing() -> Iterator[type[LosingFiles]]:
    """An object store that loses answers; `losing://registry` leads there."""
    fsspec.register_implementation("losing", LosingFiles, clobber=True)
    yield LosingFiles
    for kept in (LosingFiles.store, LosingFiles.answers_to_lose):
        kept.clear()


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A sound adapter."""
    return write_adapter(tmp_path / "adapter")


@pytest.fixture
def engine() -> FileEngine:
    """An engine without adapters."""
    return FileEngine()


@pytest.fixture
def clock() -> Clock:
    """The keeper's clock."""
    return Clock()


@pytest.fixture
def keeper_of(registry: AdapterRegistry, engine: FileEngine, tmp_path: Path, clock: Clock) -> KeeperMaker:
    """Make a keeper; `room_for` is how many of the test's adapters fit."""

    def make(room_for: float = 100, **options: Any) -> AdapterKeeper:
        size = registry.manifest("medical", 1).num_bytes if registry.versions("medical") else 1
        return AdapterKeeper(
            engine,
            options.pop("registry", registry),
            tmp_path / "copies",
            max_bytes=int(room_for * size),
            replica="r1",
            clock_s=clock,
            **options,
        )

    return make


@pytest.fixture
def publish(registry: AdapterRegistry, adapter: Path) -> Callable[..., None]:
    """Publish versions of `medical`, or of another name."""

    def publish(count: int = 1, name: str = "medical", **said: Any) -> None:
        for _ in range(count):
            registry.publish(name, adapter, draft(**said))

    return publish
