"""A store that does not answer is asked again, then left alone, then found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.adapters.store import CreateOnlyStore
from pipelines.errors import UnavailableError


def test_an_unreachable_store_is_left_alone_after_a_while(tmp_path: Path) -> None:
    """A file where the folder should be: three tries, an open breaker, and no further one."""
    root = tmp_path / "registry"
    root.write_text("not a folder")
    store = CreateOnlyStore(str(root))
    with pytest.raises(UnavailableError, match="cannot be reached"):
        store.read("medical/1/manifest.json", 100)
    assert store.breaker.state == "open"
    with pytest.raises(UnavailableError, match="did not answer a moment ago"):
        store.read("medical/1/manifest.json", 100)


def test_what_is_not_there_is_an_answer(tmp_path: Path) -> None:
    """A missing file does not count against the store."""
    store = CreateOnlyStore(str(tmp_path))
    for _ in range(5):
        with pytest.raises(FileNotFoundError):
            store.read("nothing", 100)
    assert store.breaker.state == "closed"
