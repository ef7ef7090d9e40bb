"""A phrase is found whatever its case and white space."""

from __future__ import annotations

import pytest

from pipelines.text.folded import FoldedText


@pytest.mark.parametrize(
    ("text", "phrase", "expected"),
    [
        ("The RED  house", "red house", ["RED  house"]),
        ("Die STRASSE, die Straße", "straße", ["STRASSE", "Straße"]),
        ("Straße", "s", ["S"]),
        ("İstanbul", "istanbul", ["İstanbul"]),
        ("a\n b", "A B", ["a\n b"]),
        ("ana nana", "ana", ["ana", "ana"]),
        ("banana", "ana", ["ana", "ana"]),
        ("  a ", "a", ["a"]),
        ("a b", "c", []),
    ],
)
def test_a_phrase_is_found_as_it_is_written_there(text: str, phrase: str, expected: list[str]) -> None:
    """Characters that fold to several are found whole; places may overlap, and are those of the text."""
    assert [text[start:end] for start, end in FoldedText(text).find(phrase)] == expected
