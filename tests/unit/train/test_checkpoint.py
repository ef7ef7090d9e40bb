"""A checkpoint is whole or not there, and there are never more than asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.checkpoint import CheckpointStore


def content(store: CheckpointStore) -> str | None:
    """What the newest checkpoint says."""
    with store.newest() as folder:
        return None if folder is None else (folder / "a").read_text()


def save(store: CheckpointStore, step: int) -> None:
    """Save a checkpoint that says its step."""
    store.save(step, lambda folder: (folder / "a").write_text(str(step)) and None)


@pytest.fixture(params=["local", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder on disk, and one that no file can be moved into as a whole."""
    return str(tmp_path / "run") if request.param == "local" else f"memory://{tmp_path.name}/run"


def test_the_newest_of_a_few_is_kept(location: str) -> None:
    """Old ones are deleted; before the first there is none."""
    store = CheckpointStore(location, num_kept=2)
    assert content(store) is None
    for step in (5, 10, 15, 15):
        save(store, step)
        assert content(CheckpointStore(location, num_kept=2)) == str(step)
    assert len(store._folders()) == 2
    store.delete()
    assert content(store) is None


def test_who_shares_the_location_sees_whose_it_is(location: str, tmp_path: Path) -> None:
    """The latest run's; elsewhere it is nobody's."""
    store = CheckpointStore(location, num_kept=2)
    first, second = store.claim(), store.claim()
    assert CheckpointStore(location, num_kept=2).is_claimed_by(second)
    assert not store.is_claimed_by(first)
    assert not CheckpointStore(str(tmp_path / "elsewhere"), num_kept=2).is_claimed_by(second)


def test_a_writer_that_dies_leaves_the_one_before(tmp_path: Path) -> None:
    """And its remains are cleared away by the next one."""
    store = CheckpointStore(str(tmp_path), num_kept=1)
    save(store, 5)

    def die(folder: Path) -> None:
        (folder / "a").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.save(10, die)
    (tmp_path / "step-00000010-feed").mkdir()
    (tmp_path / "step-00000010-feed" / "a").write_text("not listed yet")
    assert content(store) == "5"
    save(store, 15)
    assert [path.name[:13] for path in tmp_path.iterdir()] == ["step-00000015"]


def test_a_checkpoint_that_lost_bytes_is_passed_over(tmp_path: Path) -> None:
    """After a crash of the machine, say: the one before is taken."""
    store = CheckpointStore(str(tmp_path), num_kept=2)
    save(store, 5)
    save(store, 10)
    next(tmp_path.glob("step-00000010-*/a")).write_text("")
    assert content(store) == "5"
