"""A store that does not answer is asked again, then left alone, then found again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines.adapters.store import CreateOnlyStore
from pipelines.breaker import CircuitBreaker
from pipelines.errors import UnavailableError
from tests.gcs_server import GcsServer


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
    """All of them or one: nothing is ever deleted, so it is no answer; a store that never had any is empty."""
    store = CreateOnlyStore(str(tmp_path / "registry"), CircuitBreaker(cool_down_s=0))
    assert store.paths() == []
    store.create("medical/1/manifest.json", b"{}")
    assert store.paths() == ["medical/1/manifest.json"]
    (tmp_path / "registry").rename(tmp_path / "unmounted")
    with pytest.raises(UnavailableError, match=r"it had medical/1/manifest\.json and now has not"):
        store.paths()
    (tmp_path / "registry/legal").mkdir(parents=True)
    (tmp_path / "registry/legal/1").write_bytes(b"{}")
    with pytest.raises(UnavailableError, match=r"it had medical/1/manifest\.json and now has not"):
        store.paths()
    shutil.rmtree(tmp_path / "registry")
    (tmp_path / "unmounted").rename(tmp_path / "registry")
    assert store.paths("nothing/here") == []


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
