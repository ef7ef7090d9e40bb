"""Where words go on."""

from __future__ import annotations

import pytest

from pipelines.text.words import inside_word


@pytest.mark.parametrize(
    ("left", "right", "inside"),
    [
        ("ca", "t", True),
        ("cat", " ", False),
        ("café", "s", True),
        ("心", "脏", False),
        ("iPhone", "手机", False),
        ("セン", "ター", False),
        ("ที", "\u0e48", True),  # a tone mark
        ("น", "\u0e33", True),  # a vowel that Unicode has among the letters
        ("ក", "\u17b6", True),
        ("မ", "\u102c", True),
        ("ส", "บ", False),
        ("", "cat", False),
    ],
)
def test_inside_word(left: str, right: str, inside: bool) -> None:
    """A word goes on with a letter, unless its script has no spaces, and with every mark of the letter before."""
    assert inside_word(left + right, len(left)) is inside
