"""What is protected, and how it survives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.text.join import join_pieces
from pipelines.text.patterns import Patterns
from pipelines.text.protect import Masked, as_written, find_spans, has_language, mask, split_around
from pipelines.text.spans import Span, unchanged_spans

MARKED_TEXT = st.lists(
    st.sampled_from(
        ["word", "слово", " ", "{name}", "%s", "https://a.bc/d?e=f", "🙂", "`code`", "ZQ", "0", "Q", ".", "{", "}}"]
    )
).map("".join)


def spans_of(text: str, terms: Sequence[str] = ()) -> list[str]:
    """The protected parts of a text."""
    return [text[start:end] for start, end in find_spans(text, terms=terms)]


def masked_form(text: str) -> Masked | None:
    """A text with all that is found by itself hidden."""
    return mask(text, unchanged_spans(text, find_spans(text)))


def restored(masked: Masked, output: str) -> str | None:
    """The whole text with an output in the place of what was translated."""
    text = masked.restore(output)
    if text is None:
        return None
    return join_pieces(masked.pieces, [text], source_lang="eng_Latn", target_lang="spa_Latn")


@pytest.mark.parametrize(
    ("text", "protected"),
    [
        ("See https://example.org/a_b?c=d#e.", ["https://example.org/a_b?c=d#e"]),
        ("(http://x.org/y), ok", ["http://x.org/y"]),
        ("(https://x.org/Foo_(bar)), ok", ["https://x.org/Foo_(bar)"]),
        ("at www.example.com!", ["www.example.com"]),
        ("visit example.com today", ["example.com"]),
        ("visit docs.example.org/a_b?c.", ["docs.example.org/a_b?c"]),
        ("mail jo.doe+x@mail.example.org.", ["jo.doe+x@mail.example.org"]),
        ("edit /etc/hosts.d/main and ~/notes.txt or src/main.py", ["/etc/hosts.d/main", "~/notes.txt", "src/main.py"]),
        (r"open C:\Users\me\file.txt.", [r"C:\Users\me\file.txt"]),
        ("run `make all` now", ["`make all`"]),
        ("#hashtag by @some_one, नमस्ते #हिन्दी", ["#hashtag", "@some_one", "#हिन्दी"]),
        ("Hi %s, %(name)d of %1$s is %.2f%%", ["%s", "%(name)d", "%1$s", "%.2f", "%%"]),
        (
            "{name} {0} {{count}} ${x} $t(key.a) {{- raw}}",
            ["{name}", "{0}", "{{count}}", "${x}", "$t(key.a)", "{{- raw}}"],
        ),
        ("You have {n, plural, one {# file} other {# files}}.", ["{n, plural, one {# file} other {# files}}"]),
        ('<x id="1"/>Hello</g>', ['<x id="1"/>', "</g>"]),
        ("fine 👩🏽‍🚀🇫🇷 1️⃣ ok", ["👩🏽‍🚀🇫🇷", "1️⃣"]),
    ],
)
def test_protected(text: str, protected: list[str]) -> None:
    """Everything that is not language is found, without the punctuation around it."""
    assert spans_of(text) == protected


@pytest.mark.parametrize(
    ("text", "protected"),
    [
        ("请看https://a.com/x", ["https://a.com/x"]),
        ("关于https://a.jp/をご覧ください。", ["https://a.jp/"]),
        ("https://a.com了解更多信息", ["https://a.com"]),
        ("见（https://a.com/x）。谢谢", ["https://a.com/x"]),
        ("ดูที่https://a.com/xครับ", ["https://a.com/x"]),
        ("مرحباhttps://a.com", ["https://a.com"]),
        ("請參閱www.a.com。", ["www.a.com"]),
        ("访问a.com网站", ["a.com"]),
        ("联系me@x.org谢谢", ["me@x.org"]),
        ("写信到mailto:me@x.org谢谢", ["mailto:me@x.org"]),
        ("共%d个，%s个文件", ["%d", "%s"]),
        ("关注@user和#tag", ["@user", "#tag"]),
    ],
)
def test_protected_next_to_words_without_spaces(text: str, protected: list[str]) -> None:
    """What is not language begins and ends where the letters of a script without spaces do."""
    assert spans_of(text) == protected


@pytest.mark.parametrize(
    ("text", "protected"),
    [
        ("Siehe https://de.wikipedia.org/wiki/Größe.", ["https://de.wikipedia.org/wiki/Größe"]),
        ("См. https://ru.wikipedia.org/wiki/Москва, да", ["https://ru.wikipedia.org/wiki/Москва"]),
        ("schreib an jürgen@müller.de", ["jürgen@müller.de"]),
        ("See https://zh.wikipedia.org/wiki/中国.", ["https://zh.wikipedia.org/wiki/中国"]),
        ("(https://ja.wikipedia.org/wiki/日本#歴史)", ["https://ja.wikipedia.org/wiki/日本#歴史"]),
        # Without a space nobody can tell a name from the sentence that goes on.
        ("参见 https://zh.wikipedia.org/wiki/中国。", ["https://zh.wikipedia.org/wiki/"]),
        ("今日の #Python入門 です", ["#Python入門"]),
    ],
)
def test_names_in_other_letters_belong_to_an_address(text: str, protected: list[str]) -> None:
    """Addresses are whole in every script with spaces, and in one without where spaces are around them."""
    assert spans_of(text) == protected


@pytest.mark.parametrize(
    ("text", "protected"),
    [
        (
            "{g, select, male {{n, plural, one {# file} other {# {b}}}} other {They}} shared it",
            ["{g, select, male {{n, plural, one {# file} other {# {b}}}} other {They}}"],
        ),
        ("{0,choice,0#no|1#one file} is { name }", ["{0,choice,0#no|1#one file}", "{ name }"]),
        ("see <0>the docs</0> and<1/>", ["<0>", "</0>", "<1/>"]),
    ],
)
def test_messages_inside_messages_are_whole(text: str, protected: list[str]) -> None:
    """ICU's plural inside a select, its choice, a name with spaces around it, i18next's numbered tags."""
    assert spans_of(text) == protected


@pytest.mark.parametrize(
    ("text", "protected"),
    [
        ("П`ять хвилин і зв`язок", []),
        ("П`ять хвилин, зв`язок та `код` тут", ["`код`"]),
        ("call f`x()` and `y` or g`z` now", ["`x()`", "`y`", "`z`"]),
        ("使用`code`命令", ["`code`"]),
    ],
)
def test_a_backtick_inside_a_word_is_an_apostrophe(text: str, protected: list[str]) -> None:
    """Prose between two of them is translated; code next to a letter is still code."""
    assert spans_of(text) == protected


@pytest.mark.parametrize(
    "text",
    ["100% sure", "50 % de plus", "and/or", "5 km/h", "3 < 4 > 2", "He left.Then", "a {b c} d", "it's #1", "e.g. this"],
)
def test_language_is_not_protected(text: str) -> None:
    """Prose that resembles a placeholder stays translatable."""
    assert spans_of(text) == []


def test_terms_are_whole_words() -> None:
    """A term is kept where it is a word of its own; scripts without spaces have no such limit."""
    assert spans_of("Ray and Raymond like Ray.", terms=["Ray"]) == ["Ray", "Ray"]
    assert spans_of("我用雷伊工作", terms=["雷伊"]) == ["雷伊"]


def test_terms_are_found_however_their_accents_are_written() -> None:
    """Composed in the request and decomposed in the text, or the other way round; what is kept is the text's own."""
    composed, decomposed = "Caf\u00e9", "Cafe\u0301"
    for term, written in itertools.product((composed, decomposed), repeat=2):
        assert spans_of(f"At {written} we met.", terms=as_written([term])) == [written]
    assert as_written(["Ray", "Ray"]) == ("Ray",)


def test_a_tower_of_accents_is_left_as_it_is() -> None:
    """To sort them takes their number squared: minutes for what fits into a request."""
    tower = "a" + "\u0301\u0323" * 200_000
    assert as_written([tower]) == (tower,)


def test_patterns_find_spans() -> None:
    """What a caller's expression matches is kept, together with what it overlaps."""
    found = find_spans("order AB-12 or {x}y now", patterns=Patterns([r"[A-Z]{2}-\d+", r"\}y", "z*"]))
    assert found == [(6, 11), (15, 19)]


def test_masks_come_back_wherever_the_model_puts_them() -> None:
    """Word order may change; spans at the ends never reach the model."""
    text = "🙂 Open {file} at https://a.org/b now! 🙂"
    masked = masked_form(text)
    assert masked is not None
    assert masked.text == "Open ZQ0Q at ZQ1Q now!"
    assert restored(masked, "Ahora abre en ZQ1Q ZQ0Q!") == "🙂 Ahora abre en https://a.org/b {file}! 🙂"


@pytest.mark.parametrize("output", ["", "ZQ0Q", "ZQ0Q ZQ0Q ZQ1Q", "ZQ0Q ZQ2Q", "ZQ0 ZQ1Q"])
def test_lost_or_doubled_masks_are_noticed(output: str) -> None:
    """An output without each mask exactly once is not believed."""
    masked = masked_form("a {x} b {y} c")
    assert masked is not None
    assert restored(masked, output) is None


def test_nothing_to_translate_is_not_masked() -> None:
    """A text of spans alone has no masked form."""
    assert masked_form("{x} 🙂!") is None


def test_a_span_may_have_another_output() -> None:
    """A glossary's term stands where the model puts its mask, at the ends of the text as well."""
    spans = [Span(0, 5, "Infarto"), Span(10, 15, "दिल")]
    masked = mask("Heart and heart.", spans)
    assert masked is not None
    assert (masked.text, restored(masked, "y")) == ("and", "Infarto y दिल.")
    pieces = split_around("Heart and heart.", spans)
    assert join_pieces(pieces, ["y"], source_lang="eng_Latn", target_lang="hin_Deva") == "Infarto y दिल."


@given(MARKED_TEXT)
@settings(max_examples=300, deadline=None)
def test_identity_comes_back_to_the_byte(text: str) -> None:
    """Masked and restored, or split around and joined: the text is the same."""
    spans = unchanged_spans(text, find_spans(text))
    masked = mask(text, spans)
    assert masked is None or restored(masked, masked.text) == text
    assert "".join(piece.text for piece in split_around(text, spans)) == text


@given(st.text(alphabet="ab.:/@#$%{}[]()<>`\\\\~-_0,wct \u20e3\ufe0f©🙂🇫🇷é", max_size=12))
@settings(deadline=None)
def test_a_sign_elsewhere_changes_nothing(text: str) -> None:
    """A text without any sign of a span is not searched for one, and has none: with a sign behind it, none is found."""
    assert find_spans(text) == find_spans(f"{text} %")


@given(st.text(st.characters(exclude_categories=[])))
@settings(max_examples=300, deadline=None)
def test_any_text_can_be_searched(text: str) -> None:
    """Spans are in order and do not overlap, for every string."""
    spans = find_spans(text)
    assert all(start < end for start, end in spans)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(spans))


@pytest.mark.parametrize(
    "unit",
    ["{", "%", "<a", "a.", "/a", "#", "`", "@a", "{n, plural,", "a/", "🙂", "http://", "http://a/中", "\\\\", "\\a"],
)
def test_hostile_text_costs_little(unit: str) -> None:
    """Ten thousand repetitions of what begins a span end in reasonable time."""
    find_spans(unit * 10_000)


@pytest.mark.parametrize(("text", "has"), [("12:30 {name} https://a.org 🙂", False), ("", False), ("{name}, hi", True)])
def test_what_has_language(text: str, has: bool) -> None:
    """Letters of placeholders and addresses are no language."""
    assert has_language(text) is has
