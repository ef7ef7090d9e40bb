"""Glossaries as files."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import InvalidRequestError
from pipelines.glossaries.tables import read_table, write_table

TERM = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda term: term == term.strip() and not term.startswith("\ufeff")
)


@pytest.mark.parametrize(
    ("format", "content"),
    [
        ("tsv", "# comment\nheart attack\tinfarto\n\n kidney \triñón\n"),
        ("csv", '\ufeffheart attack,infarto\r\nkidney,"riñón"\r\n'),
        ("tsv", '# "comment\n#\t"of two columns\nheart attack\tinfarto\nkidney\triñón\n'),
        ("json", '{"heart attack": "infarto", "kidney": "riñón"}'),
    ],
)
def test_tables_are_read(format: Any, content: str) -> None:
    """Comments, empty lines, spaces around terms, byte order marks and quotes are no part of a term."""
    assert read_table(content, format) == {"heart attack": "infarto", "kidney": "riñón"}


@pytest.mark.parametrize(
    ("format", "content", "says"),
    [
        ("tsv", "a\tb\nc\n", "line 2: 1 columns"),
        ("csv", "a,b,c\n", "line 1: 3 columns"),
        ("csv", 'a,"b', "no valid csv"),
        ("tsv", "a\tb\na\tc\n", "line 2: 'a' is listed twice"),
        ("csv", '# comment\n"a\nb",c\n#\nd\n', "line 5: 1 columns"),
        ("csv", '# comment\na,b\n"c"d,e\n', "line 3: no valid csv"),
        ("json", "[1]", "one JSON object of strings"),
        ("json", '{"a": 1}', "one JSON object of strings"),
        ("json", '{"a": "b", "a": "c"}', "listed twice"),
        ("json", "{", "not valid JSON"),
    ],
)
def test_what_is_wrong_is_named(format: Any, content: str, says: str) -> None:
    """The field, the line and what is accepted."""
    with pytest.raises(InvalidRequestError, match=says) as refused:
        read_table(content, format)
    assert refused.value.field == "content"


@pytest.mark.parametrize("format", ["tsv", "csv"])
def test_a_term_may_begin_as_a_comment_does(format: Any) -> None:
    """It is written in quotes, and what is in quotes is no comment; nor is a line inside of them."""
    entries = {"#1 hit": "éxito", "# of pages\n#2": "#páginas", "C#": "#"}
    assert read_table(write_table(entries, format), format) == entries


@given(st.dictionaries(TERM, TERM), st.sampled_from(["tsv", "csv", "json"]))
def test_what_is_written_is_read(entries: dict[str, str], format: Any) -> None:
    """Any terms survive a file."""
    assert read_table(write_table(entries, format), format) == entries
