"""What a translation says never becomes markup, whatever the source has bare; through the whole pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pyromark
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.text.markup.html.tokens import tokenize
from pipelines.translate import TranslationPipeline
from pipelines.types import TranslationRequest
from tests.fakes_text import DictionaryStation

_NASTY = [
    "<script>", "</p>", "<!--", "-->", "]]>", "&lt", "&copy;", "&#", "60;", "<b", "&amp;", "- ", "+ ", "# ", "> ",
    "1. ", "2) ", "===", "---", "* ", "**", "_", "`", "```", "~~~", "~~", "[x]", "(y)", "[x]: z", "| a |", "\\", "!",
    "word ",
]  # fmt: skip
_PIECES = st.sampled_from(_NASTY) | st.text("ab <>&#;/-[]()*_`~|\\.1+=:", max_size=3)
WRITINGS = st.lists(_PIECES, min_size=1, max_size=12).map(lambda pieces: "".join(pieces).strip() or "x")


def _translate(source: str, format: Any, writes: Callable[[str], str] = str.upper) -> str:
    pipeline = TranslationPipeline(DictionaryStation({}, make=writes))
    return asyncio.run(pipeline.translate(TranslationRequest(source, "en", "es", format=format))).text


@pytest.mark.parametrize(
    ("format", "source", "expected"),
    [
        ("html", "<p>a < b. Use &lt;img src=x> now</p>", "<p>A &lt; B. USE &lt;img src=x> NOW</p>"),
        ("html", "<p>Tom & Jerry use &amp;copy; here</p>", "<p>TOM &amp; JERRY USE &amp;COPY; HERE</p>"),
        ("html", "<p>a caf&eacute; and a cafés</p>", "<p>A CAFÉ AND A CAFÉS</p>"),
        ("xml", "<r>a > b ]]&gt; now</r>", "<r>A &gt; B ]]&gt; NOW</r>"),
        ("vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\na > b --&gt; c\n",
         "WEBVTT\n\n00:01.000 --> 00:02.000\nA &gt; B --&gt; C\n"),
        ("markdown", "\\*not bold\\* and 2 * 3", "\\*NOT BOLD\\* AND 2 \\* 3"),
        ("markdown", "\\- well-known", "\\- WELL-KNOWN"),
        ("markdown", "1986\\. A year. So.", "1986\\. A YEAR. SO."),
        ("markdown", "\\> no quote and a > b", "\\> NO QUOTE AND A \\> B"),
    ],
)  # fmt: skip
def test_what_the_source_escapes_once_is_escaped(format: str, source: str, expected: str) -> None:
    """That the same character stands bare elsewhere in the passage changes nothing; a letter needs no form."""
    assert _translate(source, format) == expected


@pytest.mark.parametrize(
    ("source", "writes", "expected"),
    [
        ("![a picture [1]](u.png)", "UNE IMAGE 1]", "![UNE IMAGE 1\\]](u.png)"),
        ("[the notes [1]](url)", "LES NOTES 1]", "[LES NOTES 1\\]](url)"),
        ("[the notes [1]](url)", "LES [NOTES [1]", "[LES \\[NOTES [1]](url)"),
    ],
)
def test_a_lost_bracket_leaves_a_link_whole(source: str, writes: str, expected: str) -> None:
    """A bracket without its partner would end the label, or be a part of the markup around it."""
    assert _translate(source, "markdown", lambda _: writes) == expected


@pytest.mark.parametrize(
    ("format", "source"),
    [("html", "<p>&#{};x</p>"), ("html", "<p title='&#{};'>x</p>"), ("xml", "<r>&#{}65;x</r>"),
     ("vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n&#{};x\n"), ("markdown", "<div>\n&#{};x\n</div>\n")],
)  # fmt: skip
def test_a_reference_of_thousands_of_digits_is_text(format: str, source: str) -> None:
    """It names no character, and is no error."""
    assert "X" in _translate(source.format("0" * 5000 if format == "xml" else "1" * 5000), format)


@pytest.mark.parametrize(
    "source",
    ["<p>1 < 2 word</p>", "<p>a & b > c word</p>", "<p>x ]] > &lt; <b>word</b> y</p>", "<p title='a < b'>word"],
)
@given(WRITINGS)
@settings(max_examples=100, deadline=None)
def test_no_writing_is_markup_in_html(source: str, writing: str) -> None:
    """The tags are the source's, though it has special characters bare."""
    assert _tags(_translate(source, "html", lambda _: writing)) == _tags(source)


@given(WRITINGS)
@settings(max_examples=100, deadline=None)
def test_no_writing_is_markup_in_xml(writing: str) -> None:
    """The document stays well-formed, and says what the model wrote."""
    element = ElementTree.fromstring(_translate("<r>a > b ]]&gt; word</r>", "xml", lambda _: writing))
    assert (element.text, list(element)) == (writing, [])


@pytest.mark.parametrize(
    "source",
    [
        "Hello",
        "- item one",
        "> 2 * 3 is said",
        "A word\n===\n",
        "a > b # c ~ d",
        "C:\\dir [1]",
        "* x `code` y",
        "**a** b",
    ],
)
@given(WRITINGS)
@settings(max_examples=100, deadline=None)
def test_no_writing_is_markup_in_markdown(source: str, writing: str) -> None:
    """No list, heading, fence, link or emphasis that the source has not."""
    assert _elements(_translate(source, "markdown", lambda _: writing)) == _elements(source)


@pytest.mark.parametrize("source", ["# 1. Intro\n", "| - a | 1. b |\n|---|---|\n", "**1. One** - two\n", "`x` - one\n"])
def test_marks_that_begin_no_block_need_no_escape(source: str) -> None:
    """Inside a line, in a heading and in a table's cell they are text."""
    assert _translate(source, "markdown") == source.upper().replace("`X`", "`x`")


def _tags(document: str) -> list[tuple[str, str]]:
    return [(token.kind, token.name) for token in tokenize(document) if token.kind != "text" and token.raw]


def _elements(document: str) -> list[str]:
    events = pyromark.Markdown(options=pyromark.Options.ENABLE_STRIKETHROUGH).events(document)
    return [str(event) for event in events if not (isinstance(event, dict) and "Text" in event)]
