"""Which terms are found, and what is put in their places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import UnsupportedOptionError
from pipelines.text.glossary import Glossary, check_terms
from pipelines.text.protect import find_spans, mask
from pipelines.text.words import inside_word


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


def found_simply(text: str, entries: dict[str, str]) -> list[tuple[int, int]]:
    """Where terms stand, by trying every one at every place, the longest first."""
    places, position = [], 0
    while position < len(text):
        for term in sorted(entries, key=len, reverse=True):
            end = position + len(term)
            is_there = text.lower().startswith(term.lower(), position)
            if is_there and not (inside_word(text, position) or inside_word(text, end)):
                places.append((position, end))
                position = end - 1
                break
        position += 1
    return places


@given(
    st.text("abAB .-ก\u0e35中文", max_size=40),
    st.dictionaries(st.from_regex(r"[abAB.\-ก中文]{1,5}( [abAB.\-ก中文]{1,3}){0,2}", fullmatch=True), st.just("T")),
)
def test_all_terms_are_found(text: str, entries: dict[str, str]) -> None:
    """The same places as by trying every term at every place."""
    assert [(each.start, each.end) for each in Glossary(entries).find(text)] == found_simply(text, entries)


def test_many_terms_that_begin_alike_cost_little() -> None:
    """Twenty thousand of them, in a long text of what they begin with, end in reasonable time."""
    glossary = Glossary({f"internal {number} medicine": "x" for number in range(20_000)})
    assert glossary.find("internal medicine " * 1000) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello {name}, your name is at https://shop.com/shop", "Hello {name}, your nom is at https://shop.com/shop"),
        ("`name` #name name@x.org %(name)s", "`name` #name name@x.org %(name)s"),
        ("a shop at site.com", "a magasin at chez nous"),
        ("my shop.com", "mon shop.com"),
    ],
)
def test_no_term_is_a_part_of_a_span(text: str, expected: str) -> None:
    """Only a term that covers a placeholder or an address whole takes its place; a shorter term may still be there."""
    glossary = Glossary({"name": "nom", "shop": "magasin", "site.com": "chez nous", "my shop": "x", "my": "mon"})
    output, position = "", 0
    for span in glossary.find(text, find_spans(text)):
        output += text[position : span.start] + span.output
        position = span.end
    assert output + text[position:] == expected


@pytest.mark.parametrize(("text", "term"), [("ที่บ้าน", "ที"), ("កាប៉ា", "ក"), ("น้ำ", "น้"), ("ဗမာ", "မ")])
def test_no_term_ends_inside_a_grapheme(text: str, term: str) -> None:
    """A letter with its vowel or tone is another one than the letter alone, in scripts without spaces as well."""
    assert applied(Glossary({term: "X"}), text) == text


def test_decomposed_text_is_the_same_text() -> None:
    """A term is found in either form of Unicode, and its place is that in the text as it came."""
    assert applied(Glossary({"café": "coffee"}), "un cafe\u0301 ici, cafe\u0301") == "un coffee ici, coffee"
    assert applied(Glossary({"cafe\u0301": "coffee"}), "un café ici") == "un coffee ici"
    assert applied(Glossary({"한글": "Hangul", "cafe": "x"}), "\u1112\u1161\u11ab\u1100\u1173\u11af cafe\u0301") == (
        "Hangul cafe\u0301"
    )


def test_a_longer_term_does_not_reach_beyond_the_text() -> None:
    """At the end of a text a shorter term that begins alike has its own length."""
    assert [(each.start, each.end) for each in Glossary({"shop": "x", "shopkeeper": "y"}).find("a shop")] == [(2, 6)]


def test_a_final_sigma_is_a_sigma() -> None:
    """Greek writes the last letter of a word in another form, unless all are capitals."""
    assert applied(Glossary({"ΟΔΟΣ": "rue"}), "Οδος οδοσ ΟΔΟΣ") == "rue rue rue"


def test_the_first_word_of_a_term_may_be_inflected() -> None:
    """As may any of its words."""
    assert applied(Glossary({"corazón roto": "broken heart"}, match_inflections=True), "Corazones rotos") == (
        "Corazones rotos"
    )
    assert applied(Glossary({"vena rota": "torn vein"}, match_inflections=True), "Venas rotas") == "torn vein"


@pytest.mark.parametrize(
    ("term", "target"),
    [("a" * 1001, "x"), ("a", "x" * 1001), ("a" + "\u0315" * 31, "x")],
)
def test_entries_have_bounds(term: str, target: str) -> None:
    """Longer ones, and towers of combining marks, would cost seconds; the error shows the start of what it refuses."""
    with pytest.raises(UnsupportedOptionError, match="up to 1000 characters are accepted") as refused:
        Glossary({term: target}, field="glossary")
    assert len(refused.value.message) < 300


def test_terms_that_take_too_long_are_refused() -> None:
    """Each place of the text may be the beginning of a chain of words: their product is bounded."""
    glossary = Glossary({" ".join(["a"] * 400 + ["b"]): "x"})
    with pytest.raises(UnsupportedOptionError, match="too many beginnings in common"):
        glossary.find("a " * 4000)


def test_translations_that_blow_a_text_up_are_refused() -> None:
    """A text of a megabyte must not become one of a gigabyte."""
    with pytest.raises(UnsupportedOptionError, match="more than 10 times as much"):
        Glossary({"a": "x" * 1000}).find("a " * 4000)


def test_a_tower_of_marks_in_a_text_is_left_as_it_is() -> None:
    """To compose it takes its height squared; terms around it are found all the same."""
    tower = "e" + "\u0315\u0316" * 20_000
    assert applied(Glossary({"café": "Café"}), f"cafe\u0301 {tower} café") == f"Café {tower} Café"


@pytest.mark.parametrize("space", ["\t", "\n\n", "\u2029", "\f"])
def test_terms_do_not_reach_over_what_divides(space: str) -> None:
    """A column of a table, or a paragraph, is not a term's second word."""
    text = f"Green{space}Card"
    assert applied(Glossary({"green card": "carte verte"}), text) == text
