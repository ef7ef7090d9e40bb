"""What is suspicious about an output, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.text.languages import all_languages
from pipelines.text.quality import check_output


def codes(source: str, output: str, pair: str = "eng_Latn spa_Latn", *, score: float | None = None,
          protected: tuple[str, ...] = ()) -> list[str]:  # fmt: skip
    """The codes of the notices about an output."""
    source_lang, target_lang = pair.split()
    notices = check_output(
        source, output, source_lang=source_lang, target_lang=target_lang, score=score, protected=protected
    )
    return [each.code for each in notices]


@pytest.mark.parametrize(
    ("source", "output", "pair"),
    [
        ("Good morning, how are you?", "Buenos días, ¿cómo está?", "eng_Latn spa_Latn"),
        ("The price is 1,000.50 dollars.", "El precio es 1.000,50 dólares.", "eng_Latn spa_Latn"),
        ("Il coûte 12 000 euros.", "It costs 12,000 euros.", "fra_Latn eng_Latn"),
        ("We meet at 10 o'clock.", "हम १० बजे मिलते हैं।", "eng_Latn hin_Deva"),
        ("He has had a heart attack and needs a doctor.", "他心脏病发作，需要医生。", "eng_Latn zho_Hans"),
        ("我今天很忙，明天再说吧。", "I am very busy today, let us talk about it tomorrow.", "zho_Hans eng_Latn"),
        ("iPhone", "iPhone", "eng_Latn spa_Latn"),
        ("no, no, no, no, no!", "¡no, no, no, no, no!", "eng_Latn spa_Latn"),
        ("Yes.", "はい、そうです。", "eng_Latn jpn_Jpan"),
    ],
)
def test_good_translations_pass(source: str, output: str, pair: str) -> None:
    """Nothing is said about a good translation."""
    assert codes(source, output, pair) == []


@pytest.mark.parametrize(
    ("source", "output", "pair", "code"),
    [
        ("Hello.", " ", "eng_Latn spa_Latn", "empty_output"),
        ("I want to go home.", "Quiero ir a casa a casa a casa a casa a casa.", "eng_Latn spa_Latn", "repetition"),
        ("I go.", "我去去去去去去", "eng_Latn zho_Hans", "repetition"),
        ("The first sentence is here. The second sentence says much more than that.", "Sí.", "eng_Latn spa_Latn",
         "length_ratio"),
        ("Good morning, my friend.", "Buenos días, amigo.", "eng_Latn hin_Deva", "wrong_script"),
        ("Where is the train station?", "Where is the train station?", "eng_Latn spa_Latn", "untranslated"),
        ("The rooster crows.", "<unk> 叫。", "eng_Latn zho_Hans", "unknown_token"),
        ("At 18.10 we leave.", "Salimos a las 18h10.", "eng_Latn spa_Latn", "numbers_changed"),
        ("It costs 25 dollars.", "Cuesta 52 dólares.", "eng_Latn spa_Latn", "numbers_changed"),
    ],
)  # fmt: skip
def test_bad_translations_are_named(source: str, output: str, pair: str, code: str) -> None:
    """Each known fault has its code."""
    assert code in codes(source, output, pair)


@pytest.mark.parametrize("output", ["Hola .", "Hola {name} {name}."])
def test_placeholders_are_counted(output: str) -> None:
    """A protected span that is lost or doubled is named; one that is there is not."""
    assert codes("Hello {name}.", output, protected=("{name}",)) == ["lost_placeholder"]
    assert codes("Hello {name}.", "Hola {name}.", protected=("{name}",)) == []


def test_numbers_inside_protected_spans_do_not_count() -> None:
    """A placeholder's digits are its own."""
    assert codes("See {0} now", "Vea {0} ahora", protected=("{0}",)) == []


def test_unlikely_output_is_named() -> None:
    """The model's own doubt is passed on."""
    assert codes("Hello.", "Hola.", score=-4.0) == ["low_score"]
    assert codes("Hello.", "Hola.", score=-0.5) == []


@given(st.text(), st.text(), st.sampled_from([each.code for each in all_languages()]))
@settings(deadline=None)
def test_any_output_can_be_checked(source: str, output: str, target: str) -> None:
    """No text and no language makes the check fail."""
    codes(source, output, f"eng_Latn {target}")
