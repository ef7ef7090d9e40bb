"""Where are a text's sentences? Cuts any string into pieces to translate and pieces to keep, losing nothing.

Knows no model: the caller says how many characters a piece may have. Joining the pieces' texts gives the text
back, for every string. What the caller names whole (a placeholder, an address) is never cut.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import regex
import sentencex

from pipelines.text.graphemes import EXTENDS, starts_grapheme
from pipelines.text.languages import resolve_language
from pipelines.text.spans import Span
from pipelines.text.validity import SURROGATE

# Characters that never belong to a sentence: controls, line and paragraph separators. A run of three or more
# spaces is layout as well; one or two inside a sentence are spacing that the model reads.
_HARD_SEPARATOR = regex.compile(r"[\p{Cc}\p{Zl}\p{Zp}]+|[ \u00a0\u2000-\u200a\u3000]{3,}")
_SPACE_OR_CONTROL = regex.compile(r"[\s\p{Cc}]")
# Format characters (bidirectional controls, zero-width space, byte order mark) are kept out of a sentence at its
# ends only; those that join with a neighbour stay: ZWNJ and ZWJ spell words, tags make flags, prepended signs hold
# numbers.
_LOOSE_FORMAT = regex.compile(r"[\p{Cf}--[\u200c\u200d\U000e0020-\U000e007f\p{GCB=Prepend}]]", regex.V1)
# A flag is named apart, because `\X` alone looks back over the whole run of flags before it.
_GRAPHEME = regex.compile(rf"\p{{GCB=Prepend}}*\ue000+{EXTENDS}*|\p{{RI}}{{2}}{EXTENDS}*|\X")
_LEADING_SPACE = regex.compile(rf"\s+(?!{EXTENDS})")
_LETTER = regex.compile(r"\p{L}")

# A clause ends after one of these; ASCII marks also stand inside numbers and names, so they need a space behind.
_CLAUSE_END = regex.compile(r"(?:[,;:\u2013](?=\s)|[—،؛၊፣፤፥；，：、…།᠂᠈।](?!\d))\K")
# Digit groups stay together.
_WORD_END = regex.compile(r"(?=(?<!\d)\s|\s+(?!\d)\S)(?<!\s)")
_INSIDE_NUMBER = regex.compile(r"\d[\d.,'\u2019\u066b\u066c]*\d")
# What the sentence splitter (1.0.32) does not know: the ends of Khmer and Tibetan sentences,
_MISSED_END = regex.compile(rf"(?<=[\u17d4\u17d5\u0f0d\u0f0e]\s)(?!\s|{EXTENDS})", regex.V1)
# and where a sentence goes on: inside a number or an abbreviation (`n.º`, `J.-C.`), behind an ordinal, speech or a
# quotation, and behind some abbreviations.
_GOES_ON = (
    (regex.compile(r"\p{Nd}[.\uff0e]\Z"), regex.compile(r"\p{Nd}")),
    (regex.compile(r"\.\Z"), regex.compile(r"[ªº]|-\p{L}")),
    (regex.compile(r"\d\.\s*\Z"), regex.compile(r"\p{Ll}")),
    (regex.compile(r"[»”\"']\s*\Z"), regex.compile(r"[—–-]\s*\p{Ll}")),
    (regex.compile(r"[」』]\Z"), regex.compile(r"[とって]")),
    (regex.compile(r"(?<!\S)(?:M|MM|Mme|Mlle|डॉ|प्रो|श्री)\.\s*\Z"), regex.compile(r"\p{L}")),
)
# A clause shorter than this share of the limit is no better than a cut at a space: it only makes more pieces.
_MIN_CLAUSE_SHARE = 0.25
# Longer than any sentence. A longer line is cut before the sentence splitter reads it, so that an endless one costs
# linear time.
_MAX_SPLITTER_CHARS = 20_000

# Stands for the characters of what is whole: no letter, no space and no mark, so nothing ends or breaks inside.
_WHOLE = "\ue000"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text: a sentence (or a part of one) to translate, or something to keep.

    Attributes:
        text: In the source.
        translatable: Whether it is translated.
        output: What stands for it in the translation, where it is a span; None where it is no span.
    """

    text: str
    translatable: bool
    output: str | None = None


def split_text(text: str, language: str, *, max_segment_chars: int, whole: Sequence[Span] = ()) -> list[Piece]:
    """Cut a text into pieces; their texts joined are the text, for every string.

    A translatable piece has a letter or a span that changes, has no white space, control or loose format character at
    its ends, and is not longer than the limit (unless one grapheme is). Over-long sentences are cut at clause ends,
    else at spaces, else between graphemes, outside numbers where possible.

    Args:
        text: Any string.
        language: FLORES-200 code (or any other that the table knows) of the text.
        max_segment_chars: The most characters (code points) of a translatable piece, at least 1.
        whole: Spans that stay in one piece, in order and without overlap; a span that is longer than the limit makes
            its piece longer.

    Raises:
        UnknownLanguageError: The table has no such language.
    """
    if whole:
        return _restored(text, split_text(_stand_in(text, whole), language, max_segment_chars=max_segment_chars), whole)
    tag = _splitter_language(language)
    pieces: list[Piece] = []
    start = 0
    for separator in _HARD_SEPARATOR.finditer(text):
        # Spaces followed by a combining mark carry it: the mark's grapheme is not cut.
        end = separator.end()
        if end < len(text) and not starts_grapheme(text, end):
            end -= 1
        _append_block(pieces, text[start : separator.start()], tag, max_segment_chars)
        _keep(pieces, text[separator.start() : end])
        start = end
    _append_block(pieces, text[start:], tag, max_segment_chars)
    return pieces


def places(pieces: Sequence[Piece]) -> Iterator[tuple[int, int, Piece]]:
    """Where each piece starts and ends in the text that they make when joined, and the piece."""
    start = 0
    for piece in pieces:
        end = start + len(piece.text)
        yield start, end, piece
        start = end


def _stand_in(text: str, whole: Sequence[Span]) -> str:
    parts, position = [], 0
    for span in whole:
        parts += [text[position : span.start], _WHOLE * (span.end - span.start)]
        position = span.end
    return "".join([*parts, text[position:]])


def _restored(text: str, pieces: Sequence[Piece], whole: Sequence[Span]) -> list[Piece]:
    changed = [span.start for span in whole if span.output != text[span.start : span.end]]
    restored = []
    for start, end, piece in places(pieces):
        # A title that is nothing but a term of a glossary has no letter left, and yet changes.
        changes = bisect_left(changed, start) < bisect_left(changed, end)
        restored.append(Piece(text[start:end], piece.translatable or changes))
    return restored


def _splitter_language(code: str) -> str:
    language = resolve_language(code)
    return language.iso639_1 or language.wikipedia or language.iso639_3


def _append_block(pieces: list[Piece], block: str, tag: str, max_chars: int) -> None:
    for sentence in _sentences(block, tag):
        start, end = _content(sentence)
        _keep(pieces, sentence[:start])
        for part in _parts(sentence[start:end], max_chars):
            part_start, part_end = _content(part)
            content = part[part_start:part_end]
            _keep(pieces, part[:part_start])
            if _LETTER.search(content):
                pieces.append(Piece(content, translatable=True))
            else:
                _keep(pieces, content)
            _keep(pieces, part[part_end:])
        _keep(pieces, sentence[end:])


def _keep(pieces: list[Piece], text: str) -> None:
    if text:
        pieces.append(Piece(text, translatable=False))


def _sentences(block: str, tag: str) -> Iterator[str]:
    for chunk in _parts(block, _MAX_SPLITTER_CHARS):
        # The splitter takes UTF-8 only; a lone surrogate has the length of its stand-in.
        found = sentencex.segment(tag, SURROGATE.sub("\ufffd", chunk)) if chunk else []
        start = end = 0
        for sentence in found:
            end += len(sentence)
            if end == len(chunk) or (starts_grapheme(chunk, end) and not _goes_on(chunk, start, end)):
                yield from _MISSED_END.split(chunk[start:end])
                start = end
        if start < len(chunk):
            yield from _MISSED_END.split(chunk[start:])


def _goes_on(chunk: str, start: int, end: int) -> bool:
    """Whether the sentence that begins at `start` is not over at `end`."""
    before = chunk[max(start, end - 20) : end]
    return any(left.search(before) and right.match(chunk, end) for left, right in _GOES_ON)


def _content(text: str) -> tuple[int, int]:
    """Where the text starts and ends without what is loose at its ends."""
    start, end = 0, len(text)
    while start < end and _is_loose(text[start]):
        start += 1
        while start < end and not starts_grapheme(text, start):
            start += 1
    while start < end:
        base = end - 1
        while base > start and not starts_grapheme(text, base):
            base -= 1
        if not (_is_loose(text[base]) or _is_loose(text[end - 1])):
            break
        end = base
    return start, end


def _is_loose(char: str) -> bool:
    return not char.isalnum() and bool(_SPACE_OR_CONTROL.match(char) or _LOOSE_FORMAT.match(char))


def _parts(text: str, max_chars: int) -> Iterator[str]:
    start = 0
    while len(text) - start > max_chars:
        # The space behind a cut is a part of its own, not counted against the next.
        space = _LEADING_SPACE.match(text, start)
        end = space.end() if space else _cut(text, start, max_chars)
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _cut(text: str, start: int, max_chars: int) -> int:
    """Where to end a part that starts at `start`: the best boundary within the limit."""
    limit = start + max_chars
    earliest = start + int(max_chars * _MIN_CLAUSE_SHARE)
    window_end = limit + 2  # a boundary at the limit is recognised by what follows
    for pattern, floor in ((_CLAUSE_END, earliest), (_WORD_END, start)):
        boundaries = (found.start() for found in pattern.finditer(text, start, window_end))
        fitting = [each for each in boundaries if floor < each <= limit and starts_grapheme(text, each)]
        if fitting:
            return fitting[-1]
    return _cut_between_graphemes(text, start, limit)


def _cut_between_graphemes(text: str, start: int, limit: int) -> int:
    # The window is a copy, because a search inside the text would look back beyond `start`. It ends behind the limit:
    # what it cuts off its last grapheme does not matter there.
    window = text[start : limit + 1]
    fitting = [found.end() for found in _GRAPHEME.finditer(window) if found.end() < len(window)]
    if not fitting:
        whole = _GRAPHEME.match(text, start)
        return whole.end() if whole else limit
    for number in _INSIDE_NUMBER.finditer(window):
        if number.start() < fitting[-1] < number.end():
            fitting = [end for end in fitting if end <= number.start()] or fitting[-1:]
            break
    return start + fitting[-1]
