"""A store that does not answer is asked again, then left alone, then found again."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.adapters.store import CreateOnlyStore
from pipelines.breaker import CircuitBreaker
from pipelines.errors import UnavailableError
from tests.gcs_server import GcsServer
from tests.unit.pipelines.adapters.losing_files import LosingFiles
from tests.unit.pipelines.adapters.users import as_nobody


@pytest.fixture
def narrow_umask() -> Iterator[None]:
    """Files and folders that are made belong to their owner alone."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_an_unreachable_store_is_left_alone_after_a_while(tmp_path: Path) -> None:
    """A file where the folder should be: three tries, an open breaker, and no further one."""
    root = tmp_path / "registry"
    root.write_text("not a folder")
    store = CreateOnlyStore(str(root))
    with pytest.raises(UnavailableError, match="cannot be reached"):
        store.read("medical/1/manifest.json", 100)
    assert (store.breaker.state, store.num_retries) == ("open", 2)
    with pytest.raises(UnavailableError, match="did not answer a moment ago"):
        store.read("medical/1/manifest.json", 100)
    assert store.num_retries == 2


def test_what_is_not_there_is_an_answer(tmp_path: Path) -> None:
    """A missing file does not count against the store."""
    store = CreateOnlyStore(str(tmp_path))
    for _ in range(5):
        with pytest.raises(FileNotFoundError):
            store.read("nothing", 100)
    assert store.breaker.state == "closed"


def test_a_store_that_had_files_and_has_them_no_more_is_away(tmp_path: Path) -> None:
    """All of them or one: what is relied on is never deleted, so that is no answer; one that never had any is empty."""
    store = CreateOnlyStore(str(tmp_path / "registry"), CircuitBreaker(cool_down_s=0))
    assert store.paths() == []
    store.create("medical/1/manifest.json", b"{}")
    store.rely_on("medical/1/manifest.json")
    assert store.paths() == ["medical/1/manifest.json"]
    assert store.paths("medical") == store.paths("medical/1") == ["medical/1/manifest.json"]
    assert store.paths("medic") == []
    (tmp_path / "registry").rename(tmp_path / "unmounted")
    with pytest.raises(UnavailableError, match=r"medical/1/manifest\.json was there before and is missing now"):
        store.paths("medical")
    with pytest.raises(UnavailableError, match=r"medical/1/manifest\.json was there before and is missing now"):
        store.paths()
    (tmp_path / "registry/legal").mkdir(parents=True)
    (tmp_path / "registry/legal/1").write_bytes(b"{}")
    with pytest.raises(UnavailableError, match=r"medical/1/manifest\.json was there before and is missing now"):
        store.paths()
    shutil.rmtree(tmp_path / "registry")
    (tmp_path / "unmounted").rename(tmp_path / "registry")
    assert store.paths("nothing/here") == []


def test_what_nobody_relies_on_may_be_removed(tmp_path: Path) -> None:
    """And what is relied on and was never listed may be too new for a listing to have it."""
    store = CreateOnlyStore(str(tmp_path))
    store.create("medical/1/notes.txt", b"")
    assert store.paths() == ["medical/1/notes.txt"]
    (tmp_path / "medical/1/notes.txt").unlink()
    store.rely_on("medical/1/manifest.json")
    assert store.paths() == []
    assert store.breaker.state == "closed"


@pytest.mark.parametrize("kind", ["disk", "objects"])
def test_a_file_with_the_same_content_is_ones_own_unless_it_is_contested(
    tmp_path: Path, losing: type[LosingFiles], kind: str
) -> None:
    """What another wrote under the name is never taken for it."""
    store = CreateOnlyStore(str(tmp_path) if kind == "disk" else "losing://store")
    store.create("1.json", b"mine")
    store.create("1.json", b"mine")
    for content in (b"another's", b"min", b"mine, too"):
        with pytest.raises(FileExistsError):
            store.create("1.json", content)
    with pytest.raises(FileExistsError):
        store.create("1.json", b"mine", contested=True)
    assert store.read("1.json", 100) == b"mine"


def test_others_can_read_what_is_made(tmp_path: Path, narrow_umask: None) -> None:
    """Whatever the umask of who publishes; what they are let do beyond that stays as it was set."""
    store = CreateOnlyStore(str(tmp_path / "models/registry"))
    store.create("medical/1/manifest.json", b"{}")
    made = ("models", "models/registry", "models/registry/medical", "models/registry/medical/1")
    assert [stat.S_IMODE((tmp_path / folder).stat().st_mode) for folder in made] == [0o755] * 4
    assert stat.S_IMODE((tmp_path / made[-1] / "manifest.json").stat().st_mode) == 0o644


def test_a_file_that_may_not_be_read_says_nothing_about_the_store(nobodys: Path) -> None:
    """It is an answer, once and for all tries; the others are read."""
    store = CreateOnlyStore(str(nobodys))
    for name in ("open", "secret"):
        (nobodys / name).write_bytes(b"{}")
    (nobodys / "secret").chmod(0)
    with as_nobody():
        for _ in range(5):
            with pytest.raises(PermissionError, match="secret may not be read by this process"):
                store.read("secret", 100)
        assert store.read("open", 100) == b"{}"
    assert (store.breaker.state, store.num_retries) == ("closed", 0)


def test_an_object_store_that_hangs_is_waited_for_so_long_and_no_longer(gcs: GcsServer) -> None:
    """Whatever its client would try again for half an hour; and it is found when it answers again."""
    store = CreateOnlyStore("gs://bucket/nllb", CircuitBreaker(cool_down_s=0), patience_s=0.2)
    store.create("medical/1/manifest.json", b"{}")
    gcs.answering.clear()
    for ask in (store.paths, lambda: store.read("medical/1/manifest.json", 0), lambda: store.create("new", b"")):
        with pytest.raises(UnavailableError, match=r"gs://bucket/nllb cannot be reached: .* no answer within 0\.2 s"):
            ask()
    gcs.answering.set()
    assert store.read("medical/1/manifest.json", 100) == b"{}"
