"""Aliases: moved by compare-and-swap, with their history, back to where they came from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.adapters import AdapterRegistry, alias
from pipelines.adapters.alias import AliasRecord
from pipelines.errors import AdapterConflictError, InvalidRequestError, UnknownAdapterError
from tests.adapter_files import draft
from tests.unit.pipelines.adapters.losing_files import LosingFiles


@pytest.fixture
def published(registry: AdapterRegistry, adapter: Path) -> AdapterRegistry:
    """A registry with medical@1 to medical@4."""
    for _ in range(4):
        registry.publish("medical", adapter, draft())
    return registry


def test_promotions_are_undone_one_by_one(published: AdapterRegistry) -> None:
    """Each rollback goes one version further back; going on from there forgets what was rolled back."""
    for version in (1, 2, 3):
        published.promote("medical", version)
    assert published.rollback("medical").live == 2
    assert published.promote("medical", 4).live == 4
    assert published.rollback("medical").live == 2
    assert published.rollback("medical").live == 1
    with pytest.raises(AdapterConflictError, match="nothing to go back to"):
        published.rollback("medical")


def test_the_history_tells_every_change(published: AdapterRegistry) -> None:
    """What was asked for, of which version, and what it came to; a change that changes nothing is none."""
    published.promote("medical", 1)
    published.promote("medical", 1)
    published.canary("medical", 2, 10)
    published.promote("medical", 2)
    found = published.alias("medical")
    assert found is not None
    assert [(each.number, each.action, each.version, each.live, each.canary) for each in found.history] == [
        (1, "promote", 1, 1, None),
        (2, "canary", 2, 1, 2),
        (3, "promote", 2, 2, None),
    ]
    fresh = AdapterRegistry(published.uri)
    assert fresh.alias("medical") == found
    assert fresh.listing().records == {"medical": 3}


def test_a_rollback_ends_the_trial_first(published: AdapterRegistry) -> None:
    """With a canary, what is live stays; without one, what was live before returns."""
    published.promote("medical", 1)
    published.promote("medical", 2)
    trial = published.canary("medical", 3, 10, shadow_percent=5)
    assert (trial.live, trial.canary, trial.canary_percent, trial.shadow_percent) == (2, 3, 10, 5)
    ended = published.rollback("medical")
    assert (ended.live, ended.canary, ended.canary_percent, ended.shadow_percent) == (2, None, 0, 0)
    assert published.rollback("medical").live == 1


def test_the_only_version_can_be_withdrawn_and_retired(published: AdapterRegistry) -> None:
    """The name points nowhere and its trial is over; a rollback brings the version back unless it is retired."""
    published.promote("medical", 1)
    published.canary("medical", 2, 10)
    withdrawn = published.withdraw("medical")
    assert (withdrawn.live, withdrawn.canary, withdrawn.canary_percent) == (None, None, 0)
    with pytest.raises(AdapterConflictError, match="medical points to no version: nothing to withdraw"):
        published.withdraw("medical")
    assert published.rollback("medical").live == 1
    published.withdraw("medical")
    assert published.retire("medical", 1).live is None
    with pytest.raises(AdapterConflictError, match="nothing to go back to"):
        published.rollback("medical")
    assert published.promote("medical", 2).live == 2


def test_promoting_another_version_leaves_the_trial(published: AdapterRegistry) -> None:
    """A canary is compared with whatever is live."""
    published.promote("medical", 1)
    published.canary("medical", 3, 10)
    assert published.promote("medical", 2).canary == 3


def test_what_is_expected_to_be_live_must_be(published: AdapterRegistry) -> None:
    """A gate that compared with version 1 does not replace version 2."""
    published.promote("medical", 1, expected_live=None)
    published.promote("medical", 2, expected_live=1)
    with pytest.raises(AdapterConflictError, match="live is 2, not 1 as expected"):
        published.promote("medical", 3, expected_live=1)
    with pytest.raises(AdapterConflictError, match="live is 2, not None as expected"):
        published.promote("medical", 3, expected_live=None)


def test_a_retired_version_comes_no_more(published: AdapterRegistry) -> None:
    """It can be neither promoted nor tried, and no rollback reaches it; its files stay."""
    for version in (1, 2, 3):
        published.promote("medical", version)
    with pytest.raises(
        AdapterConflictError, match="medical@3 is live; promote another, roll back, or withdraw medical"
    ):
        published.retire("medical", 3)
    assert published.retire("medical", 2).retired == (2,)
    with pytest.raises(AdapterConflictError, match="medical@2 is retired"):
        published.promote("medical", 2)
    with pytest.raises(AdapterConflictError, match="medical@2 is retired"):
        published.canary("medical", 2, 5)
    assert published.rollback("medical").live == 1
    assert published.verify("medical", 2).version == 2


def test_a_change_whose_answer_is_lost_is_made_once(adapter: Path, losing: type[LosingFiles]) -> None:
    """A rollback goes back one version and not two; what had to be live was; the history tells each change once."""
    registry = AdapterRegistry("losing://registry")
    for version in (1, 2, 3):
        registry.publish("medical", adapter, draft())
        registry.promote("medical", version)
    losing.answers_to_lose.update(["00000004.json", "00000005.json"])
    assert registry.rollback("medical").live == 2
    assert registry.promote("medical", 3, expected_live=2).live == 3
    assert not losing.answers_to_lose
    found = AdapterRegistry("losing://registry").alias("medical")
    assert found is not None
    assert [each.live for each in found.history] == [1, 2, 3, 2, 3]


def test_of_two_who_make_the_same_change_each_makes_it(published: AdapterRegistry) -> None:
    """At the same moment by their clocks: nobody takes a record that another wrote meanwhile for the own one."""
    then = datetime(2026, 1, 2, tzinfo=UTC)
    for version in (1, 2, 3):
        published.promote("medical", version)
    faster = AdapterRegistry(published.uri, now=lambda: then)
    lives: list[int | None] = []

    def now() -> datetime:  # is asked between the look at the newest record and the writing of the next
        if not lives:
            lives.append(faster.rollback("medical").live)
        return then

    lives.append(AdapterRegistry(published.uri, now=now).rollback("medical").live)
    assert lives == [2, 1]


@pytest.mark.parametrize("percent", [-1, 100.5, float("nan")])
def test_a_share_is_a_percentage(published: AdapterRegistry, percent: float) -> None:
    """0 to 100."""
    published.promote("medical", 1)
    with pytest.raises(InvalidRequestError, match="accepted is 0 to 100"):
        published.canary("medical", 2, percent)


def test_a_trial_needs_something_live(published: AdapterRegistry) -> None:
    """There is nothing to compare with, or it is the same."""
    with pytest.raises(AdapterConflictError, match="no live version"):
        published.canary("medical", 1, 5)
    published.promote("medical", 1)
    with pytest.raises(AdapterConflictError, match="medical@1 is live already"):
        published.canary("medical", 1, 5)
    with pytest.raises(UnknownAdapterError, match=r"there is no medical@9"):
        published.canary("medical", 9, 5)


def test_changes_at_once_are_all_in_the_log(published: AdapterRegistry) -> None:
    """Of changes that race, none is lost: each is a record of its own, made on the one before."""

    def promote(version: int) -> None:
        AdapterRegistry(published.uri).promote("medical", version)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(promote, (1, 2, 3, 4)))
    found = published.alias("medical")
    assert found is not None
    assert [each.number for each in found.history] == [1, 2, 3, 4]
    assert {each.live for each in found.history} == {1, 2, 3, 4}
    assert found.history[-1].earlier == tuple(each.live for each in found.history[:-1])


def test_of_two_who_expect_the_same_one_wins(published: AdapterRegistry) -> None:
    """Compare and swap: the other is told what is live now."""
    published.promote("medical", 1)

    def promote(version: int) -> bool:
        try:
            AdapterRegistry(published.uri).promote("medical", version, expected_live=1)
        except AdapterConflictError:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(promote, (2, 3, 4))) == 1


_STEP = st.tuples(st.sampled_from(["promote", "rollback", "canary", "withdraw", "retire"]), st.integers(1, 4))


def _changed(last: AliasRecord | None, action: str, version: int) -> dict[str, object]:
    if action == "promote":
        return alias.promoted("medical", last, version)
    if action == "rollback":
        return alias.rolled_back("medical", last)
    if action == "withdraw":
        return alias.withdrawn("medical", last)
    if action == "canary":
        return alias.on_trial("medical", last, version, 10, 0)
    return alias.retired("medical", last, version)


@given(st.lists(_STEP, max_size=30))
def test_no_sequence_of_changes_serves_what_is_retired(steps: list[tuple[str, int]]) -> None:
    """Whatever is done in whatever order: live, canary and all ways back are unretired and apart."""
    record: AliasRecord | None = None
    for number, (action, version) in enumerate(steps, start=1):
        try:
            change = _changed(record, action, version)
        except AdapterConflictError:
            continue
        state = record.model_dump() if record else {}
        stamp = {"number": number, "action": action, "version": version, "at": "2026-01-01T00:00:00Z"}
        record = AliasRecord.model_validate({**state, **change, **stamp})
        served = [each for each in (record.live, record.canary, *record.earlier) if each is not None]
        assert not set(served) & set(record.retired)
        assert record.live not in record.earlier
        assert record.canary is None or record.canary != record.live
        assert len(set(record.earlier)) == len(record.earlier)
