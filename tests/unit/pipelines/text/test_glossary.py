"""Which terms are found, and what is put in their places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import UnsupportedOptionError
from pipelines.text.glossary import Glossary, check_terms
from pipelines.text.protect import mask


def test_longest_term_wins() -> None:
    """A term inside a longer one does not count."""
    glossary = Glossary({"heart": "दिल", "heart attack": "दिल का दौरा"})
    text, spans = glossary.apply("A heart attack of the heart.")
    assert text == "A दिल का दौरा of the दिल."
    assert [text[start:end] for start, end in spans] == ["दिल का दौरा", "दिल"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("cat concat cats", "GATO concat cats"), ("Cat.", "GATO."), ("cat", "GATO"), ("concat cat", "concat GATO")],
)
def test_terms_are_whole_words(text: str, expected: str) -> None:
    """A term is no part of a word."""
    assert Glossary({"cat": "GATO"}).apply(text)[0] == expected


def test_shorter_term_is_found_where_the_longer_is_no_word() -> None:
    """A longer term that ends inside a word does not hide a shorter one."""
    assert Glossary({"heart at": "X", "heart": "Y"}).apply("heart attack")[0] == "Y attack"


def test_scripts_without_spaces_have_no_word_boundaries() -> None:
    """A Chinese term may stand next to any character."""
    assert Glossary({"心脏": "heart", "病": "disease"}).apply("心脏病")[0] == "heartdisease"


def test_case_matters_only_on_request() -> None:
    """With `match_case` a name differs from the word."""
    assert Glossary({"Ray": "Ray"}, match_case=True).apply("a ray of Ray")[1] == [(9, 12)]
    assert Glossary({"ray": "rayo"}).apply("RAY")[0] == "rayo"


def test_terms_survive_translation_as_protected_spans() -> None:
    """Masked as any other span, the term comes back in the target's word order."""
    text, spans = Glossary({"heart attack": "infarto"}).apply("He had a heart attack today.")
    masked = mask(text, spans)
    assert masked is not None
    assert masked.text == "He had a ZQ0Q today."
    assert masked.restore("Hoy tuvo un ZQ0Q.") == "Hoy tuvo un infarto."


def test_missing_terms_are_named() -> None:
    """What could not be placed is said once."""
    assert [each.code for each in check_terms("abc", ["abc", "x", "x"])] == ["glossary_term_missing"]


def test_version_follows_the_content() -> None:
    """Equal glossaries share a version, whatever their order; any difference changes it."""
    one, two = Glossary({"a": "b", "c": "d"}), Glossary({"c": "d", "a": "b"})
    assert one.version == two.version
    assert one.version != Glossary({"a": "b", "c": "e"}).version
    assert one.version != Glossary({"a": "b", "c": "d"}, match_case=True).version


@pytest.mark.parametrize("entries", [{"": "a"}, {" ": "a"}, {"a": ""}])
def test_empty_terms_are_refused(entries: dict[str, str]) -> None:
    """A term without text would match everywhere."""
    with pytest.raises(UnsupportedOptionError, match="neither empty"):
        Glossary(entries)


@given(st.text(), st.dictionaries(st.text("abß.* İſ", min_size=1).filter(str.strip), st.just("T")))
def test_any_text_and_terms(text: str, entries: dict[str, str]) -> None:
    """Terms are literal, and an empty glossary changes nothing."""
    applied, spans = Glossary(entries).apply(text)
    assert all(applied[start:end] == "T" for start, end in spans)
    assert entries or applied == text
