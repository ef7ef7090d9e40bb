"""What must not change survives any model; what looks wrong is tried once more; what remains is said."""

from __future__ import annotations

from typing import Any

from pipelines.errors import DeadlineExceededError
from pipelines.text.glossary import Glossary
from pipelines.translate import TranslationPipeline
from pipelines.types import DecodingOptions, Failure, Outcome, Segment, TranslationRequest, TranslationResult
from tests.fakes_text import (
    BeamStation,
    DictionaryStation,
    MangleStation,
    NumberingStation,
    SmallVocabularyStation,
    codes,
)

STRONG = DecodingOptions(num_beams=4)
TWO = DecodingOptions(num_beams=2, num_hypotheses=2)


async def _translate(station: DictionaryStation, text: str, pair: str = "en es", **more: Any) -> TranslationResult:
    source, target = pair.split()
    return await TranslationPipeline(station).translate(TranslationRequest(text, source, target, **more))


async def test_a_placeholder_moves_with_the_words() -> None:
    """The mask comes back elsewhere, and the placeholder with it."""
    station = DictionaryStation({"Open ZQ0Q now, please": "Por favor, abre ahora ZQ0Q"})
    result = await _translate(station, "Open {file} now, please")
    assert result.text == "Por favor, abre ahora {file}"
    assert result.counts["masked"] == 1


async def test_a_model_that_loses_masks_is_translated_around() -> None:
    """Addresses and placeholders are all there, once, and the words between them are translated."""
    text = "Write to jo@example.org about {count} files at https://a.org/b?c=d, please!"
    result = await _translate(MangleStation(), text)
    assert result.text == "WRITE TO jo@example.org ABOUT {count} FILES AT https://a.org/b?c=d, PLEASE!"
    assert result.counts["translated_around"] == 1
    assert codes(result) == []


async def test_terms_and_patterns_of_the_caller_are_kept() -> None:
    """`do_not_translate` and `protect_patterns`, whatever the model does."""
    result = await _translate(
        MangleStation(), "Order AB-12 from Ray Serve today", keep_terms=("Ray Serve",), keep_patterns=(r"[A-Z]{2}-\d+",)
    )
    assert result.text == "ORDER AB-12 FROM Ray Serve TODAY"


async def test_a_glossary_is_guaranteed() -> None:
    """The term is in the output by its mask, or because it was translated around."""
    glossary = Glossary({"heart attack": "infarto"})
    for station in (DictionaryStation({}), MangleStation()):
        result = await _translate(station, "He had a heart attack today", glossaries=(glossary,))
        assert result.text == "HE HAD A infarto TODAY"
        assert codes(result) == []


async def test_a_glossary_leaves_spans_alone() -> None:
    """A term inside a placeholder, an address or what the caller keeps is no term; one that is such a span is."""
    glossary = Glossary({"name": "nom", "shop": "magasin", "Ray": "Rayon", "me@x.org": "moi@x.org"})
    text = "Dear {name}, your name is at https://shop.com/shop with Ray Serve, write to me@x.org today"
    for station in (DictionaryStation({}), MangleStation()):
        result = await _translate(station, text, glossaries=(glossary,), keep_terms=("Ray Serve",))
        assert result.text == (
            "DEAR {name}, YOUR nom IS AT https://shop.com/shop WITH Ray Serve, WRITE TO moi@x.org TODAY"
        )


async def test_spans_of_a_script_without_spaces_get_theirs() -> None:
    """At the ends of the sentence, and where it is translated around them."""
    known = {
        "发作很严重。": "attacks are serious.",
        "我有": "I have",
        "您好": "hello",
        "我的": "My",
        "很痛。": "hurts.",
    }
    station = DictionaryStation(known, lambda text: "?")
    glossary = (Glossary({"心脏病": "heart disease", "心脏": "heart"}),)
    texts = ["心脏病发作很严重。", "我有心脏病", "{name}您好", "我的心脏很痛。"]
    results = [(await _translate(station, text, "zh en", glossaries=glossary)).text for text in texts]
    assert results == ["heart disease attacks are serious.", "I have heart disease", "{name} hello", "My heart hurts."]


async def test_tags_of_a_script_without_spaces_have_spaces_around_them() -> None:
    """Translated between its tags, a sentence has its spaces outside of the elements."""
    known = {"我爱": "I love", "北京": "Beijing", "天安门。": "Tiananmen."}
    station = DictionaryStation(known, lambda text: "?")
    text = "<p>我爱<b><i>北京</i></b><u>天安门。</u></p>"
    result = await _translate(station, text, "zh en", format="html")
    assert result.text == "<p>I love <b><i>Beijing</i></b> <u>Tiananmen.</u></p>"


async def test_what_is_translated_between_its_tags_is_looked_at() -> None:
    """Text that a model lost there is said, as it is of a whole sentence."""
    text = "<p>Drink <b>water</b> every day and call your doctor as soon as it hurts</p>"
    station = DictionaryStation({"water": "agua", "every day and call your doctor as soon as it hurts": ""}, str.upper)
    station.known["Drink water every day and call your doctor as soon as it hurts"] = (
        "BEBA CADA DÍA Y LLAME AL MÉDICO EN CUANTO LE DUELA"
    )
    result = await _translate(station, text, format="html")
    assert codes(result) == ["tags_split", "length_ratio"]


async def test_a_sentence_of_terms_alone_asks_no_model() -> None:
    """It is the terms' translations, tags and punctuation in place; the score is that of the other sentences."""
    glossary = Glossary({"heart": "corazón"})
    result = await _translate(BeamStation({"I am fine": "Estoy bien"}, {}), "Heart! I am fine", glossaries=(glossary,))
    alone = await _translate(BeamStation({"I am fine": "Estoy bien"}, {}), "I am fine")
    assert result.text == "corazón! Estoy bien"
    assert result.score == alone.score is not None
    assert codes(result) == []


async def test_what_the_vocabulary_cannot_spell_is_carried() -> None:
    """Unknown characters stand in the output as they are; `<unk>` never reaches a user."""
    result = await _translate(SmallVocabularyStation("鸡《》"), "my 鸡 and 《book》 here")
    assert result.text == "MY 鸡 AND 《BOOK》 HERE"
    assert result.counts["unspellable_carried"] == 3


async def test_masks_that_the_vocabulary_cannot_spell_are_not_used() -> None:
    """A model that cannot even spell the mask is translated around."""
    result = await _translate(SmallVocabularyStation("Q"), "open {file} now")
    assert result.text == "OPEN {file} NOW"


async def test_a_loop_is_decoded_again_and_the_better_output_kept() -> None:
    """The second try has a wider beam; its output is without the loop and wins."""
    loop = "muy muy muy muy muy muy bien"
    station = BeamStation({"I am fine, thank you": loop}, {"I am fine, thank you": "Estoy bien, gracias"})
    result = await _translate(station, "I am fine, thank you", second_try=STRONG)
    assert (result.text, result.notices) == ("Estoy bien, gracias", ())
    assert (result.counts["guard_repetition"], result.counts["second_try_kept"]) == (1, 1)
    assert len(station.calls) == 2


class _LateStation(DictionaryStation):
    """Is late with whatever a beam is asked for."""

    def _translate(self, segment: Segment) -> Outcome:
        if segment.decoding.num_beams > 1:
            return Failure(DeadlineExceededError("late"))
        return super()._translate(segment)


async def test_a_second_try_that_fails_leaves_the_first() -> None:
    """What was translated is worth more than nothing; that it is suspicious is said."""
    loop = "muy muy muy muy muy muy bien"
    result = await _translate(_LateStation({"I am fine, thank you": loop}), "I am fine, thank you", second_try=STRONG)
    assert (result.text, codes(result)) == (loop, ["repetition"])
    assert result.counts["decoded_again"] == 1


async def test_what_remains_suspicious_is_said() -> None:
    """A loop that stays is returned with a warning that names the segment."""
    loop = "muy muy muy muy muy muy bien"
    station = DictionaryStation({"Good day.": "Buenos días.", "I am fine, thank you.": loop})
    result = await _translate(station, "Good day. I am fine, thank you.", second_try=STRONG)
    assert [(each.code, each.segment) for each in result.notices] == [("repetition", 1)]
    assert result.text == f"Buenos días. {loop}"


async def test_changed_numbers_are_flagged() -> None:
    """20 that became 30 is another number, and 18.10 that became 18h10 is two; separators may differ."""
    station = DictionaryStation(
        {
            "It costs 20 euros today.": "Hoy cuesta 30 euros.",
            "The train leaves at 18.10.": "El tren sale a las 18h10.",
            "It costs 1,250.50 euros.": "Cuesta 1.250,50 euros.",
        }
    )
    assert codes(await _translate(station, "It costs 20 euros today.")) == ["numbers_changed"]
    assert codes(await _translate(station, "The train leaves at 18.10.")) == ["numbers_changed"]
    assert codes(await _translate(station, "It costs 1,250.50 euros.")) == []


async def test_a_sentence_that_was_swallowed_is_translated_clause_by_clause() -> None:
    """Most of a long sentence is missing: its clauses are translated one by one, and nothing is lost."""
    text = "This is the first part of a long sentence, and this is the second part of the very same sentence"
    first, second = text.split(", ")
    station = BeamStation({text: "Uno"}, {text: "Uno", first + ",": "La primera parte de una larga frase,",
                                         second: "y la segunda parte de la misma frase"})  # fmt: skip
    result = await _translate(station, text, second_try=STRONG)
    assert result.text == "La primera parte de una larga frase, y la segunda parte de la misma frase"
    assert result.notices == ()


async def test_without_a_second_try_one_call_is_all() -> None:
    """Guards that may not decode again only warn."""
    station = DictionaryStation({"Good morning to you all": "bien bien bien bien bien"})
    result = await _translate(station, "Good morning to you all")
    assert len(station.calls) == 1
    assert [each.code for each in result.notices] == ["repetition"]


async def test_alternatives_are_of_the_whole_text() -> None:
    """The n best combinations of the sentences' hypotheses, best first, with scores."""
    decoding = DecodingOptions(num_beams=3, num_hypotheses=3)
    result = await _translate(NumberingStation({}), "One. Two.", decoding=decoding)
    assert [each.text for each in result.alternatives] == ["ONE. TWO.", "ONE. TWO.2", "ONE.2 TWO."]
    assert [each.score for each in result.alternatives] == sorted((e.score for e in result.alternatives), reverse=True)
    assert result.score == 0.0


async def test_alternatives_have_their_tags() -> None:
    """Each hypothesis has the tags around the words that are its own."""
    station = NumberingStation({})
    request = TranslationRequest("<p>a <b>big</b> cat</p>", "en", "es", format="html", decoding=TWO)
    result = await TranslationPipeline(station).translate(request)
    assert [each.text for each in result.alternatives] == ["<p>A <b>BIG</b> CAT</p>", "<p>A <b>BIG</b> CAT2</p>"]


async def test_alternatives_have_their_placeholders_back() -> None:
    """Each hypothesis is restored; one that lost a mask is left out."""
    result = await _translate(NumberingStation({}), "Open {file} now", decoding=TWO)
    assert [each.text for each in result.alternatives] == ["OPEN {file} NOW", "OPEN {file} NOW2"]


async def test_the_score_is_the_mean_of_all_tokens() -> None:
    """Segments weigh by their tokens; a text without segments has no score."""
    assert (await _translate(DictionaryStation({}), "One. Two.")).score == -0.5
    assert (await _translate(DictionaryStation({}), "12")).score is None


async def test_the_language_is_detected_per_paragraph() -> None:
    """Each paragraph is translated from its own language; the largest names the text's."""
    station = DictionaryStation({})
    text = "Où est la pharmacie, s'il vous plaît ?\n\nनमस्ते, आप कैसे हैं?\n\nok"
    result = await _translate(station, text, "auto en")
    assert [segment.source_lang for segment in station.calls[0]] == ["fra_Latn", "hin_Deva", "fra_Latn"]
    assert result.source_lang == "fra_Latn"
    assert result.detected is not None
    assert result.detected > 0.9


async def test_a_paragraph_in_the_target_language_stays() -> None:
    """What needs no translation gets none."""
    text = "Où est la pharmacie, s'il vous plaît ?\n\nThis paragraph is written in English already."
    result = await _translate(DictionaryStation({}), text, "auto en")
    assert result.text == "OÙ EST LA PHARMACIE, S'IL VOUS PLAÎT ?\n\nThis paragraph is written in English already."
