"""What is language in each format, and what is kept; through the whole pipeline, with a station that shouts."""

from __future__ import annotations

import pytest

from pipelines.translate import TranslationPipeline
from pipelines.types import SegmentProgress, TranslationRequest, TranslationResult
from tests.fakes import ShoutingStation
from tests.fakes_text import DictionaryStation, shout


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('<?xml version="1.0"?>\n<r><s n="a b">Hello <b>big</b> world</s></r>',
         '<?xml version="1.0"?>\n<r><s n="a b">HELLO <b>BIG</b> WORLD</s></r>'),
        ("<r><s>a &lt; b &amp; c</s></r>", "<r><s>A &lt; B &amp; C</s></r>"),
        ("<r><s><![CDATA[some <b> text]]></s></r>", "<r><s><![CDATA[SOME <b> TEXT]]></s></r>"),
        ("<r><s translate='no'>keep</s><s>word</s></r>", "<r><s translate='no'>keep</s><s>WORD</s></r>"),
        ("<r>own &entity; stays<!-- note --></r>", "<r>OWN &entity; STAYS<!-- note --></r>"),
        ("<r><s>word</s> <x/></r>", "<r><s>WORD</s> <x/></r>"),
    ],
)  # fmt: skip
async def test_xml(source: str, expected: str) -> None:
    """Elements with text of their own are passages; names, attributes, comments and declarations stay."""
    assert (await shout(source, "xml")).text == expected


async def test_malformed_xml_is_translated_as_far_as_it_is_well_formed() -> None:
    """Nothing is repaired: the rest comes back as it was, and a warning says so."""
    result = await shout("<r><s>word</s><b>more</r>", "xml")
    assert result.text == "<r><s>WORD</s><b>MORE</r>"
    (notice,) = result.notices
    assert notice.code == "malformed_markup"
    assert notice.message.startswith("the text is not well-formed XML: mismatched tag at line 1, column 22;")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("# A title\n\nSome **bold** and `code`.\n", "# A TITLE\n\nSOME **BOLD** AND `code`.\n"),
        ("See [the docs](https://a.b 'x') now", "SEE [THE DOCS](https://a.b 'x') NOW"),
        ("![a cat](c.png)", "![A CAT](c.png)"),
        ("```\ncode here\n```\n\n    more code\n", None),
        ("- one\n- two\n  - three\n", "- ONE\n- TWO\n  - THREE\n"),
        ("> a quote\n> goes on\n", "> A QUOTE GOES ON\n"),
        ("| a b | c |\n|---|---|\n| d | e f |\n", "| A B | C |\n|---|---|\n| D | E F |\n"),
        ("---\ntitle: x\n---\n\ntext\n", "---\ntitle: x\n---\n\nTEXT\n"),
        ("not \\*bold\\* here", "NOT \\*BOLD\\* HERE"),
        ("<div title='a b'>\nsome text\n</div>\n", "<div title='A B'>\nSOME TEXT\n</div>\n"),
        ("- [ ] a task\n", "- [ ] A TASK\n"),
        ("# T\n\n---\nWe ship 2.\n\nMore.\n\n---\n\nBye\n", "# T\n\n---\nWE SHIP 2.\n\nMORE.\n\n---\n\nBYE\n"),
        ("---\na: b\n---\nHi.\n\n---\nSo.\n\n---\n", "---\na: b\n---\nHI.\n\n---\nSO.\n\n---\n"),
        ("It costs US$5 a month, US$10 a year", "IT COSTS US$5 A MONTH, US$10 A YEAR"),
        ("R$10 **ou** R$20, $100 (about C$130), now $5-$10", "R$10 **OU** R$20, $100 (ABOUT C$130), NOW $5-$10"),
        ("so $a_b$ is, 式$x$是, $$y$$ too", "SO $a_b$ IS, 式$x$是, $$y$$ TOO"),
        ("> [!NOTE]\n> Useful.\n\n> [!other]\n", "> [!NOTE]\n> USEFUL.\n\n> [!OTHER]\n"),
        ("see <http://x.edu/~me/>, <http://x/__a__.html>", "SEE <http://x.edu/~me/>, <http://x/__a__.html>"),
        ("**mail** <a_b@c.d> http://x.edu/~me/ now", "**MAIL** <a_b@c.d> http://x.edu/~me/ NOW"),
        ("text[^1]\n\n[^1]: a note\n", "TEXT[^1]\n\n[^1]: A NOTE\n"),
    ],
)
async def test_markdown(source: str, expected: str | None) -> None:
    """Text of headings, paragraphs, lists, quotes, tables and descriptions of images; marks and code stay."""
    assert (await shout(source, "markdown")).text == (source if expected is None else expected)


async def test_markdown_escapes_what_the_source_did_not_mean() -> None:
    """A star that the model writes is no emphasis."""
    station = DictionaryStation({"two words": "dos * palabras_"})
    result = await TranslationPipeline(station).translate(
        TranslationRequest("two words", "en", "es", format="markdown")
    )
    assert result.text == "dos \\* palabras\\_"


@pytest.mark.parametrize(
    ("source", "in_chinese", "in_spanish"),
    [
        ("word _word_ word.", "字*字*字。", "字_字_字。"),
        ("word __word__ word _word_", "字**字**字*字*", "字__字__字_字_"),
        ("_word **word** word_", "*字**字**字*", "_字**字**字_"),
        ("**word _word_ word**", "**字*字*字**", "**字_字_字**"),
        ("*word _word_ word*", "*字_字_字*", "*字_字_字*"),
        ("**_word_** [_word_](x) \\_word\\_", "***字***[*字*](x)\\_字\\_", "**_字_**[_字_](x)\\_字\\_"),
    ],
)
async def test_emphasis_holds_where_words_have_no_space_around_them(
    source: str, in_chinese: str, in_spanish: str
) -> None:
    """Between letters `_` is no emphasis and `*` is; where words have spaces the mark stays, as inside of its like."""
    station = DictionaryStation({}, make=lambda text: text.replace("word", "字").replace(" ", "").replace(".", "。"))
    pipeline = TranslationPipeline(station)
    for target, expected in (("zh", in_chinese), ("es", in_spanish)):
        result = await pipeline.translate(TranslationRequest(source, "en", target, format="markdown"))
        assert result.text == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("[a *b*] is\n\n> ![c\n> d] [a *b*][]", "[A *B*][a *b*] IS\n\n> ![C D][c d] [A *B*][a *b*]"),
        ("[12] x [a *b*](u)", "[12][12] X [A *B*](u)"),
        ("[12]", "[12]"),
    ],
)
async def test_links_by_their_text_still_find_their_address(source: str, expected: str) -> None:
    """A translated text is no longer its definition's label: the label is written behind it."""
    definitions = "\n\n[a *b*]: http://x.y\n[c d]: z.png\n[12]: http://z.y\n"
    assert (await shout(source + definitions, "markdown")).text == expected + definitions


async def test_srt() -> None:
    """Numbers, timings and order stay; a cue of two lines stays one of two lines; speakers keep their lines."""
    source = (
        "1\n00:00:01,000 --> 00:00:02,500\n<i>Hello my friend,\nhow are you?</i>\n\n"
        "2\r\n00:00:03,000 --> 00:00:04,000\r\n- Fine.\r\n- Good.\r\n\r\n3\n00:00:05,000 --> 00:00:06,000\n42\n"
    )
    assert (await shout(source, "srt")).text == source.replace("Hello my friend", "HELLO MY FRIEND").replace(
        "how are you", "HOW ARE YOU"
    ).replace("Fine", "FINE").replace("Good", "GOOD")


async def test_a_longer_cue_is_broken_into_as_many_lines() -> None:
    """Lines of about the same length, tags whole."""
    cue = "1\n00:00:01,000 --> 00:00:02,500\nOne two\n<b>three</b> four\n"
    station = DictionaryStation({"One two three four": "Uno dos tres y cuatro de ellos", "three": "tres"})
    result = await TranslationPipeline(station).translate(TranslationRequest(cue, "en", "es", format="srt"))
    assert result.text == "1\n00:00:01,000 --> 00:00:02,500\nUno dos <b>tres</b> y\ncuatro de ellos\n"


async def test_no_line_begins_with_a_mark() -> None:
    """French puts a space before some marks, or one that does not break: the line does not break there either."""
    timing = "1\n00:00:01,000 --> 00:00:02,500\n"
    for output, lines in (("Vraiment ?", "Vraiment ?"), ("Oui, tu crois ?", "Oui, tu\ncrois ?"),
                          ("« Oui »", "« Oui »"), ("à 10\u00a0000 km", "à 10\u00a0000\nkm")):  # fmt: skip
        station = DictionaryStation({"Is it so really?": output})
        request = TranslationRequest(f"{timing}Is it so\nreally?\n", "en", "fr", format="srt")
        assert (await TranslationPipeline(station).translate(request)).text == f"{timing}{lines}\n"


async def test_vtt() -> None:
    """Header, notes, styles, identifiers, settings, voices and timestamps stay; entities are understood."""
    source = (
        "WEBVTT - title\n\nNOTE a comment\nof two lines\n\nSTYLE\n::cue { color: red }\n\nintro\n"
        "00:01.000 --> 00:02.000 align:start\n<v Bob>Tom &amp; I</v>\n\n00:03.000 --> 00:04.000\nwe <00:03.500>go\n"
    )
    expected = source.replace("Tom &amp; I", "TOM &amp; I").replace("we <00:03.500>go", "WE <00:03.500>GO")
    assert (await shout(source, "vtt")).text == expected


async def test_tags_move_with_their_words() -> None:
    """The words of an element are found in the translation of the whole, wherever they went."""
    station = DictionaryStation(
        {"The red house is big.": "La casa roja es grande.", "red": "Roja.", "big": "grande", "red house": "casa roja"}
    )
    pipeline = TranslationPipeline(station)
    for source, expected in (
        ("The <b>red</b> house is <i>big</i>.", "La casa <b>roja</b> es <i>grande</i>."),
        ("The <a><b>red</b> house</a> is big.", "La <a>casa <b>roja</b></a> es grande."),
    ):
        result = await pipeline.translate(TranslationRequest(source, "en", "es", format="html"))
        assert (result.text, result.notices) == (expected, ())


async def test_tags_that_cannot_be_placed_split_the_sentence() -> None:
    """Every tag is still there and around its words; the price is context, and a warning says so."""
    station = DictionaryStation({"The red house": "La casa roja", "red": "rojo", "The": "El", "house": "casa"})
    result = await TranslationPipeline(station).translate(
        TranslationRequest("The <b>red</b> house", "en", "es", format="html")
    )
    assert result.text == "El <b>rojo</b> casa"
    assert [each.code for each in result.notices] == ["tags_split"]
    assert result.counts["translated_between_tags"] == 1


async def test_a_stream_of_markup_is_the_whole() -> None:
    """The pieces joined are the document."""
    source = "<h1>One</h1><p>Two <b>big</b>. Three.</p><p>Four <img alt='a cat'></p>"
    events = [e async for e in TranslationPipeline(ShoutingStation()).stream(
        TranslationRequest(source, "en", "es", format="html"))]  # fmt: skip
    result = events[-1]
    assert isinstance(result, TranslationResult)
    assert result.text.startswith("".join(e.text for e in events if isinstance(e, SegmentProgress)))
    assert result.text == "<h1>ONE</h1><p>TWO <b>BIG</b>. THREE.</p><p>FOUR <img alt='A CAT'></p>"
