"""Which language is a text in? The script narrows it down, a statistical model (py3langid) tells the rest apart.

Knows no request. Says how sure it is, and refuses to guess below a threshold. Of the table's 202 languages the model
knows about 120, and scripts with one language tell a few more; a text in any other is taken for a relative.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import regex
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from pipelines.errors import UndetectedLanguageError
from pipelines.text.languages import Language, all_languages, find_language
from pipelines.text.protect import find_spans
from pipelines.text.scripts import SCRIPT_CLASSES

_NUM_CANDIDATES = 3
_MAX_CHARS = 800  # more tells nothing new
# A document's passages are asked about twice: which language it is in, and which of them are in another.
_NUM_REMEMBERED = 4096
# How often the model is right when it says so, over 151 languages of which it knows 108 (docs/quality.md): a text in
# one that it does not know is often taken for a relative with confidence.
_CALIBRATION = (
    (0.0, 0.0),
    (0.45, 0.2),
    (0.55, 0.25),
    (0.65, 0.45),
    (0.75, 0.5),
    (0.85, 0.65),
    (0.95, 0.8),
    (1.0, 0.92),
)
_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
_MIN_KANA_SHARE = 0.1  # Japanese has far more; a Chinese text may quote a word
_HAN_SCRIPTS = frozenset({"Hans", "Hant"})
# Unlike `SCRIPT_CLASSES` these share no letters.
_SCRIPTS = {name: pattern for name, pattern in SCRIPT_CLASSES.items() if name not in _HAN_SCRIPTS | {"Jpan"}} | {
    "Han": r"[\p{Han}\p{Hiragana}\p{Katakana}]",
    "Hang": r"\p{Hangul}",
    "Olck": r"\p{Ol_Chiki}",
}
_SCRIPT_LETTER = regex.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _SCRIPTS.items()))
# Frequent characters that are written differently; a text of any length has some.
_SIMPLIFIED = frozenset(
    "们这来时国会说过对学为开么还进动现种实从关点业长样经问机无电话东车马见边头间门让认爱书买卖钱岁谁请谢"
)
_TRADITIONAL = frozenset(
    "們這來時國會說過對學為開麼還進動現種實從關點業長樣經問機無電話東車馬見邊頭間門讓認愛書買賣錢歲誰請謝"
)


@dataclass(frozen=True, slots=True)
class Detection:
    """A language that a text may be in.

    Attributes:
        language: FLORES-200 code.
        confidence: Between 0 and 1: how often it is right when it is as sure as this, where every language of the
            table is as frequent as any other.
    """

    language: str
    confidence: float


class LanguageDetector:
    """Detects languages offline. The model is loaded at the first use; threads may share one detector."""

    def __init__(self, *, min_confidence: float = 0.4) -> None:
        self.min_confidence = min_confidence

    def load(self) -> None:
        """Load the model now, which takes a second or two, and not with the first text."""
        self.candidates("Good morning")

    def detect(self, text: str, *, field: str | None = None) -> Detection:
        """Name the language of a text.

        Raises:
            UndetectedLanguageError: No language is likely enough; the message names the candidates.
        """
        sure = self.detect_if_sure(text)
        if sure is not None:
            return sure
        found = self.candidates(text)
        listed = ", ".join(f"{each.language} ({each.confidence:.2f})" for each in found)
        raise UndetectedLanguageError(
            f"{field or 'text'}: the language cannot be told from the text; "
            f"{f'candidates: {listed}; ' if found else ''}name it",
            field=field,
        )

    def detect_if_sure(self, text: str) -> Detection | None:
        """Name the language of a text, or None if no language is likely enough."""
        found = self.candidates(text)
        return found[0] if found and found[0].confidence >= self.min_confidence else None

    def candidates(self, text: str) -> list[Detection]:
        """The likeliest languages, best first; none for a text without letters."""
        return list(self._remembered(text[:_MAX_CHARS]))

    @cached_property
    def _remembered(self) -> Callable[[str], tuple[Detection, ...]]:
        return lru_cache(_NUM_REMEMBERED)(self._candidates)

    def _candidates(self, text: str) -> tuple[Detection, ...]:
        prose = _prose(text)
        scripts = Counter(found.lastgroup for found in _SCRIPT_LETTER.finditer(prose) if found.lastgroup)
        if not scripts:
            return ()
        script, num_letters = scripts.most_common(1)[0]
        share = num_letters / scripts.total()
        likely: dict[str, float] = {}
        for language, probability in self._of_script(script, prose):
            likely[language] = likely.get(language, 0.0) + probability
        total = sum(likely.values())
        best = sorted(likely.items(), key=lambda item: -item[1])[:_NUM_CANDIDATES]
        if not best:
            return ()
        # A script with one language leaves nothing to be calibrated.
        sure = best[0][0] == "jpn_Jpan" or sum(each.script == script for each in all_languages()) == 1
        return tuple(
            Detection(language, share * (1.0 if sure else _calibrated(probability / total)))
            for language, probability in best
            if total
        )

    def _of_script(self, script: str, prose: str) -> Iterator[tuple[str, float]]:
        if script == "Han" and len(_KANA.findall(prose)) >= _MIN_KANA_SHARE * len(prose):
            yield "jpn_Jpan", 1.0
            return
        written = [each.code for each in all_languages() if each.script == script]
        if len(written) == 1:
            yield written[0], 1.0
            return
        for label, probability in self._model.rank(prose):
            language = self._by_label.get(label)
            if language is not None and script == "Han" and language.code == "zho_Hans":
                yield from _chinese(prose, probability)
            elif language is not None and _is_written_in(language, script):
                yield language.code, probability

    @cached_property
    def _model(self) -> LanguageIdentifier:
        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    @cached_property
    def _by_label(self) -> dict[str, Language]:
        found = ((label, find_language(label)) for label in self._model.nb_classes)
        return {label: language for label, language in found if language}  # others the translation model does not have


def _calibrated(probability: float) -> float:
    for (low, low_right), (high, high_right) in itertools.pairwise(_CALIBRATION):
        if probability <= high:
            return low_right + (high_right - low_right) * (probability - low) / (high - low)
    return _CALIBRATION[-1][1]


def _prose(text: str) -> str:
    """The text without addresses and code, which look like English everywhere."""
    kept, position = [], 0
    for start, end in find_spans(text):
        kept.append(text[position:start])
        position = end
    return " ".join([*kept, text[position:]])


def _is_written_in(language: Language, script: str) -> bool:
    return language.script == script or (script == "Han" and language.script in _HAN_SCRIPTS)


def _chinese(prose: str, probability: float) -> Iterator[tuple[str, float]]:
    """Divide the likelihood of Chinese between its two scripts; a text without a telling character is either."""
    num_simplified = sum(char in _SIMPLIFIED - _TRADITIONAL for char in prose)
    num_traditional = sum(char in _TRADITIONAL - _SIMPLIFIED for char in prose)
    simplified = (num_simplified + 0.6) / (num_simplified + num_traditional + 1)
    yield "zho_Hans", probability * simplified
    yield "zho_Hant", probability * (1 - simplified)
