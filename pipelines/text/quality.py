"""Does an output look like a translation of its source? Cheap signs of what models are known to do wrong.

Knows one source and one output; no model, and no other segment. Each sign is a notice with a stable code:

    empty_output      nothing came back
    repetition        a word or phrase goes round in a loop
    length_ratio      far shorter or longer than the source, given both scripts
    wrong_script      mostly in letters of another script than the target's
    untranslated      the source came back
    unknown_token     `<unk>` in the output
    numbers_changed   a number or a date of the source is missing, or a new one is there (`quantities`)
    currency_changed  an amount of money is in another currency
    unit_changed      a number has another unit
    lost_placeholder  a protected span is missing or doubled
    low_score         the model itself considers the output unlikely
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import regex

from pipelines.text.languages import resolve_language
from pipelines.text.quantities import check_quantities
from pipelines.text.scripts import SCRIPT_CLASSES
from pipelines.types import Notice

_LETTERS = regex.compile(r"\p{L}+")
_WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]|[\p{L}\p{M}\p{N}]+")
_UNKNOWN = regex.compile(r"<unk>|⁇")

# A loop is one unit, of at most this many words, at least this many times in a row.
_MAX_LOOP_WORDS = 12
_MIN_LOOPS = 4
# Roughly how many Latin characters carry what one character of the script does. Scripts that are not named are near
# one; the bounds below are wide, because languages of one script differ by half as well.
_CHARS_PER_LATIN = {"Hans": 3.2, "Hant": 3.2, "Jpan": 2.4, "Hang": 2.0, "Ethi": 1.6, "Hebr": 1.3, "Arab": 1.2}
_MAX_LENGTH_RATIO = 3.0
_LENGTH_SLACK_CHARS = 15  # a greeting may double; only what is beyond this counts
_MIN_SCRIPT_LETTERS = 4
_MIN_SCRIPT_SHARE = 0.3
_MIN_COPIED_WORDS = 4  # shorter copies are names and titles
_MIN_SCORE = -2.5  # mean log-probability of a token: below one in twelve


def check_output(
    source: str,
    output: str,
    *,
    source_lang: str,
    target_lang: str,
    score: float | None = None,
    protected: Sequence[str] = (),
) -> list[Notice]:
    """Name everything about an output that is suspicious; an empty list is a good sign, not a proof.

    Args:
        source: The segment's text.
        output: Its translation.
        source_lang: FLORES-200 code.
        target_lang: FLORES-200 code.
        score: Mean log-probability of an output token, if the engine has it.
        protected: The source's spans that must be in the output, as often as in the list.

    Raises:
        UnknownLanguageError: The table has no such language.
    """
    if not output.strip():
        return [Notice("empty_output", "the model returned nothing")] if source.strip() else []
    source_script = resolve_language(source_lang).script
    target_script = resolve_language(target_lang).script
    # Protected spans are no language: they have no script, and their numbers are their own.
    source_text, output_text = _without(source, protected), _without(output, protected)
    source_words, output_words = _words(source_text), _words(output_text)
    return [
        *_repetition(source_words, output_words),
        *_length(source_text, output_text, source_script, target_script),
        *_script(output_text, target_script),
        *_copy(source_words, output_words),
        *_unknown(source, output),
        *check_quantities(source_text, output_text),
        *_placeholders(output, protected),
        *_score(score),
    ]


def _without(text: str, protected: Sequence[str]) -> str:
    for span in protected:
        text = text.replace(span, " ", 1)
    return text


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _repetition(source_words: list[str], output_words: list[str]) -> Iterator[Notice]:
    if len(output_words) - len(set(output_words)) < _MIN_LOOPS - 1:  # no word is there so often
        return
    unit, times = _longest_loop(output_words)
    if times >= _MIN_LOOPS and times > _longest_loop(source_words)[1]:
        yield Notice("repetition", f"{unit!r} is repeated {times} times in a row")


def _longest_loop(words: list[str]) -> tuple[str, int]:
    unit, most = "", 1
    for num_words in range(1, _MAX_LOOP_WORDS + 1):
        num_matching = 0
        for place in range(num_words, len(words)):
            num_matching = num_matching + 1 if words[place] == words[place - num_words] else 0
            times = num_matching // num_words + 1
            if times > most:
                unit, most = " ".join(words[place - num_words + 1 : place + 1]), times
    return unit, most


def _length(source: str, output: str, source_script: str, target_script: str) -> Iterator[Notice]:
    source_chars = len(source.strip()) * _CHARS_PER_LATIN.get(source_script, 1.0) + _LENGTH_SLACK_CHARS
    output_chars = len(output.strip()) * _CHARS_PER_LATIN.get(target_script, 1.0) + _LENGTH_SLACK_CHARS
    ratio = output_chars / source_chars
    if not 1 / _MAX_LENGTH_RATIO <= ratio <= _MAX_LENGTH_RATIO:
        kind = "short" if ratio < 1 else "long"
        yield Notice("length_ratio", f"the output is too {kind}: {len(output)} characters for {len(source)}")


def _script(output: str, target_script: str) -> Iterator[Notice]:
    letters = "".join(_LETTERS.findall(output))
    if len(letters) >= _MIN_SCRIPT_LETTERS:
        fitting = sum(map(len, _of_script(target_script).findall(letters)))
        if fitting < _MIN_SCRIPT_SHARE * len(letters):
            yield Notice("wrong_script", f"{fitting} of {len(letters)} letters are in the script {target_script}")


@cache
def _of_script(script: str) -> regex.Pattern[str]:
    return regex.compile(f"{SCRIPT_CLASSES[script]}+")


def _copy(source_words: list[str], output_words: list[str]) -> Iterator[Notice]:
    if len(set(source_words)) >= _MIN_COPIED_WORDS and source_words == output_words:
        yield Notice("untranslated", "the output is a copy of the source")


def _unknown(source: str, output: str) -> Iterator[Notice]:
    if len(_UNKNOWN.findall(output)) > len(_UNKNOWN.findall(source)):
        yield Notice("unknown_token", "the model could not write a character of the output")


def _placeholders(output: str, protected: Sequence[str]) -> Iterator[Notice]:
    # The longest first, so that `{a}` is not found inside `{{a}}`.
    rest = output
    lost = []
    for span in sorted(protected, key=len, reverse=True):
        if span in rest:
            rest = rest.replace(span, "\0", 1)
        else:
            lost.append(span)
    doubled = sorted({span for span in protected if span in rest})
    if lost or doubled:
        yield Notice("lost_placeholder", f"protected spans lost: {lost}, doubled: {doubled}")


def _score(score: float | None) -> Iterator[Notice]:
    if score is not None and score < _MIN_SCORE:
        yield Notice("low_score", f"the model's mean log-probability is {score:.2f}, below {_MIN_SCORE}")
