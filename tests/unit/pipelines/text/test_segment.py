"""Where texts are cut: nothing lost, nothing cut that belongs together."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.text.protect import find_spans
from pipelines.text.segment import Piece, split_text
from pipelines.text.spans import Span, merge_spans, unchanged_spans

LANGUAGES = st.sampled_from(
    [
        "eng_Latn",
        "zho_Hans",
        "hin_Deva",
        "arb_Arab",
        "tha_Thai",
        "jpn_Jpan",
        "amh_Ethi",
        "bod_Tibt",
        "sat_Beng",
    ]
)
ANY_TEXT = st.text(st.characters(exclude_categories=[]))
# What breaks segmenters: terminators, spaces, controls, joiners, marks, flags, jamo, letters, digits.
HARD_TEXT = st.text(
    st.sampled_from(
        "aé.!? \t\n\r\0\x85\u00a0\u3000\u2028\u200b\u200c\u200d\u200e\u2067\ufeff\u0301"
        "\u0903\u0600🇫🇷👩🏽👨\ufe0fअक्।你。，ไ1٣,;:—\u1112\u1161\u11ab가\U000e0067\ud800"
    )
)


def translatable(text: str, language: str = "eng_Latn", max_segment_chars: int = 500) -> list[str]:
    """The pieces of a text that are translated."""
    return [each.text for each in split_text(text, language, max_segment_chars=max_segment_chars) if each.translatable]


@given(ANY_TEXT | HARD_TEXT, LANGUAGES, st.integers(1, 40))
@settings(max_examples=400, deadline=None)
def test_every_string_is_cut_without_loss(text: str, language: str, max_chars: int) -> None:
    """Joined pieces are the text; what is translated is clean, short enough, and made of whole graphemes."""
    pieces = split_text(text, language, max_segment_chars=max_chars)
    assert "".join(each.text for each in pieces) == text
    boundaries = {0} | {found.end() for found in regex.finditer(r"\X", text)}
    position = 0
    for each in pieces:
        assert each.text
        assert position in boundaries
        position += len(each.text)
        if each.translatable:
            assert each.text == each.text.strip()
            assert regex.search(r"\p{L}", each.text)
            assert len(each.text) <= max_chars or len(regex.findall(r"\X", each.text)) == 1


@pytest.mark.parametrize(
    ("language", "text", "sentences"),
    [
        ("eng_Latn", "Mr. Smith paid $3.50. He left.", ["Mr. Smith paid $3.50.", "He left."]),
        ("fra_Latn", "Bonjour. Ça va ?", ["Bonjour.", "Ça va ?"]),
        ("hin_Deva", "नमस्ते। आप कैसे हैं?", ["नमस्ते।", "आप कैसे हैं?"]),
        ("zho_Hans", "你好。再见。", ["你好。", "再见。"]),
        ("jpn_Jpan", "元気ですか？はい。", ["元気ですか？", "はい。"]),
        ("urd_Arab", "یہ کتاب ہے۔ وہ قلم ہے۔", ["یہ کتاب ہے۔", "وہ قلم ہے۔"]),
        ("arb_Arab", "كيف حالك؟ أنا بخير.", ["كيف حالك؟", "أنا بخير."]),
        ("amh_Ethi", "ሰላም ነው። ደህና ነኝ።", ["ሰላም ነው።", "ደህና ነኝ።"]),
        ("mya_Mymr", "မင်္ဂလာပါ။ နေကောင်းလား။", ["မင်္ဂလာပါ။", "နေကောင်းလား။"]),
        ("khm_Khmr", "សួស្តី។ តើអ្នកសុខសប្បាយទេ?", ["សួស្តី។", "តើអ្នកសុខសប្បាយទេ?"]),
        ("hye_Armn", "Բարև ձեզ։ Ինչպես եք։", ["Բարև ձեզ։", "Ինչպես եք։"]),
    ],
)
def test_sentences_of_many_scripts(language: str, text: str, sentences: list[str]) -> None:
    """A sentence ends where its script says so, and not at an abbreviation or a decimal point."""
    assert translatable(text, language) == sentences


def test_every_language_can_be_cut() -> None:
    """No language of the table fails."""
    from pipelines.text.languages import all_languages

    for each in all_languages():
        assert translatable("One. Two three.", each.code)


def test_layout_is_kept_apart() -> None:
    """Newlines, blank lines, tabs, indents, controls and byte order marks are separators, to the byte."""
    text = "\ufeff  One.\r\n\r\n\tTwo\tthree     four\x00five \u200f\n"
    pieces = split_text(text, "eng_Latn", max_segment_chars=100)
    assert [each.text for each in pieces if each.translatable] == ["One.", "Two", "three", "four", "five"]
    assert "".join(each.text for each in pieces) == text


def test_repeated_sentences_all_stay() -> None:
    """A sentence that occurs twice is two pieces (a peer loses paragraphs over this)."""
    assert translatable("Yes.\nNo.\nYes.\nNo.") == ["Yes.", "No.", "Yes.", "No."]


@pytest.mark.parametrize("text", ["", " ", "\n\n", "3.14", "١٢٣ ...", "👩🏽‍🚀 !!!", "$5 - 7%", "\x00", "\u200b"])
def test_text_without_letters_is_not_translated(text: str) -> None:
    """Digits, punctuation, emoji and space alone never reach the model."""
    assert translatable(text) == []


@pytest.mark.parametrize("word", ["می\u200cخواهم", "ক্ষ\u200d", "क्\u200dष", "👩\u200d🚀 hi", "ab\u00adc"])
def test_joiners_inside_words_stay(word: str) -> None:
    """Zero-width joiners spell words and emoji; they are not separators there."""
    assert translatable(word) == [word]


def test_long_sentence_is_cut_at_clauses_then_spaces() -> None:
    """The best boundary within the limit is taken, and every part fits."""
    assert translatable("one two three, four five six; seven", max_segment_chars=18) == [
        "one two three,", "four five six;", "seven",
    ]  # fmt: skip
    assert translatable("one two three four five", max_segment_chars=10) == ["one two", "three four", "five"]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("महंगाई ३.५ प्रतिशत रही", "hin_Deva"),
        ("यह ०५.०६.२०२४ को हुआ", "hin_Deva"),
        ("সুদ ৩.৫ শতাংশ", "ben_Beng"),
        ("نرخ ۳.۵ درصد است", "pes_Arab"),
        ("増加率は１．５倍", "jpn_Jpan"),
        ("El n.º 5 y D.ª Ana", "spa_Latn"),
        ("En 52 av. J.-C. déjà", "fra_Latn"),
    ],
)
def test_no_sentence_ends_inside_a_number_or_an_abbreviation(text: str, language: str) -> None:
    """Decimals and dates in the digits of any script, ordinals and hyphenated initials are asked for whole."""
    pieces = translatable(text, language)
    assert pieces[0].split() == text.split()[: len(pieces[0].split())]
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")
    assert not any(regex.match(r"\d|[ºª-]", piece) for piece in pieces)


def test_numbers_are_not_cut() -> None:
    """Neither a decimal nor digit groups with spaces are torn apart."""
    assert translatable("sum of 1 000 000 euros", max_segment_chars=12) == ["sum of", "euros"]
    assert "12345.678" in [each.text for each in split_text("abcdef12345.678ghi", "eng_Latn", max_segment_chars=9)]


@pytest.mark.parametrize("unit", ["a", "🇫", ". ", "\u0301", "a\u200b"])
def test_million_characters_are_cut(unit: str) -> None:
    """A million characters of anything are cut without loss (and in linear time, or this would not end)."""
    text = unit * (1_000_000 // len(unit))
    pieces = split_text(text, "eng_Latn", max_segment_chars=400)
    assert "".join(each.text for each in pieces) == text


def test_piece_is_a_value() -> None:
    """Pieces compare by what they hold."""
    assert split_text("Hi", "en", max_segment_chars=9) == [Piece("Hi", translatable=True)]


def test_what_is_whole_is_never_cut() -> None:
    """A placeholder with spaces, an address with a full stop and a block of code stay in one piece, at any limit."""
    text = "Open {count, plural, one {# file. Or} other {# files}} at https://a.org/b?c=d. Then go."
    whole = unchanged_spans(text, find_spans(text))
    for limit in (5, 10, 20, 500):
        pieces = split_text(text, "eng_Latn", max_segment_chars=limit, whole=whole)
        assert "".join(each.text for each in pieces) == text
        for span in whole:
            assert any(span.output in each.text for each in pieces)
    assert [each.text for each in pieces if each.translatable][1] == "Then go."


@given(ANY_TEXT | HARD_TEXT, st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)), max_size=4), st.integers(1, 9))
@settings(max_examples=300, deadline=None)
def test_any_spans_can_be_whole(text: str, places: list[tuple[int, int]], max_chars: int) -> None:
    """For every string and any spans: nothing is lost, and no piece begins inside a span."""
    spans = merge_spans([Span(start, start + n, "") for start, n in places if n and start + n <= len(text)])
    pieces = split_text(text, "eng_Latn", max_segment_chars=max_chars, whole=spans)
    assert "".join(each.text for each in pieces) == text
    position = 0
    for each in pieces:
        assert not any(span.start < position < span.end for span in spans)
        position += len(each.text)
