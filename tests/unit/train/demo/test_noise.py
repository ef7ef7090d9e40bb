"""Careless spellings."""

import pytest

from train.demo.noise import careless_spellings


@pytest.mark.parametrize(
    ("text", "language", "spelling"),
    [
        ("Where is the bank?", "eng_Latn", "where is the bank"),
        ("¿Dónde está el banco?", "spa_Latn", "donde esta el banco"),
        ("Où est la gare ?", "fra_Latn", "Où est la gare"),
        ("बैंक कहाँ है।", "hin_Deva", "बैंक कहाँ है."),
    ],
)
def test_people_type_like_this(text: str, language: str, spelling: str) -> None:
    """Capitals, marks and accents are left out; Devanagari keeps its vowel signs, which are no accents."""
    assert spelling in careless_spellings(text, language)
