"""The cache's entries: what was put in comes out, and anything else is a miss."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cache.codec import decode, encode
from pipelines.types import Hypothesis, Link, Translation

REVISION = "0f3a"
KEY = "ab" * 32
any_text = st.text(st.characters(exclude_categories=()))
scores = st.floats(allow_nan=False)
translations = st.builds(
    Translation,
    text=any_text,
    score=st.none() | scores,
    num_source_tokens=st.integers(0, 1024),
    num_target_tokens=st.integers(0, 1024),
    finish=st.sampled_from(["stop", "length"]),
    cached=st.booleans(),
    alternatives=st.lists(st.builds(Hypothesis, text=any_text, score=scores), max_size=4).map(tuple),
    links=st.lists(st.builds(Link, *[st.integers(0, 500)] * 4), max_size=3).map(tuple),
    unknown_spans=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=3).map(tuple),
    alignment=st.lists(st.integers(0, 500), max_size=5).map(tuple),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=9)
)


@given(translations)
def test_an_entry_comes_back_as_it_was_and_says_that_it_was_cached(translation: Translation) -> None:
    """Decoding an entry gives the translation, with `cached` set, and the model whose keys are asked for."""
    found = decode(KEY, encode(KEY, translation), REVISION)
    assert found == replace(translation, cached=True)
    assert found.model_revision == REVISION


@given(st.binary())
def test_any_bytes_are_a_miss(entry: bytes) -> None:
    """Bytes that nobody encoded never raise and never become a translation."""
    assert decode(KEY, entry, REVISION) is None


@given(json_values)
def test_any_json_is_a_miss(value: object) -> None:
    """Nor does JSON of another form."""
    assert decode(KEY, json.dumps(value).encode(), REVISION) is None


@given(translations, st.data())
def test_a_cut_entry_is_a_miss(translation: Translation, data: st.DataObject) -> None:
    """An entry without its end is no entry."""
    entry = encode(KEY, translation)
    assert decode(KEY, entry[: data.draw(st.integers(0, len(entry) - 1))], REVISION) is None


def test_an_entry_of_another_key_is_a_miss() -> None:
    """A store that answers another question than was asked gives no wrong translation."""
    assert decode(KEY, encode("cd" * 32, Translation(text="Bonjour.")), REVISION) is None


@pytest.mark.parametrize(
    ("index", "value"), [(0, 1), (1, None), (3, "high"), (6, "error"), (7, [["text"]]), (8, [[0]])]
)
def test_an_entry_of_another_version_or_type_is_a_miss(index: int, value: object) -> None:
    """Each field is checked, so an older or newer format reads as absent."""
    fields = json.loads(encode(KEY, Translation(text="Bonjour.")))
    fields[index] = value
    assert decode(KEY, json.dumps(fields).encode(), REVISION) is None


def test_deep_nesting_is_a_miss() -> None:
    """An entry that exhausts the parser's recursion is a miss."""
    assert decode(KEY, b"[" * 200_000, REVISION) is None
