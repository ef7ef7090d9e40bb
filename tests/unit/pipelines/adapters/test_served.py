"""What requests get: aliases that move once all replicas are ready, shares of a trial, errors that say what exists."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.adapters import AdapterRegistry
from pipelines.adapters.served import ServedAdapters, in_share
from pipelines.adapters.view import read_view
from pipelines.errors import AdapterBaseError, AdapterLanguageError, InvalidAdapterError, UnknownAdapterError
from tests.adapter_files import draft

PAIR = ("eng_Latn", "hin_Deva")


@pytest.fixture
def published(registry: AdapterRegistry, adapter: Path) -> AdapterRegistry:
    """A registry with medical@1 to medical@3."""
    for _ in range(3):
        registry.publish("medical", adapter, draft())
    return registry


def _held(*numbers: int) -> frozenset[str]:
    return frozenset(f"medical@{number}" for number in numbers)


def _ask(served: ServedAdapters, name: str | None, text: str = "Hello.", pair: tuple[str, str] = PAIR) -> str | None:
    return served.resolve(name, *pair, text=text, field="adapter")


def test_an_alias_moves_once_every_replica_holds_its_version(published: AdapterRegistry) -> None:
    """Until then requests get what they got; a rollback waits no longer than that either."""
    served = ServedAdapters({})
    published.promote("medical", 1)
    served.update(read_view(published), _held(1), "1")
    published.promote("medical", 2)
    served.update(read_view(published), _held(1), "1")
    assert (_ask(served, "medical"), served.settled) == ("medical@1", False)
    served.update(read_view(published), _held(1, 2), "1")
    assert (_ask(served, "medical"), served.settled) == ("medical@2", True)
    published.rollback("medical")
    served.update(read_view(published), _held(1, 2), "1")
    assert _ask(served, "medical") == "medical@1"


def test_a_name_that_was_withdrawn_means_nothing_at_once(published: AdapterRegistry) -> None:
    """Its requests are told so, those that it is the default of get the base model; its number still works."""
    served = ServedAdapters({"-".join(PAIR): "medical"})
    published.promote("medical", 1)
    served.update(read_view(published), _held(1), "1")
    assert _ask(served, None) == "medical@1"
    published.withdraw("medical")
    served.update(read_view(published), _held(1), "1")
    assert served.settled
    with pytest.raises(UnknownAdapterError, match="medical points to no version; there are medical@1"):
        _ask(served, "medical")
    assert _ask(served, None) is None
    assert _ask(served, "medical@1") == "medical@1"


def test_an_ingress_that_starts_takes_the_latest_that_can_be_served(published: AdapterRegistry) -> None:
    """Of what is or was live the latest that all hold; if none is held, the first request waits for the live one."""
    published.promote("medical", 1)
    published.promote("medical", 2)
    view = read_view(published)
    served = ServedAdapters({})
    served.update(view, _held(1), None)
    assert _ask(served, "medical") == "medical@1"
    served = ServedAdapters({})
    served.update(view, frozenset(), None)
    assert _ask(served, "medical") == "medical@2"


def test_what_is_retired_answers_to_no_name_either(published: AdapterRegistry) -> None:
    """Not even while what its name should mean is not held yet: that is loaded by the first request for it."""
    served = ServedAdapters({})
    published.promote("medical", 1)
    served.update(read_view(published), _held(1), "1")
    published.promote("medical", 2)
    published.promote("medical", 3)
    served.update(read_view(published), _held(1), "1")
    assert _ask(served, "medical") == "medical@1"
    published.retire("medical", 1)
    for held in (_held(1), _held()):
        served.update(read_view(published), held, "1")
        assert _ask(served, "medical") == "medical@3"
    served.update(read_view(published), _held(1, 3), "1")
    assert (_ask(served, "medical"), served.settled) == ("medical@3", True)


def test_a_retired_version_leaves_to_one_that_was_live_and_is_held(published: AdapterRegistry) -> None:
    """Rather than to one that has to be loaded first."""
    served = ServedAdapters({})
    for version in (1, 2):
        published.promote("medical", version)
        served.update(read_view(published), _held(1, 2), "1")
    published.promote("medical", 3)
    published.retire("medical", 2)
    served.update(read_view(published), _held(1, 2), "1")
    assert (_ask(served, "medical"), served.settled) == ("medical@1", False)


def test_a_canary_takes_its_share_once_it_is_held(published: AdapterRegistry) -> None:
    """None of it before, and no less when a replica then stays silent; the same text is always on the same side."""
    served = ServedAdapters({})
    published.promote("medical", 1)
    published.canary("medical", 2, 30)
    texts = [f"Sentence {number}." for number in range(1000)]
    served.update(read_view(published), _held(1), "1")
    assert {_ask(served, "medical", text) for text in texts} == {"medical@1"}
    served.update(read_view(published), _held(1, 2), "1")
    first = [_ask(served, "medical", text) for text in texts]
    assert first == [_ask(served, "medical", text) for text in texts]
    assert 0.25 < first.count("medical@2") / len(texts) < 0.35
    served.update(read_view(published), frozenset(), "1")
    assert first == [_ask(served, "medical", text) for text in texts]
    assert {_ask(served, "medical@1", text) for text in texts} == {"medical@1"}


def test_a_canary_for_other_languages_gets_none(registry: AdapterRegistry, adapter: Path) -> None:
    """A trial never turns an answer into an error."""
    registry.publish("medical", adapter, draft())
    registry.publish("medical", adapter, draft(language_pairs=("eng_Latn-spa_Latn",)))
    registry.promote("medical", 1)
    registry.canary("medical", 2, 100)
    served = ServedAdapters({})
    served.update(read_view(registry), _held(1, 2), "1")
    assert _ask(served, "medical") == "medical@1"


@given(text=st.text(), low=st.floats(0, 100), high=st.floats(0, 100))
def test_a_larger_share_only_adds(text: str, low: float, high: float) -> None:
    """Raising a canary's share moves nobody away from it; 0 is nobody, 100 is everybody."""
    low, high = sorted((low, high))
    if in_share("canary", "medical@2", "eng_Latn-hin_Deva", text, low):
        assert in_share("canary", "medical@2", "eng_Latn-hin_Deva", text, high)
    assert not in_share("canary", "medical@2", "eng_Latn-hin_Deva", text, 0)
    assert in_share("canary", "medical@2", "eng_Latn-hin_Deva", text, 100)


def test_errors_say_what_exists(published: AdapterRegistry, adapter: Path) -> None:
    """Unknown names and versions, languages it was not trained for, another base model, retired versions."""
    published.publish("legal", adapter, draft())
    published.promote("medical", 1)
    published.retire("medical", 3)
    served = ServedAdapters({})
    served.update(read_view(published), _held(1), "1")
    with pytest.raises(UnknownAdapterError, match="no adapter is called 'medicl'; there are legal, medical"):
        _ask(served, "medicl")
    with pytest.raises(UnknownAdapterError, match="there is no medical@9; there are medical@1, medical@2"):
        _ask(served, "medical@9")
    with pytest.raises(UnknownAdapterError, match="medical@3 is retired; there are medical@1, medical@2"):
        _ask(served, "medical@3")
    with pytest.raises(UnknownAdapterError, match="legal points to no version; there are legal@1"):
        _ask(served, "legal")
    with pytest.raises(AdapterLanguageError, match="does not translate eng_Latn-fra_Latn; it was trained for eng_Latn"):
        _ask(served, "medical", pair=("eng_Latn", "fra_Latn"))
    served.update(read_view(published), _held(1), "2")
    with pytest.raises(AdapterBaseError, match="medical@1 was trained on fake 1; this service runs 2"):
        _ask(served, "medical")


def test_a_default_is_taken_by_its_language_pair_alone(published: AdapterRegistry) -> None:
    """Requests that name nothing; one that names a version gets that."""
    published.promote("medical", 1)
    served = ServedAdapters({"eng_Latn-hin_Deva": "medical"})
    served.update(read_view(published), _held(1, 2), "1")
    assert _ask(served, None) == "medical@1"
    assert _ask(served, "medical@2") == "medical@2"
    assert _ask(served, None, pair=("eng_Latn", "spa_Latn")) is None


def test_a_default_that_cannot_be_served_leaves_the_base_model(published: AdapterRegistry) -> None:
    """Who named no adapter gets no error because of one; operators see it."""
    served = ServedAdapters({"eng_Latn-hin_Deva": "medical"})
    served.update(read_view(published), frozenset(), "1")
    assert _ask(served, None) is None
    assert served.problems() == ["model.default_adapters.eng_Latn-hin_Deva is not served"]
    published.promote("medical", 1)
    served.update(read_view(published), _held(1), "1")
    assert _ask(served, None) == "medical@1"
    assert served.problems() == []


def test_a_damaged_registry_keeps_what_is_served(published: AdapterRegistry, tmp_path: Path) -> None:
    """A record or a manifest that cannot be read changes nothing but what is reported."""
    published.promote("medical", 1)
    served = ServedAdapters({})
    served.update(read_view(published), _held(1), "1")
    (tmp_path / "registry/aliases/medical/00000002.json").write_text("{")
    (tmp_path / "registry/adapters/medical/2/manifest.json").write_text("{}")
    damaged = AdapterRegistry(published.uri)
    served.update(read_view(damaged), _held(1), "1")
    assert _ask(served, "medical") == "medical@1"
    assert len(served.problems()) == 2
    with pytest.raises(InvalidAdapterError, match=r"medical@2: manifest\.json"):
        _ask(served, "medical@2")
