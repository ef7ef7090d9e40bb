"""Texts that are made to cost much cost what others of their length do: at the longest, each would take minutes."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.text.markup.build import raw_of
from pipelines.text.markup.markdown_escapes import escape, escape_block_marks
from pipelines.text.markup.read import read_document

_NUM_CHARS = 100_000


@pytest.mark.parametrize(
    ("format", "before", "unit", "after"),
    [
        ("srt", "1\n00:00:01,000 --> 00:00:02,000\n<", "a", ""),
        ("markdown", "x <", "a", ' b=">">'),
        ("srt", "1\n00:00:01,000 --> 00:00:02,000\na\n", "b ? ", ""),
        ("markdown", "", "$a-", ""),
        ("markdown", "", "---\n", ""),
        ("markdown", "", "<http://a", ""),
        (
            "xml",
            "<!DOCTYPE r [<!ATTLIST a " + " ".join(f"b{n} CDATA ''" for n in range(4000)) + ">]><r>",
            "<a/>",
            "</r>",
        ),
        ("html", "", "<a ", ""),
        ("html", "", "<!--", ""),
        ("html", "", "<!--a>", ""),
        ("html", "", "</", ""),
        ("html", "<i style='", "a", "'>b</i>"),
        ("xml", "<r>", "<a/>", "</r>"),
        ("html", "", "<i lang=xyz>a</i> ", ""),
    ],
)
def test_the_cost_grows_with_the_length(format: Any, before: str, unit: str, after: str) -> None:
    """No part of a text is looked through again from each of its characters."""
    text = before + unit * (_NUM_CHARS // len(unit)) + after
    parts, _ = read_document(text, format, source_lang="eng_Latn")
    assert raw_of(parts) == text


@pytest.mark.parametrize("unit", [":\r", "- ", "-\t\r", "[", "https://a/~", "1.\r"])
def test_the_cost_of_escapes_grows_with_the_length(unit: str) -> None:
    """Likewise in what is written."""
    written = escape(unit * (_NUM_CHARS // len(unit)) + "9", frozenset("[]~-"))
    assert len(escape_block_marks(written)) >= _NUM_CHARS - len(unit)
