"""Articles and contractions: the forms of a noun that follow from its base form and gender alone.

Knows nothing of the vocabulary. What does not follow from a rule (plurals, the Hindi oblique case) stands in the
word tables, and a form given there goes before the rule's.
"""

from __future__ import annotations

import unicodedata


def derive_forms(language: str, base: str, gender: str | None) -> dict[str, str]:
    """Return the derived forms of a word, by the name that templates use.

    Args:
        language: FLORES-200 code.
        base: The word without an article.
        gender: `m` or `f`, or None for a word that takes no article (a name).

    Returns:
        English: `the`, `a`, `this`. Spanish: `the`, `a`, `this`, `to` (a + article), `of` (de + article), `and`.
        French: the same without `and`, and `de` (the bare preposition). Hindi has no articles: nothing.
    """
    if language == "eng_Latn":
        article = "an" if _starts_with_vowel(base) else "a"
        return {"the": f"the {base}", "a": f"{article} {base}", "this": f"this {base}"}
    if language == "spa_Latn":
        return _spanish(base, gender)
    if language == "fra_Latn":
        return _french(base, gender)
    return {}


def _spanish(base: str, gender: str | None) -> dict[str, str]:
    forms = {"and": f"{'e' if base.startswith(('i', 'hi')) else 'y'} {base}"}
    if gender == "m":
        forms |= {"the": f"el {base}", "a": f"un {base}", "this": f"este {base}"}
        forms |= {"to": f"al {base}", "of": f"del {base}"}
    elif gender == "f":
        forms |= {"the": f"la {base}", "a": f"una {base}", "this": f"esta {base}"}
        forms |= {"to": f"a la {base}", "of": f"de la {base}"}
    return forms


def _french(base: str, gender: str | None) -> dict[str, str]:
    # Every h in the word tables is mute, so it elides as a vowel does (l'hôtel).
    elides = _starts_with_vowel(base) or base.startswith("h")
    forms = {"de": f"d'{base}" if elides else f"de {base}"}
    if gender is None:
        return forms
    masculine = gender == "m"
    forms["a"] = f"{'un' if masculine else 'une'} {base}"
    forms["this"] = f"{('cet' if elides else 'ce') if masculine else 'cette'} {base}"
    if elides:
        forms |= {"the": f"l'{base}", "to": f"à l'{base}", "of": f"de l'{base}"}
    elif masculine:
        forms |= {"the": f"le {base}", "to": f"au {base}", "of": f"du {base}"}
    else:
        forms |= {"the": f"la {base}", "to": f"à la {base}", "of": f"de la {base}"}
    return forms


def _starts_with_vowel(word: str) -> bool:
    first = unicodedata.normalize("NFD", word)[0].lower()
    return first in "aeiouœ"
