"""Which languages are detected, and when the detector refuses to guess.

`detection.tsv`: a question of three to six words, and Article 1 of the Universal Declaration of Human Rights.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import UndetectedLanguageError
from pipelines.text.detect import LanguageDetector

TABLE = [
    line.split("\t") for line in Path(__file__).with_name("detection.tsv").read_text(encoding="utf-8").splitlines()
]


@pytest.fixture(scope="module")
def detector() -> LanguageDetector:
    """One detector, because loading the model takes a while."""
    return LanguageDetector()


@pytest.mark.parametrize(("column", "least"), [(1, 0.9), (2, 0.95)], ids=["short", "long"])
def test_accuracy_over_the_table(detector: LanguageDetector, column: int, least: float) -> None:
    """The first candidate is the language, in nine of ten questions and nineteen of twenty sentences."""
    right = [row[0] == detector.candidates(row[column])[0].language for row in TABLE]
    assert sum(right) / len(right) >= least, [row[0] for row, fits in zip(TABLE, right, strict=True) if not fits]


def test_what_is_sure_is_right(detector: LanguageDetector) -> None:
    """Above the threshold at most one answer in twenty is wrong, over short and long texts."""
    sure = [
        (row[0], best.language)
        for row in TABLE
        for text in row[1:]
        if (best := detector.candidates(text)[0]).confidence >= 0.5
    ]
    assert len(sure) >= 1.6 * len(TABLE)
    assert sum(expected != found for expected, found in sure) <= len(sure) / 20


@pytest.mark.parametrize("text", ["hello handsome", "", "123", "🙂", "https://example.org/page", "ok"])
def test_guessing_is_refused(detector: LanguageDetector, text: str) -> None:
    """A text that tells too little gets an error, not a language (a peer took "hello handsome" for Bengali)."""
    with pytest.raises(UndetectedLanguageError, match="cannot be told") as refused:
        detector.detect(text, field="source_lang")
    assert refused.value.field == "source_lang"


def test_error_names_the_candidates(detector: LanguageDetector) -> None:
    """The caller sees what it may be, with confidences."""
    with pytest.raises(UndetectedLanguageError, match=r"candidates: \w+_Latn \(0\.\d\d\), "):
        detector.detect("hello handsome")


@pytest.mark.parametrize(
    ("text", "language"),
    [("สวัสดี", "tha_Thai"), ("გამარჯობა", "kat_Geor"), ("こんにちは", "jpn_Jpan"), ("ᱡᱚᱦᱟᱨ", "sat_Beng"),
     ("這是我們的", "zho_Hant"), ("这是我们的", "zho_Hans"), ("안녕", "kor_Hang")],
)  # fmt: skip
def test_script_alone_decides(detector: LanguageDetector, text: str, language: str) -> None:
    """One word is enough where the script has one language."""
    assert detector.detect(text).language == language


def test_addresses_do_not_count(detector: LanguageDetector) -> None:
    """A link does not make a Hindi sentence English."""
    assert detector.detect("यह देखें https://www.example.org/a-long-english-path").language == "hin_Deva"


def test_a_text_is_looked_at_once() -> None:
    """That a document's passages are asked about twice costs once, whoever changes the answer."""
    detector = LanguageDetector()
    first = detector.candidates("Good morning")
    first.clear()
    again = detector.candidates("Good morning")
    assert again
    assert detector.candidates("Good morning")[0] is again[0]


@given(st.text())
@settings(deadline=None, max_examples=50)
def test_any_text_gets_an_answer(detector: LanguageDetector, text: str) -> None:
    """Candidates are at most three, best first, with confidences between 0 and 1."""
    found = detector.candidates(text)
    assert len(found) <= 3
    assert all(0 <= each.confidence <= 1 + 1e-9 for each in found)
    assert found == sorted(found, key=lambda each: -each.confidence)
