"""What is language in HTML, by the standard's section about `translate`; through the whole pipeline."""

from __future__ import annotations

import html

import pytest

from pipelines.text.markup.build import raw_of
from pipelines.text.markup.html.read import read_html
from pipelines.translate import TranslationPipeline
from pipelines.types import TranslationRequest
from tests.fakes import ShoutingStation
from tests.fakes_text import DictionaryStation, shout


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<p>One. Two.</p>\n<p>Three</p>", "<p>ONE. TWO.</p>\n<p>THREE</p>"),
        ("<p>A <b>big</b> and <i>wee <u>cat</u></i> here</p>", "<p>A <b>BIG</b> AND <i>WEE <u>CAT</u></i> HERE</p>"),
        ("<!-- note --><style>p { a: b }</style><script>say('hi')</script>", None),
        ("<p translate=no>Brand</p><p class='x notranslate'>Brand</p>", None),
        ("<p translate=no>Brand <b translate=yes>new</b></p>", "<p translate=no>Brand <b translate=yes>NEW</b></p>"),
        ("<p>A <i translate=no>Brand <b translate>new</b></i> x</p>",
         "<p>A <i translate=no>Brand <b translate>NEW</b></i> X</p>"),
        ("<code title='a note'>x = y</code>", "<code title='A NOTE'>x = y</code>"),
        ("<p title=note translate=no>x</p>", None),
        ("<div class=a title=one class=b title=two>x</div>", "<div class=a title=ONE class=b title=TWO>X</div>"),
        ("<a download='the report.tar.gz' href=x>y</a><a download>z</a>",
         "<a download='THE REPORT.tar.gz' href=x>Y</a><a download>Z</a>"),
        ("<table><th abbr=short>long</th><td abbr=short>x</td></table>",
         "<table><th abbr=SHORT>LONG</th><td abbr=short>X</td></table>"),
        ("<select><optgroup label='a b'><option label=c>d</option></optgroup></select>",
         "<select><optgroup label='A B'><option label=C>D</option></optgroup></select>"),
        ("<video><track label=English srclang=en>no video here</video>",
         "<video><track label=ENGLISH srclang=en>NO VIDEO HERE</video>"),
        ("<input type=submit value=send><input type=submit name=do value=send><input type=Reset value=clear>",
         "<input type=submit value=SEND><input type=submit name=do value=send><input type=Reset value=CLEAR>"),
        ("<iframe srcdoc='<p title=&quot;a b&quot;>one <b>two</b></p><script>var x</script>'></iframe>",
         "<iframe srcdoc='<p title=&quot;A B&quot;>ONE <b>TWO</b></p><script>var x</script>'></iframe>"),
        ('<iframe srcdoc="&lt;p>it&amp;apos;s &amp;lt;"></iframe>',
         '<iframe srcdoc="&lt;p>IT&amp;apos;S &amp;lt;"></iframe>'),
        ("<iframe srcdoc='<iframe srcdoc=&quot;one&quot;></iframe>'>fallback</iframe>",
         "<iframe srcdoc='<iframe srcdoc=&quot;ONE&quot;></iframe>'>fallback</iframe>"),
        ("<i style='color: red; content: \"one\" /* \"no\" */ attr(x) \"t\\77o\"; quotes: \"x\"'>a</i>",
         "<i style='color: red; content: \"ONE\" /* \"no\" */ attr(x) \"TWO\"; quotes: \"x\"'>A</i>"),
        ("<svg><title>a cat</title><style>a { b: c }</style><g><text x=1>on a <tspan>mat</tspan></text>x</g></svg>",
         "<svg><title>A CAT</title><style>a { b: c }</style><g><text x=1>ON A <tspan>MAT</tspan></text>x</g></svg>"),
        ("<p>press <svg aria-label='a star'><path d='M 0 0'/><desc>five points</desc></svg> twice</p>",
         "<p>PRESS <svg aria-label='A STAR'><path d='M 0 0'/><desc>FIVE POINTS</desc></svg> TWICE</p>"),
        ("<svg translate=no><text>logo</text></svg>", None),
        ("<svg><foreignObject><p>one</p></foreignObject><text>two</svg> three",
         "<svg><foreignObject><p>ONE</p></foreignObject><text>TWO</svg> THREE"),
        ("<template><p>one {name}</p></template>", "<template><p>ONE {name}</p></template>"),
        ("<p>see <object data=x>a picture of <b>one</b> cat</object> and <math><mi>x</mi></math></p>",
         "<p>SEE <object data=x>A PICTURE OF <b>ONE</b> CAT</object> AND <math><mi>x</mi></math></p>"),
        ("<p>an <audio src=x>unclosed <b>thing</p> more", "<p>AN <audio src=x>UNCLOSED <b>THING</p> MORE"),
        ("Run <code>make all</code> now &amp; then&hellip;", "RUN <code>make all</code> NOW &amp; THEN&hellip;"),
        ("<img alt='a cat' src='a b.png'>", "<img alt='A CAT' src='a b.png'>"),
        ('<a href="u" title="say &quot;hi&quot;">x y</a>', '<a href="u" title="SAY &quot;HI&quot;">X Y</a>'),
        ("<input placeholder=name type=text value=abc>", "<input placeholder=NAME type=text value=abc>"),
        ('<input type=submit value="send it">', '<input type=submit value="SEND IT">'),
        ('<button aria-label="close">x</button>', '<button aria-label="CLOSE">X</button>'),
        ('<meta name="description" content="a page"><meta name="robots" content="all">',
         '<meta name="description" content="A PAGE"><meta name="robots" content="all">'),
        ('<html lang="en"><body>hello</body></html>', '<html lang="es"><body>HELLO</body></html>'),
        ('<html lang="en"><body>123</body></html>', None),
        ("a <i lang=la>ad hoc</i> team", "A <i lang=la>ad hoc</i> TEAM"),
        ("<p>unclosed <b>bold<p>next</i> & a < b", "<p>UNCLOSED <b>BOLD<p>NEXT</i> & A < B"),
        ("<p>line\n   broken</p>", "<p>LINE BROKEN</p>"),
        ("<pre>line one\n  line two</pre>", "<pre>LINE ONE\n  LINE TWO</pre>"),
        ("<!-- never closed <p>text</p><p>more", None),
        ("one <b title='a b", "ONE <b title='a b"),
        ("<p>one</p><![nosection[ two ]]>three", "<p>ONE</p><![nosection[ two ]]>THREE"),
        ("<script>var x <b title='a b'>", None),
        ("one<br>two", "ONE<br>TWO"),
    ],
)  # fmt: skip
async def test_what_is_translated(source: str, expected: str | None) -> None:
    """Text, the attributes that the standard names, and nothing else; None: comes back as it is."""
    assert (await shout(source, "html")).text == (source if expected is None else expected)


async def test_html_escapes_what_the_model_writes() -> None:
    """A model's angle bracket makes no tag."""
    station = DictionaryStation({"two words": "<b> & palabras"})
    result = await TranslationPipeline(station).translate(TranslationRequest("two words", "en", "es", format="html"))
    assert result.text == "&lt;b&gt; &amp; palabras"


async def test_declared_languages_are_translated_from() -> None:
    """A block that says it is in another language is translated from that; one in the target's language stays."""
    station = ShoutingStation()
    source = "<p>one</p><blockquote lang=fr>deux</blockquote><p lang=es>tres</p>"
    result = await TranslationPipeline(station).translate(TranslationRequest(source, "en", "es", format="html"))
    assert [(each.text, each.source_lang) for each in station.calls[0]] == [("one", "eng_Latn"), ("deux", "fra_Latn")]
    assert result.text == "<p>ONE</p><blockquote lang=es>DEUX</blockquote><p lang=es>tres</p>"


async def test_what_the_model_writes_into_documents_in_documents_is_escaped_for_both() -> None:
    """An angle bracket makes no tag and a quote ends no attribute, at any depth."""
    station = DictionaryStation({"one": "<\"'&"})
    for source, expected in (
        ('<iframe srcdoc="one">', '<iframe srcdoc="&amp;lt;&quot;\'&amp;amp;">'),
        ("<iframe srcdoc='<p title=\"one\">'>", "<iframe srcdoc='<p title=\"&amp;lt;&amp;quot;&#39;&amp;amp;\">'>"),
        ("<p style=\"content: 'one'\">", "<p style=\"content: '&lt;&quot;\\'&amp;'\">"),
    ):
        result = await TranslationPipeline(station).translate(TranslationRequest(source, "en", "es", format="html"))
        assert result.text == expected


async def test_attributes_are_in_the_language_of_their_element() -> None:
    """`lang` speaks for the attributes as well."""
    station = ShoutingStation()
    source = "<p lang=fr title=deux>un <img alt=trois></p>"
    await TranslationPipeline(station).translate(TranslationRequest(source, "en", "es", format="html"))
    asked = {each.text: each.source_lang for each in station.calls[0]}
    assert (asked["deux"], asked["trois"]) == ("fra_Latn", "fra_Latn")


@pytest.mark.parametrize("unit", ["<i translate=no><b translate=yes>", "<svg><text>", "<iframe srcdoc=<p>a"])
async def test_depth_is_bounded(unit: str) -> None:
    """Language in what is none in language, a thousand times: still the document, and no endless recursion."""
    source = unit * 1000 + "one"
    assert (await shout(source, "html")).text.lower() == source.lower()


@pytest.mark.parametrize("source", ["<b>" * 8000 + "</i>" * 8000, "<b>x" * 10_000, "<b>" * 8000 + "<i>x</i>" * 4000])
def test_deep_documents_cost_little(source: str) -> None:
    """What is never closed is looked through for no other element."""
    assert raw_of(read_html(source)) == source


@pytest.mark.parametrize("unit", ["<b>x</b> ", "<b>x "])
async def test_more_tags_than_words_are_no_sentence(unit: str) -> None:
    """Thousands of tags are not looked for one by one: the text is translated between them."""
    result = await shout(unit * 1000, "html")
    assert result.text == (unit * 1000).replace("x", "X")
    assert {each.code for each in result.notices} == {"tags_split"}


def test_documents_in_documents_are_bounded() -> None:
    """A document in a document, and so on, is read a few times."""
    source = "one"
    for _ in range(40):
        source = f"<iframe srcdoc={html.escape(source).replace(' ', '&#32;')}>"
    assert raw_of(read_html(source)) == source
