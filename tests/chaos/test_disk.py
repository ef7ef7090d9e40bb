"""The disk of all that the service writes fills up under a steady load, truly (ENOSPC), and has room again later."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.access.keys import KeyLimits, KeyRecord, make_key
from deployments.access.meter import month_of
from deployments.access.store import SqliteKeyStore
from pipelines.adapters import AdapterRegistry
from tests.chaos.adapters import Publisher
from tests.chaos.conftest import ENGINE, LoadOn
from tests.chaos.harness import Clients, ClusterProcess
from tests.chaos.table import record

pytestmark = pytest.mark.chaos

_DISK_BYTES = 256 * 2**20
_GLOSSARY = {"source_lang": "eng_Latn", "target_lang": "spa_Latn", "entries": {"ticket": "boleto"}}


class SmallDisk:
    """A file system of its own, which a test may fill to the last byte."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Leave no byte."""
        with (self.folder / "ballast").open("ab", buffering=0) as ballast:
            for num_bytes in (2**20, 4096, 1):
                while _fits(ballast, bytes(num_bytes)):
                    pass

    def free(self) -> None:
        """Have room again."""
        (self.folder / "ballast").unlink()


def _fits(file: FileIO, content: bytes) -> bool:
    try:
        file.write(content)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


@pytest.fixture(scope="module")
def disk() -> Iterator[SmallDisk]:
    """A file system in memory. Its path is short: Ray puts sockets there."""
    folder = Path(tempfile.mkdtemp(prefix="disk-", dir="/tmp"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("only root may mount a file system to fill it up")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@pytest.fixture(scope="module")
def publisher(demo_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    """Publishes to a registry on another disk; the first version of `medical` is live."""
    folder = tmp_path_factory.mktemp("registry")
    publisher = Publisher(AdapterRegistry(str(folder / "registry")), ENGINE, demo_model_path, folder)
    publisher.publish("medical")
    return publisher


@pytest.fixture(scope="module")
def key(disk: SmallDisk) -> tuple[str, KeyRecord]:
    """The key that the load shows."""
    text, record = make_key("load", ("translate", "glossaries"), KeyLimits(characters_per_month=10**9))
    asyncio.run(_store(disk).put(record))
    return text, record


def _store(disk: SmallDisk) -> SqliteKeyStore:
    return SqliteKeyStore(disk.folder / "keys.sqlite3")


@pytest.fixture(scope="module")
def settings(disk: SmallDisk, publisher: Publisher, key: tuple[str, KeyRecord]) -> dict[str, Any]:
    """Keys, their usage, glossaries and copies of adapters are on that disk."""
    return {
        "access.keys": "required",
        "access.sqlite_file": str(disk.folder / "keys.sqlite3"),
        "access.key_lifetime_s": 0.1,
        "glossaries.sqlite_file": str(disk.folder / "glossaries.sqlite3"),
        "adapters.registry": publisher.registry.uri,
        "adapters.watch_interval_s": 0.5,
        "adapters.copies_dir": str(disk.folder / "copies"),
    }


@pytest.fixture(scope="module")
def variables(disk: SmallDisk) -> dict[str, str]:
    """So are the weights that the engine keeps, and all that Ray writes: logs, sockets, spilled objects."""
    return {"XDG_CACHE_HOME": str(disk.folder / "cache"), "RAY_TMPDIR": str(disk.folder)}


@pytest.fixture(scope="module")
def clients(key: tuple[str, KeyRecord]) -> Clients:
    """Every other one asks for the adapter."""
    return Clients(headers={"X-API-Key": key[0]}, adapters=(None, "medical"))


async def test_a_full_disk_stops_what_is_new_and_nothing_else(
    cluster: ClusterProcess, disk: SmallDisk, key: tuple[str, KeyRecord], publisher: Publisher, load: LoadOn
) -> None:
    """Translations go on, glossaries are refused with 503; later a new adapter is served and usage is complete."""
    before = await _num_characters(disk, key[1])
    async with load() as running:
        url = f"http://127.0.0.1:{running.ports[0]}/api/v1"
        assert await _put_glossary(url, key[0], "early") == 201
        assert any(disk.folder.glob("ray/session_*"))
        running.fault()
        await asyncio.to_thread(disk.fill)
        refused = await _put_glossary(url, key[0], "late")
        version = await asyncio.to_thread(publisher.publish, "medical")
        await running.until(240)
        assert version not in running.report.versions
        await asyncio.to_thread(disk.free)
        accepted = await _put_glossary(url, key[0], "late")
        await running.until_served(version)
        await running.until(60)
    record("Disk full, freed later", running.report)
    assert (refused, accepted) == (503, 201)
    assert not running.report.wrong
    assert not running.report.failures
    assert not running.report.first_try_errors
    assert await _num_characters(disk, key[1]) - before == running.report.num_characters


async def test_a_translator_dies_while_the_disk_is_full(cluster: ClusterProcess, disk: SmallDisk, load: LoadOn) -> None:
    """The other does its work; it is replaced at the latest when there is room again."""
    async with load() as running:
        await asyncio.to_thread(disk.fill)
        await running.until(30)
        running.fault()
        await asyncio.to_thread(cluster.kill, "Translator")
        await running.until(240)
        await asyncio.to_thread(disk.free)
    record("SIGKILL of a translator replica while the disk is full", running.report)
    assert not running.report.wrong
    assert not running.report.failures
    assert not running.report.first_try_errors


async def _put_glossary(url: str, key: str, name: str) -> int:
    async with httpx.AsyncClient(timeout=60, headers={"X-API-Key": key}) as client:
        answer = await client.post(f"{url}/glossaries", json={"id": name, **_GLOSSARY})
        return answer.status_code


async def _num_characters(disk: SmallDisk, record: KeyRecord) -> int:
    return (await _store(disk).usage(record.id, month_of(datetime.now(UTC)))).num_characters
