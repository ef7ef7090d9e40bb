"""Articles and contractions, against what any grammar of the language says."""

import pytest

from train.demo.grammar import derive_forms


@pytest.mark.parametrize(
    ("language", "base", "gender", "expected"),
    [
        ("eng_Latn", "airport", None, {"a": "an airport", "the": "the airport"}),
        ("eng_Latn", "bank", None, {"a": "a bank", "this": "this bank"}),
        ("spa_Latn", "banco", "m", {"the": "el banco", "to": "al banco", "of": "del banco", "this": "este banco"}),
        ("spa_Latn", "playa", "f", {"a": "una playa", "to": "a la playa", "of": "de la playa"}),
        ("spa_Latn", "inglés", None, {"and": "e inglés"}),
        ("spa_Latn", "francés", None, {"and": "y francés"}),
        ("fra_Latn", "musée", "m", {"the": "le musée", "to": "au musée", "of": "du musée", "this": "ce musée"}),
        ("fra_Latn", "hôtel", "m", {"the": "l'hôtel", "to": "à l'hôtel", "of": "de l'hôtel", "this": "cet hôtel"}),
        ("fra_Latn", "œil", "m", {"the": "l'œil", "to": "à l'œil", "a": "un œil"}),
        ("fra_Latn", "école", "f", {"the": "l'école", "this": "cette école", "de": "d'école"}),
        ("fra_Latn", "gare", "f", {"the": "la gare", "to": "à la gare", "of": "de la gare", "a": "une gare"}),
        ("fra_Latn", "Athènes", None, {"de": "d'Athènes"}),
    ],
)
def test_forms_follow_the_rules(language: str, base: str, gender: str | None, expected: dict[str, str]) -> None:
    """Articles agree, contract and elide."""
    forms = derive_forms(language, base, gender)
    assert {name: forms[name] for name in expected} == expected


def test_a_name_takes_no_article() -> None:
    """Without a gender there is no form that would need one, so that a template that asks for it fails."""
    assert "the" not in derive_forms("fra_Latn", "Paris", None)
    assert derive_forms("hin_Deva", "बैंक", "m") == {}
