"""Many publishers at once, and dying ones, as real processes, on a disk, an S3 and a GCS server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import fsspec
import pytest

from pipelines.adapters import AdapterRegistry
from pipelines.adapters.manifest import FILES
from pipelines.errors import AdapterConflictError, InvalidAdapterError, UnavailableError
from tests.adapter_files import draft, write_adapter
from tests.gcs_server import GcsServer
from tests.s3_server import running_s3

_ROOT = Path(__file__).parents[4]
_COMMAND = [sys.executable, "-m", "tests.unit.pipelines.adapters.publisher"]


@pytest.fixture
def s3_uri(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on a server in a process of its own; the variables that lead there are set."""
    with running_s3() as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        fsspec.filesystem("s3").mkdir("adapters-bucket")
        yield "s3://adapters-bucket/nllb"
        fsspec.filesystem("s3").clear_instance_cache()


@pytest.fixture
def gcs_uri(gcs: GcsServer) -> str:
    """A bucket on that server."""
    return "gs://adapters-bucket/nllb"


def _publish_at_once(uri: str, tmp_path: Path, num_publishers: int, count: int) -> dict[int, list[int]]:
    """Let publishers with an adapter each begin together; return the versions that each was given."""
    with ExitStack() as stack:
        processes = []
        for seed in range(num_publishers):
            folder = write_adapter(tmp_path / f"adapter-{seed}", seed=seed)
            command = [*_COMMAND, "many", uri, str(folder), str(count), str(seed)]
            process = subprocess.Popen(
                command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ.copy()
            )
            processes.append(stack.enter_context(process))
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        return {
            seed: list(map(int, output.split()))
            for seed, output in enumerate([process.communicate()[0] for process in _all_started(processes)])
        }


def _all_started(processes: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


def _check_each_got_its_own(uri: str, tmp_path: Path, given: dict[int, list[int]], num_versions: int) -> None:
    registry = AdapterRegistry(uri)
    assert sorted(version for versions in given.values() for version in versions) == list(range(1, num_versions + 1))
    assert registry.versions("medical") == list(range(1, num_versions + 1))
    for seed, versions in given.items():
        for version in versions:
            assert registry.verify("medical", version).seed == seed
            copy = registry.fetch("medical", version, tmp_path / "copies")
            for file in FILES:
                assert (copy / file).read_bytes() == (tmp_path / f"adapter-{seed}" / file).read_bytes()


def test_publishers_at_once_get_versions_of_their_own(tmp_path: Path) -> None:
    """Three processes that publish the same name as fast as they can: no number twice, no file mixed."""
    uri = str(tmp_path / "registry")
    given = _publish_at_once(uri, tmp_path, num_publishers=3, count=5)
    _check_each_got_its_own(uri, tmp_path, given, 15)


@pytest.mark.parametrize("bucket", ["s3_uri", "gcs_uri"])
def test_publishers_at_once_on_object_storage(tmp_path: Path, request: pytest.FixtureRequest, bucket: str) -> None:
    """The same over HTTP, by conditional puts and over listings of several pages; aliases and refusals too."""
    uri: str = request.getfixturevalue(bucket)
    given = _publish_at_once(uri, tmp_path, num_publishers=2, count=3)
    _check_each_got_its_own(uri, tmp_path, given, 6)
    registry = AdapterRegistry(uri)
    registry.promote("medical", 1)
    registry.promote("medical", 2, expected_live=1)
    with pytest.raises(AdapterConflictError, match="live is 2, not 1"):
        AdapterRegistry(uri).promote("medical", 3, expected_live=1)
    assert AdapterRegistry(uri).rollback("medical").live == 1
    filesystem, root = fsspec.url_to_fs(uri)
    filesystem.pipe_file(f"{root}/adapters/medical/4/adapter_config.json", b"{}")
    with pytest.raises(InvalidAdapterError, match=r"adapter_config\.json"):
        registry.verify("medical", 4)
    assert registry.names() == ["medical"]


def test_an_s3_that_cannot_be_reached_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens on port 1; the message names the registry."""
    for name, value in {"ENDPOINT_URL": "http://127.0.0.1:1", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(UnavailableError, match="s3://nowhere/nllb cannot be reached"):
        AdapterRegistry("s3://nowhere/nllb").names()
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.mark.parametrize("death", ["die-at-each-step", "die-at-random 60", "die-within-a-file 60"])
def test_a_killed_publisher_leaves_a_whole_version_or_none(tmp_path: Path, death: str) -> None:
    """Killed at every file operation, at calls by chance, within files: what is listed is whole, and work goes on."""
    uri, folder = str(tmp_path / "registry"), write_adapter(tmp_path / "adapter")
    what, *numbers = death.split()
    subprocess.run([*_COMMAND, what, uri, str(folder), *numbers], cwd=_ROOT, check=True, timeout=120)
    registry = AdapterRegistry(uri)
    home = tmp_path / "registry/adapters"
    num_claims = len(list(home.glob("*/*/adapter_config.json")))
    num_weights = len(list(home.glob("*/*/adapter_model.safetensors")))
    whole = [(name, version) for name in registry.names() for version in registry.versions(name)]
    # Some died before the weights were there, some before the manifest was, and some lived.
    assert 0 < len(whole) < num_weights < num_claims
    for name, version in whole:
        registry.verify(name, version)
        assert registry.publish(name, folder, draft()).version > version
