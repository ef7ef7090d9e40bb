"""What must pass through a translation unchanged? Finds it, hides it from the model, and puts it back.

Knows no model. Hidden spans are verified when they come back: a model that lost or doubled one is not believed, and
the caller translates around them instead (`split_around`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import regex

from pipelines.errors import UnsupportedOptionError
from pipelines.text.segment import Piece

_EMOJI_TAIL = r"[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\u20e3]*+"
_EMOJI = rf"(?:\p{{RI}}{{2}}|[0-9#*]\ufe0f?\u20e3|\p{{ExtPict}}{_EMOJI_TAIL}(?:\u200d\p{{ExtPict}}{_EMOJI_TAIL})*+)++"
# Braces inside braces, as in ICU's plural; bounded, so that text without a closing brace costs little.
_ICU_BODY = r"(?:[^{}]|\{(?:[^{}]|\{[^{}]{0,200}+\}){0,500}+\}){0,1000}+"
# Punctuation at the end of an address, and a parenthesis that it did not open, belong to the sentence.
_ADDRESS = r"(?:\([^\s()<>]*+\)|[^\s<>\"()“”「」])*(?:\([^\s()<>]*+\)|[^\s<>\"()“”「」.,;:!?\]}'’»。，、！？])"
_PATTERN = regex.compile(
    "|".join(
        [
            r"```[^`]++```|`[^`\n]++`",
            r"</?[A-Za-z][^<>]{0,500}+>",
            r"\$t\([^()\s]{1,100}+\)",
            r"[$#]?\{\{[^{}]{0,200}+\}\}",
            rf"\{{\s*\w++\s*,\s*(?:plural|select|selectordinal|number|date|time)\b{_ICU_BODY}\}}",
            r"[$#%]?\{[\w.:!,\[\]#%+\-]{0,100}+\}",
            r"%(?:\(\w++\)|\d++\$)?[#0+\-]*+\d*+(?:\.\d++)?(?:hh?|ll?|[Lqjzt])?[sdiuoxXfFeEgGcpa@](?!\p{L})|%%",
            rf"\b(?:(?:https?|ftp|file|ssh|git)://|www\.){_ADDRESS}",
            r"(?:\bmailto:)?(?<![\w.+\-])[\w.+\-]{1,64}+@[\w\-]++(?:\.[\w\-]++)+",
            rf"(?<![\w.@\-])(?:[a-zA-Z0-9\-]{{1,63}}+\.)+(?:com|org|net|edu|gov|io|dev|info)\b(?:/(?:{_ADDRESS})?)?",
            r"(?<![\w/])(?:[A-Za-z]:\\|\\\\)[\w.\\$\-]*[\w$\-]",
            r"(?<![\w/.~])(?:~|\.{1,2})?/(?:[\w.+@\-]++/)+(?:[\w.+@\-]*\w)?|(?<![\w/.~])(?:~|\.{1,2})/[\w.+@\-]*\w",
            r"(?<![\w/.\-])[\w\-.]++(?:/[\w\-.]++)+(?<=\.[a-z][a-z0-9]{0,4})\b",
            r"(?<![\p{L}\p{N}&#@])[#@](?=\d*\p{L})[\p{L}\p{M}\p{N}_]++",
            _EMOJI,
        ]
    )
)
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}_]")
_LETTER = regex.compile(r"\p{L}")
# Scripts that put no space between words: a term there may stand anywhere.
_UNSPACED_WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]")
_PATTERN_TIMEOUT_S = 0.1
# Words that no language has, in the vocabulary's plainest characters. The first that the text is free of is used.
_MASK_LETTERS = ("ZQ", "XJ", "QK", "VX")


@dataclass(frozen=True, slots=True)
class Masked:
    """A text whose protected spans are hidden from the model.

    Attributes:
        text: What the model reads; spans at its ends are left out of it, those inside are words like `ZQ0Q`.
        lead: What goes before the output, to the byte.
        tail: What goes behind it.
        originals: The hidden spans, by number.
        letters: How the masks begin.
    """

    text: str
    lead: str
    tail: str
    originals: tuple[str, ...]
    letters: str

    def restore(self, output: str) -> str | None:
        """Put the originals back, or return None if the output has not each mask exactly once."""
        mask = regex.compile(rf"{self.letters}(\d{{1,6}}){self.letters[-1]}")
        numbers = sorted(int(found[1]) for found in mask.finditer(output))
        if numbers != list(range(len(self.originals))):
            return None
        return self.lead + mask.sub(lambda found: self.originals[int(found[1])], output) + self.tail


def find_spans(text: str, *, terms: Sequence[str] = (), patterns: Sequence[str] = ()) -> list[tuple[int, int]]:
    """Find what must not be translated: (start, end) of each span, in order, without overlap.

    URLs, e-mail addresses, file paths, code spans, tags, hashtags, mentions, placeholders (printf, ICU, mustache,
    i18next, `${x}`) and emoji are found by themselves.

    Args:
        text: Any text.
        terms: Words and phrases that stay as they are; whole words, in this case.
        patterns: Regular expressions of further spans.

    Raises:
        UnsupportedOptionError: A pattern is no regular expression, or takes too long on this text.
    """
    found = [match.span() for match in _PATTERN.finditer(text)]
    found += [span for term in terms if term for span in _term_spans(text, term)]
    found += [span for pattern in patterns for span in _pattern_spans(text, pattern)]
    spans: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        elif start < end:
            spans.append((start, end))
    return spans


def mask(text: str, spans: Sequence[tuple[int, int]]) -> Masked | None:
    """Hide spans behind words that a model copies.

    Returns:
        None if nothing to translate is left, or if the text itself has every kind of mask.
    """
    letters = next((each for each in _MASK_LETTERS if each not in text), None)
    parts = split_around(text, spans)
    first = next((place for place, part in enumerate(parts) if part.translatable), None)
    if letters is None or first is None:
        return None
    last = max(place for place, part in enumerate(parts) if part.translatable)
    start = len("".join(part.text for part in parts[:first]))
    end = len(text) - len("".join(part.text for part in parts[last + 1 :]))
    inner = [(begin, stop) for begin, stop in spans if start <= begin and stop <= end]
    masked, position = "", start
    for number, (begin, stop) in enumerate(inner):
        masked += f"{text[position:begin]}{letters}{number}{letters[-1]}"
        position = stop
    originals = tuple(text[begin:stop] for begin, stop in inner)
    # Punctuation behind the last words stays with them: it tells the model where the sentence ends.
    tail_start = min((begin for begin, _ in spans if begin >= end), default=len(text))
    closing = text[end:tail_start].rstrip()
    end += len(closing)
    return Masked(masked + text[position:end], text[:start], text[end:], originals, letters)


def split_around(text: str, spans: Sequence[tuple[int, int]]) -> list[Piece]:
    """Cut a text at its spans: they and the space next to them are kept, the rest is translated by itself.

    The pieces' texts joined are the text.
    """
    return [piece for piece in _cut_around(text, spans) if piece.text]


def _term_spans(text: str, term: str) -> Iterator[tuple[int, int]]:
    start = text.find(term)
    while start >= 0:
        end = start + len(term)
        if not (_continues_word(text, start) or _continues_word(text, end)):
            yield start, end
        start = text.find(term, end)


def _continues_word(text: str, position: int) -> bool:
    if not 0 < position < len(text):
        return False
    left, right = text[position - 1], text[position]
    if _UNSPACED_WORD.match(left) or _UNSPACED_WORD.match(right):
        return False
    return bool(_WORD.match(left) and _WORD.match(right))


def _pattern_spans(text: str, pattern: str) -> list[tuple[int, int]]:
    try:
        return [found.span() for found in regex.finditer(pattern, text, timeout=_PATTERN_TIMEOUT_S)]
    except regex.error as error:
        raise UnsupportedOptionError(f"{pattern!r} is no regular expression: {error}") from error
    except TimeoutError as error:
        raise UnsupportedOptionError(f"the regular expression {pattern!r} takes too long; simplify it") from error


def _cut_around(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    position = 0
    for start, end in [*spans, (len(text), len(text))]:
        between = text[position:start]
        content = between.strip()
        if _LETTER.search(content):
            lead = len(between) - len(between.lstrip())
            yield Piece(between[:lead], translatable=False)
            yield Piece(content, translatable=True)
            yield Piece(between[lead + len(content) :], translatable=False)
        else:
            yield Piece(between, translatable=False)
        yield Piece(text[start:end], translatable=False)
        position = end
