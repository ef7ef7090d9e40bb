"""Which terms are found, and what is put in their places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import UnsupportedOptionError
from pipelines.text.glossary import Glossary, check_terms
from pipelines.text.protect import mask


def applied(glossary: Glossary, text: str) -> str:
    """The text with each term's translation in its place."""
    output, position = "", 0
    for span in glossary.find(text):
        output += text[position : span.start] + span.output
        position = span.end
    return output + text[position:]


def test_longest_term_wins() -> None:
    """A term inside a longer one does not count."""
    glossary = Glossary({"heart": "दिल", "heart attack": "दिल का दौरा"})
    assert applied(glossary, "A heart attack of the heart.") == "A दिल का दौरा of the दिल."


@pytest.mark.parametrize(
    ("text", "expected"),
    [("cat concat cats", "GATO concat cats"), ("Cat.", "GATO."), ("cat", "GATO"), ("concat cat", "concat GATO")],
)
def test_terms_are_whole_words(text: str, expected: str) -> None:
    """A term is no part of a word."""
    assert applied(Glossary({"cat": "GATO"}), text) == expected


def test_shorter_term_is_found_where_the_longer_is_no_word() -> None:
    """A longer term that ends inside a word does not hide a shorter one."""
    assert applied(Glossary({"heart at": "X", "heart": "Y"}), "heart attack") == "Y attack"


def test_scripts_without_spaces_have_no_word_boundaries() -> None:
    """A Chinese term may stand next to any character."""
    assert applied(Glossary({"心脏": "heart", "病": "disease"}), "心脏病") == "heartdisease"


def test_case_matters_only_on_request() -> None:
    """With `match_case` a name differs from the word."""
    assert applied(Glossary({"Ray": "R."}, match_case=True), "a ray of Ray") == "a ray of R."
    assert applied(Glossary({"ray": "rayo"}), "RAY") == "rayo"


def test_terms_survive_translation_as_protected_spans() -> None:
    """Masked as any other span, the term comes back in the target's word order."""
    text = "He had a heart attack today."
    masked = mask(text, Glossary({"heart attack": "infarto"}).find(text))
    assert masked is not None
    assert masked.text == "He had a ZQ0Q today."
    assert masked.restore("Hoy tuvo un ZQ0Q.") == "Hoy tuvo un infarto."


def test_missing_terms_are_named() -> None:
    """What could not be placed is said once."""
    assert [each.code for each in check_terms("abc", ["abc", "x", "x"])] == ["glossary_term_missing"]
    assert [each.code for each in check_terms("abc", ["abc", "abc"])] == ["glossary_term_missing"]


@pytest.mark.parametrize("entries", [{"": "a"}, {" ": "a"}, {"a": ""}])
def test_empty_terms_are_refused(entries: dict[str, str]) -> None:
    """A term without text would match everywhere."""
    with pytest.raises(UnsupportedOptionError, match="neither empty"):
        Glossary(entries)


@given(st.text(), st.dictionaries(st.text("abß.* İſ", min_size=1).filter(str.strip), st.just("T")))
def test_any_text_and_terms(text: str, entries: dict[str, str]) -> None:
    """Terms are literal, and an empty glossary changes nothing."""
    spans = Glossary(entries).find(text)
    assert all(span.output == "T" for span in spans)
    assert entries or spans == []


def test_inflected_forms_count_on_request() -> None:
    """Another ending of a few letters is the same word, if the caller says so and the word is long enough."""
    forms = Glossary({"heart attack": "infarto", "cat": "gato"}, match_inflections=True)
    assert applied(forms, "Heart attacks; cats") == "infarto; cats"
    assert applied(Glossary({"heart attack": "infarto"}), "heart attacks") == "heart attacks"


def test_white_space_inside_a_term_may_be_any() -> None:
    """A term is found across a line break and a doubled space."""
    assert applied(Glossary({"heart attack": "infarto"}), "a heart\n  attack") == "a infarto"
