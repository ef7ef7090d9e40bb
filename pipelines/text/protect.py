"""What must pass through a translation unchanged? Finds it, hides it from the model, and puts it back.

Knows no model. Hidden spans are verified when they come back: a model that lost or doubled one is not believed, and
the caller translates around them instead (`split_around`). What stands for a span in the translation is the span's
own business (`Span.output`): itself, or a glossary's term.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from unicodedata import normalize

import regex

from pipelines.text.patterns import Patterns
from pipelines.text.segment import Piece
from pipelines.text.spans import Span, unchanged_spans
from pipelines.text.validity import TOO_MANY_MARKS
from pipelines.text.words import UNSPACED, inside_word

_EMOJI_TAIL = r"[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\u20e3]*+"
_EMOJI = rf"(?:\p{{RI}}{{2}}|[0-9#*]\ufe0f?\u20e3|\p{{ExtPict}}{_EMOJI_TAIL}(?:\u200d\p{{ExtPict}}{_EMOJI_TAIL})*+)++"
# Braces inside braces, as in ICU's plural inside a select; bounded, so that text without a closing brace costs little.
_ICU_BODY = r"[^{}]{0,200}+"
for _most in (500, 500, 500, 1000):
    _ICU_BODY = rf"(?:[^{{}}]|\{{{_ICU_BODY}\}}){{0,{_most}}}+"
# Scripts that put no space between words go on right behind an address, a placeholder or a mention. So these end where
# such a script begins, and begin where it ends.
_WORD = rf"[\w--[{UNSPACED}]]"
_SPACED_LETTER = rf"[\p{{L}}--[{UNSPACED}]]"
_NOT_IN_ADDRESS = rf"\s<>\"“”\u3000-\u303f\uff00-\uffef{UNSPACED}"
# Punctuation at the end of an address, and a parenthesis that it did not open, belong to the sentence.
_IN_PARENTHESES = rf"\([^(){_NOT_IN_ADDRESS}]*+\)"
_ADDRESS = (
    rf"(?:{_IN_PARENTHESES}|[^(){_NOT_IN_ADDRESS}])*"
    rf"(?:{_IN_PARENTHESES}|[^(){_NOT_IN_ADDRESS}.,;:!?\]\}}'’»।॥،؛؟۔–—…])"
)
_SCHEME = r"(?<![a-zA-Z0-9_])(?:(?:https?|ftp|file|ssh|git)://|www\.)"
# A name in such a script is a part of an address if all around says so: it begins where a name may, and what is before
# and behind the address is white space.
_NAMED_ADDRESS = (
    rf"(?<![{UNSPACED}]){_SCHEME}[^(){_NOT_IN_ADDRESS}]*+(?<=[/=#&:_])"
    rf"[{UNSPACED}][^\s<>\"()“”\u3000-\u303f\uff00-\uffef]{{0,200}}(?<=[\w/])(?=[.,;:!?)]*+(?:\s|\Z))"
)
# A name in a path of Windows; a full stop at its end belongs to the sentence.
_FOLDER = r"\.*+[\w$\-]++(?:\.++[\w$\-]++)*+"
_PATTERN = regex.compile(
    "|".join(
        [
            # A backtick inside a word is an apostrophe, unless code ends at the next one.
            rf"```[^`]++```|(?<!{_SPACED_LETTER})`[^`\n]++`"
            rf"|`[^`\n]++(?:(?<![\p{{L}}\s--[{UNSPACED}]])`|(?<!\s)`(?!{_SPACED_LETTER}))",
            r"</?(?:[A-Za-z][^<>]{0,500}+|\d{1,3}+/?)>",
            r"\$t\([^()\s]{1,100}+\)",
            r"[$#]?\{\{[^{}]{0,200}+\}\}",
            rf"\{{\s*\w++\s*,\s*(?:plural|select|selectordinal|number|date|time|choice)\b{_ICU_BODY}\}}",
            r"[$#%]?\{[ ]?[\w.:!,\[\]#%+\-]{0,100}+[ ]?\}",
            r"%(?:\(\w++\)|\d++\$)?[#0+\-]*+\d*+(?:\.\d++)?(?:hh?|ll?|[Lqjzt])?[sdiuoxXfFeEgGcpa@]"
            rf"(?![\p{{L}}--[{UNSPACED}]])|%%",
            _NAMED_ADDRESS,
            rf"{_SCHEME}{_ADDRESS}",
            rf"(?:(?<![a-zA-Z0-9_])mailto:)?(?<![{_WORD}.+\-])[{_WORD}.+\-]{{1,64}}+@[{_WORD}\-]++(?:\.[{_WORD}\-]++)+",
            rf"(?<![{_WORD}.@\-])(?:[a-zA-Z0-9\-]{{1,63}}+\.)+(?:com|org|net|edu|gov|io|dev|info)(?!{_WORD})"
            rf"(?:/(?:{_ADDRESS})?)?",
            rf"(?<![\w/\\])(?:[A-Za-z]:\\|\\\\){_FOLDER}(?:\\++{_FOLDER})*+",
            r"(?<![\w/.~])(?:~|\.{1,2})?/(?:[\w.+@\-]++/)+(?:[\w.+@\-]*\w)?|(?<![\w/.~])(?:~|\.{1,2})/[\w.+@\-]*\w",
            r"(?<![\w/.\-])[\w\-.]++(?:/[\w\-.]++)+(?<=\.[a-z][a-z0-9]{0,4})\b",
            rf"(?<![\p{{L}}\p{{N}}&#@])(?:#(?=\d*\p{{L}})|@(?=\d*[{UNSPACED}]))[\p{{L}}\p{{M}}\p{{N}}_]++",
            rf"(?<![{_WORD}&#@])[#@](?=\d*+[\p{{L}}--[{UNSPACED}]])[[\p{{L}}\p{{M}}\p{{N}}_]--[{UNSPACED}]]++",
            _EMOJI,
        ]
    ),
    regex.V1,
)
# One of these is in all that the pattern finds. Most texts have none, and looking for one takes a fortieth of the time.
_SIGN = regex.compile(r"[`<{$%@#/\\\u20e3\p{RI}\p{ExtPict}]|\.\S")
_LETTER = regex.compile(r"\p{L}")
# Words that no language has, in the vocabulary's plainest characters. The first that the text is free of is used.
_MASK_LETTERS = ("ZQ", "XJ", "QK", "VX")


@dataclass(frozen=True, slots=True)
class Masked:
    """A text whose protected spans are hidden from the model.

    Attributes:
        text: What the model reads; spans at its ends are left out of it, those inside are words like `ZQ0Q`.
        pieces: The whole text: what is left out of `text`, around the one piece that is translated.
        outputs: What stands for the hidden spans, by number.
        letters: How the masks begin.
    """

    text: str
    pieces: tuple[Piece, ...]
    outputs: tuple[str, ...]
    letters: str

    def restore(self, output: str) -> str | None:
        """The output of the one piece: with the spans' outputs in, or None if it has not each mask exactly once."""
        mask = regex.compile(rf"{self.letters}(\d{{1,6}}){self.letters[-1]}")
        numbers = sorted(int(found[1]) for found in mask.finditer(output))
        if numbers != list(range(len(self.outputs))):
            return None
        return mask.sub(lambda found: self.outputs[int(found[1])], output)


def find_spans(text: str, *, terms: Sequence[str] = (), patterns: Patterns | None = None) -> list[tuple[int, int]]:
    """Find what must not be translated: (start, end) of each span, in order, without overlap.

    URLs, e-mail addresses, file paths, code spans, tags, hashtags, mentions, placeholders (printf, ICU, mustache,
    i18next, `${x}`) and emoji are found by themselves.

    Args:
        text: Any text.
        terms: Words and phrases that stay as they are; whole words, in this case and form (see `as_written`).
        patterns: Regular expressions of further spans.

    Raises:
        UnsupportedOptionError: The patterns take too long.
    """
    found = [match.span() for match in _PATTERN.finditer(text)] if _SIGN.search(text) else []
    found += [span for term in dict.fromkeys(terms) if term for span in _term_spans(text, term)]
    found += patterns.find(text) if patterns is not None else ()
    spans: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        elif start < end:
            spans.append((start, end))
    return spans


def as_written(terms: Sequence[str]) -> tuple[str, ...]:
    """Return terms in all ways that a text may write them: some systems take letters and their accents apart."""
    return tuple(dict.fromkeys(form for term in terms for form in _forms(term)))


def mask(text: str, spans: Sequence[Span]) -> Masked | None:
    """Hide spans behind words that a model copies.

    Returns:
        None if nothing to translate is left, or if the text itself has every kind of mask.
    """
    letters = next((each for each in _MASK_LETTERS if each not in text), None)
    between = [_content(text, start, end) for start, end in _gaps(text, spans)]
    contents = [(start, end) for start, end in between if _LETTER.search(text, start, end)]
    if letters is None or not contents:
        return None
    start, end = contents[0][0], contents[-1][1]
    inner = [span for span in spans if start <= span.start and span.end <= end]
    masked, position = "", start
    for number, span in enumerate(inner):
        masked += f"{text[position : span.start]}{letters}{number}{letters[-1]}"
        position = span.end
    # Punctuation behind the last words stays with them: it tells the model where the sentence ends.
    behind = [span for span in spans if span.start >= end]
    tail_start = behind[0].start if behind else len(text)
    end += len(text[end:tail_start].rstrip())
    lead = _kept(text, [span for span in spans if span.end <= start], 0, start)
    tail = _kept(text, behind, end, len(text))
    return Masked(
        masked + text[position:end],
        pieces=(*lead, Piece(text[start:end], translatable=True), *tail),
        outputs=tuple(span.output for span in inner),
        letters=letters,
    )


def split_around(text: str, spans: Sequence[Span]) -> list[Piece]:
    """Cut a text at its spans: they and the space next to them are kept, the rest is translated by itself.

    The pieces' texts joined are the text.
    """
    pieces: list[Piece] = []
    gaps = _gaps(text, spans)
    for (start, end), span in zip(gaps, [*spans, None], strict=True):
        first, last = _content(text, start, end)
        pieces += [
            Piece(text[start:first], translatable=False),
            Piece(text[first:last], translatable=bool(_LETTER.search(text, first, last))),
            Piece(text[last:end], translatable=False),
        ]
        if span is not None:
            pieces.append(_piece(text, span))
    return [piece for piece in pieces if piece.text or piece.output]


def has_language(text: str) -> bool:
    """Whether a text has a letter outside of what is found by itself: if not, it is as it is in every language."""
    gaps = _gaps(text, unchanged_spans(text, find_spans(text)))
    return any(_LETTER.search(text, start, end) for start, end in gaps)


def _forms(term: str) -> tuple[str, ...]:
    """A term as it is, composed and decomposed (UAX 15)."""
    return (term,) if TOO_MANY_MARKS.search(term) else (term, normalize("NFC", term), normalize("NFD", term))


def _term_spans(text: str, term: str) -> Iterator[tuple[int, int]]:
    start = text.find(term)
    while start >= 0:
        end = start + len(term)
        if not (inside_word(text, start) or inside_word(text, end)):
            yield start, end
        start = text.find(term, end)


def _gaps(text: str, spans: Sequence[Span]) -> list[tuple[int, int]]:
    """What lies before, between and behind the spans: one more than there are spans."""
    starts = [0, *(span.end for span in spans)]
    ends = [*(span.start for span in spans), len(text)]
    return list(zip(starts, ends, strict=True))


def _content(text: str, start: int, end: int) -> tuple[int, int]:
    """A part of the text without the white space at its ends."""
    part = text[start:end]
    first = start + len(part) - len(part.lstrip())
    return first, max(first, start + len(part.rstrip()))


def _kept(text: str, spans: Sequence[Span], start: int, end: int) -> list[Piece]:
    pieces, position = [], start
    for span in spans:
        pieces += [Piece(text[position : span.start], translatable=False), _piece(text, span)]
        position = span.end
    pieces.append(Piece(text[position:end], translatable=False))
    return [piece for piece in pieces if piece.text or piece.output]


def _piece(text: str, span: Span) -> Piece:
    return Piece(text[span.start : span.end], translatable=False, output=span.output)
