"""Texts that are made to cost much cost what others of their length do: at the longest, each would take minutes."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.text.markup.build import raw_of
from pipelines.text.markup.read import read_document

_NUM_CHARS = 100_000


@pytest.mark.parametrize(
    ("format", "before", "unit", "after"),
    [
        ("srt", "1\n00:00:01,000 --> 00:00:02,000\n<", "a", ""),
        ("markdown", "x <", "a", ' b=">">'),
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
