"""What is said of a translation: what is suspicious about it, how likely it is, whether a cache answered."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.translate import TranslationPipeline
from pipelines.types import DecodingOptions, Outcome, Segment, Translation, TranslationRequest, TranslationResult
from tests.fakes_text import codes

STRONG = DecodingOptions(num_beams=4)
LOOP = "muy muy muy muy muy"


class _AnsweringStation:
    """Answers as it is told: by the text, or for a beam by what the text is called then; else upper-cases."""

    def __init__(self, answers: dict[str, Translation], beam: dict[str, Translation] | None = None) -> None:
        self.asked: list[Segment] = []
        self._answers = answers
        self._beam = beam or {}

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator`."""
        self.asked += segments
        return [self._answer(segment) for segment in segments]

    def _answer(self, segment: Segment) -> Outcome:
        answers = self._answers | self._beam if segment.decoding.num_beams > 1 else self._answers
        return answers.get(segment.text) or Translation(segment.text.upper())


async def _translate(station: _AnsweringStation, text: str, **more: Any) -> TranslationResult:
    return await TranslationPipeline(station).translate(TranslationRequest(text, "en", "es", **more))


@pytest.mark.parametrize(
    ("text", "answer", "code"),
    [
        ("Hello.", Translation("Hola.", finish="length"), "length"),
        ("Hello.", Translation("Hola.", score=-4.0), "low_score"),
        ("Open {file} now", Translation("Abre ZQ0Q {file} ya"), "lost_placeholder"),
    ],
)
async def test_what_is_suspicious_is_said(text: str, answer: Translation, code: str) -> None:
    """An output that was cut, that the model holds for unlikely, or that has a placeholder twice."""
    masked = text.replace("{file}", "ZQ0Q")
    assert codes(await _translate(_AnsweringStation({masked: answer}), text)) == [code]


@pytest.mark.parametrize(("score", "kept"), [(-0.2, f"{LOOP} mal"), (-0.9, f"{LOOP} bien")])
async def test_of_equally_suspicious_outputs_the_likelier_is_kept(score: float, kept: str) -> None:
    """Both tries go round in a loop."""
    text = "I am fine, thank you"
    station = _AnsweringStation(
        {text: Translation(f"{LOOP} bien", score=-0.5)}, {text: Translation(f"{LOOP} mal", score=score)}
    )
    assert (await _translate(station, text, second_try=STRONG)).text == kept


async def test_a_clause_has_one_hypothesis() -> None:
    """Those of clauses do not add up to hypotheses of the whole."""
    clauses = ("This is the first part of a long sentence,", "and this is the second part of the same one")
    text = " ".join(clauses)
    decoding = DecodingOptions(num_beams=4, num_hypotheses=2)
    station = _AnsweringStation({text: Translation("Uno")})
    await _translate(station, text, decoding=decoding, second_try=decoding)
    asked = [(segment.text, segment.decoding.num_hypotheses) for segment in station.asked]
    assert asked == [(text, 2), (text, 2), *((clause, 1) for clause in clauses)]


async def test_a_notice_names_its_segment_in_words_too() -> None:
    """Messages are read without the fields around them."""
    station = _AnsweringStation({"Bye.": Translation("Adiós.", finish="length")})
    (notice,) = (await _translate(station, "Hello. Bye.")).notices
    assert (notice.segment, notice.message.partition(": ")[0]) == (1, "segment 1")


@pytest.mark.parametrize("text", ["One. Two.", "Open {file} now"])
@pytest.mark.parametrize("num_cached", [0, 1, 2])
async def test_cached_is_what_came_from_a_cache_as_a_whole(text: str, num_cached: int) -> None:
    """Be it several sentences, or the pieces of one that was translated around what must not change."""
    parts = ["One.", "Two."] if text == "One. Two." else ["Open", "now"]
    answers = {part: Translation(part.upper(), cached=place < num_cached) for place, part in enumerate(parts)}
    station = _AnsweringStation({"Open ZQ0Q now": Translation("lost"), **answers})
    assert (await _translate(station, text)).cached == (num_cached == 2)


@pytest.mark.parametrize(("second", "score"), [(-0.5, -0.6), (None, None)])
async def test_a_score_is_the_mean_of_all_tokens_if_all_are_known(second: float | None, score: float | None) -> None:
    """A long sentence weighs more than a short one; half a score is none."""
    station = _AnsweringStation(
        {
            "One.": Translation("UNO.", score=-1.0, num_source_tokens=3, num_target_tokens=2),
            "Two.": Translation("DOS.", score=second, num_source_tokens=3, num_target_tokens=8),
        }
    )
    assert (await _translate(station, "One. Two.")).score == (None if score is None else pytest.approx(score))
