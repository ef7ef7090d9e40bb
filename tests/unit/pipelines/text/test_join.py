"""How outputs become a text again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.text.join import join_pieces
from pipelines.text.protect import split_around
from pipelines.text.segment import split_text
from pipelines.text.spans import Span


def translated(text: str, source: str, target: str, outputs: list[str]) -> str:
    """Split, replace, join."""
    pieces = split_text(text, source, max_segment_chars=500)
    return join_pieces(pieces, outputs, source_lang=source, target_lang=target)


@given(st.text(st.characters(exclude_categories=[])), st.sampled_from(["eng_Latn", "zho_Hans", "tha_Thai"]),
       st.sampled_from(["eng_Latn", "zho_Hant", "jpn_Jpan"]))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_identity_is_byte_exact(text: str, source: str, target: str) -> None:
    """Outputs equal to their sources give the text back, whatever the scripts."""
    pieces = split_text(text, source, max_segment_chars=20)
    outputs = [each.text for each in pieces if each.translatable]
    assert join_pieces(pieces, outputs, source_lang=source, target_lang=target) == text


def test_spaced_script_gets_spaces_between_sentences() -> None:
    """Chinese has none between sentences, English needs them; newlines stay as they were."""
    assert translated("你好。再见。\n\n谢谢。", "zho_Hans", "eng_Latn", ["Hello.", "Goodbye.", "Thanks."]) == (
        "Hello. Goodbye.\n\nThanks."
    )


def test_existing_spaces_are_not_doubled() -> None:
    """A source that has its spaces keeps just those."""
    assert translated("你好。 再见。", "zho_Hans", "eng_Latn", ["Hello.", "Goodbye."]) == "Hello. Goodbye."


def test_unspaced_script_loses_single_spaces_between_sentences() -> None:
    """English into Chinese: no space after 。, but newlines and wide gaps stay."""
    outputs = ["你好。", "再见。", "谢谢。", "好。"]
    text = "Hello. Bye.\nThanks.    Good."
    assert translated(text, "eng_Latn", "zho_Hans", outputs) == "你好。再见。\n谢谢。    好。"


def test_latin_words_kept_in_an_unspaced_script_stay_apart() -> None:
    """Two names that were copied do not run together."""
    assert translated("Go. Run.", "eng_Latn", "jpn_Jpan", ["GO.", "Run."]) == "GO. Run."


def test_same_kind_of_script_keeps_every_separator() -> None:
    """Between two spaced scripts nothing is added or dropped."""
    text = "  One.  Two.\n Three. "
    assert translated(text, "eng_Latn", "hin_Deva", ["एक।", "दो।", "तीन।"]) == "  एक।  दो।\n तीन। "


def test_halves_of_a_long_latin_word_stay_together() -> None:
    """A word cut by the limit inside a Chinese text is not given a space."""
    pieces = split_text("a" * 30, "zho_Hans", max_segment_chars=20)
    assert join_pieces(pieces, ["b", "c"], source_lang="zho_Hans", target_lang="eng_Latn") == "bc"


def test_wrong_number_of_outputs_is_an_error() -> None:
    """A lost output is never hidden."""
    with pytest.raises(ValueError, match="zip"):
        translated("One. Two.", "eng_Latn", "fra_Latn", ["Un."])


def around(text: str, span: str, output: str, outputs: list[str], pair: str = "zho_Hans eng_Latn") -> str:
    """Translate around one span."""
    source, target = pair.split()
    start = text.index(span)
    pieces = split_around(text, [Span(start, start + len(span), output)])
    return join_pieces(pieces, outputs, source_lang=source, target_lang=target)


@pytest.mark.parametrize(
    ("text", "span", "output", "outputs", "expected"),
    [
        ("我的心脏很痛。", "心脏", "heart", ["My", "hurts."], "My heart hurts."),
        ("我的心脏，很痛", "心脏", "heart", ["My", ", hurts"], "My heart, hurts"),
        ("心脏的大小", "心脏", "heart", ["'s size"], "heart's size"),
        ("（{name}您好", "{name}", "{name}", ["hello"], "（{name} hello"),
        ("请看https://a.jp/吧！", "https://a.jp/", "https://a.jp/", ["See", "now!"], "See https://a.jp/ now!"),
        ("共%d个", "%d", "%d", ["Total", "files"], "Total %d files"),
        ("价格$心脏", "心脏", "heart", ["Price $"], "Price $heart"),
        ("看<b>心脏", "<b>", "<b>", ["See", "heart"], "See <b>heart"),
        ("看</b>心脏", "</b>", "</b>", ["See", "heart"], "See</b> heart"),
        ("Xname心脏", "name", "name", ["X", "heart"], "Xname heart"),
        ("心脏 {name}", "{name}", "{name}", ["heart"], "heart {name}"),
    ],
)
def test_spaces_around_spans_that_the_source_left_out(
    text: str, span: str, output: str, outputs: list[str], expected: str
) -> None:
    """What becomes of Chinese has spaces between its words, not before punctuation and not inside Latin words."""
    assert around(text, span, output, outputs) == expected


def test_spaces_around_spans_depend_on_both_scripts() -> None:
    """Thai has no spaces between words either; from or into another language with spaces nothing is added."""
    assert around("ฉันชอบ{x}มาก", "{x}", "{x}", ["I like", "much"], "tha_Thai eng_Latn") == "I like {x} much"
    assert around("我有{x}病", "{x}", "{x}", ["ฉันมี", "โรค"], "zho_Hans tha_Thai") == "ฉันมี{x}โรค"
    assert around("pre{x}fix", "{x}", "{x}", ["vor", "silbe"], "eng_Latn deu_Latn") == "vor{x}silbe"


def test_halves_of_a_long_thai_sentence_are_apart() -> None:
    """A sentence that was cut between two words becomes words with a space."""
    pieces = split_text("ฉันชอบกินข้าว", "tha_Thai", max_segment_chars=7)
    outputs = ["I like", "to eat"][: sum(piece.translatable for piece in pieces)]
    assert join_pieces(pieces, outputs, source_lang="tha_Thai", target_lang="eng_Latn") == "I like to eat"
