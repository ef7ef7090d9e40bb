"""Stations that translate in a way that a test about text can foresee."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import regex

from pipelines.translate import TranslationPipeline
from pipelines.types import (
    Format,
    Hypothesis,
    Outcome,
    Segment,
    Translation,
    TranslationRequest,
    TranslationResult,
)
from tests.fakes import ShoutingStation


async def shout(text: str, format: Format, **more: Any) -> TranslationResult:
    """Translate a document by upper-casing its language."""
    request = TranslationRequest(text, "en", "es", format=format, **more)
    return await TranslationPipeline(ShoutingStation()).translate(request)


def codes(result: TranslationResult) -> list[str]:
    """The notices' codes; that what was upper-cased is a copy is no news."""
    return [each.code for each in result.notices if each.code != "untranslated"]


class DictionaryStation:
    """Answers whole segments by a dictionary; what it does not know comes back as `make` has it."""

    def __init__(self, known: Mapping[str, str], make: Callable[[str], str] = str.upper) -> None:
        self.known = known
        self.calls: list[list[Segment]] = []
        self._make = make

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator`."""
        self.calls.append(segments)
        return [self._translate(segment) for segment in segments]

    @property
    def asked(self) -> list[str]:
        """Every text that was asked for, in order."""
        return [segment.text for call in self.calls for segment in call]

    def _translate(self, segment: Segment) -> Outcome:
        text = self.known.get(segment.text, None)
        return Translation(self._make(segment.text) if text is None else text, score=-0.5, num_target_tokens=4)


class BeamStation(DictionaryStation):
    """Greedy search gives what the dictionary has; a beam gives what `beam` has, and likes it better."""

    def __init__(self, known: Mapping[str, str], beam: Mapping[str, str]) -> None:
        super().__init__(known)
        self._beam = beam

    def _translate(self, segment: Segment) -> Outcome:
        if segment.decoding.num_beams > 1 and segment.text in self._beam:
            return Translation(self._beam[segment.text], score=-0.2, num_target_tokens=4)
        return super()._translate(segment)


class NumberingStation(DictionaryStation):
    """Returns as many hypotheses as are asked for: the text, the text with a 2, and so on."""

    def _translate(self, segment: Segment) -> Outcome:
        texts = [segment.text.upper(), *(f"{segment.text.upper()}{n}" for n in range(2, 9))]
        asked = texts[: segment.decoding.num_hypotheses]
        hypotheses = tuple(Hypothesis(text, -0.1 * place) for place, text in enumerate(asked))
        return Translation(texts[0], score=0.0, num_target_tokens=2, alternatives=hypotheses if len(asked) > 1 else ())


class SmallVocabularyStation(DictionaryStation):
    """Cannot spell some characters: it loses them, and says where they were."""

    def __init__(self, unspellable: str) -> None:
        super().__init__({})
        self._unspellable = regex.compile(f"[{unspellable}]+")

    def _translate(self, segment: Segment) -> Outcome:
        spans = tuple(found.span() for found in self._unspellable.finditer(segment.text))
        return Translation(self._unspellable.sub("", segment.text.upper()), unknown_spans=spans)


class MangleStation(DictionaryStation):
    """Loses every word that holds a digit, as a model does with what it does not understand."""

    def __init__(self) -> None:
        super().__init__({}, lambda text: " ".join(w for w in text.upper().split() if not regex.search(r"\d", w)))
