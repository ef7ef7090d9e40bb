"""How do translated pieces become a text again? Separators to the byte, spacing by the target's script.

Knows pieces and their outputs; not how they were translated.
"""

from __future__ import annotations

from collections.abc import Sequence

import regex

from pipelines.text.languages import resolve_language
from pipelines.text.segment import Piece
from pipelines.text.words import UNSPACED

# Scripts that put no space between two sentences. Thai, Lao, Khmer, Burmese and Tibetan do put one,
_UNSPACED_SCRIPTS = frozenset({"Hans", "Hant", "Jpan"})
# but none between two words.
_UNSPACED_WORD_SCRIPTS = _UNSPACED_SCRIPTS | {"Thai", "Laoo", "Khmr", "Mymr", "Tibt"}
_UNSPACED_SIGNS = r"\p{Bopomofo}\u3001-\u303f\u30fb\uff01-\uff0f\uff1a-\uff1f"
_ENDS_UNSPACED = regex.compile(rf"[{UNSPACED}{_UNSPACED_SIGNS}…—”’]\p{{M}}*\Z")
_STARTS_UNSPACED = regex.compile(rf"[{UNSPACED}{_UNSPACED_SIGNS}“‘]")
# What no space is put behind, and before. Of a text, not of a span: that stands for a word, whatever its characters.
_OPENS = regex.compile(r"(?:[\s\p{Cc}\p{Cf}\p{Ps}\p{Pi}\p{Sc}¿¡/\\@#&+=_|]|(?<!\s)-)\Z")
_CLOSES = regex.compile(r"[\s\p{Cc}\p{Cf}\p{Pe}\p{Pf},;:!?%/、。，．：；！？]|\.(?!\.)|-(?=\w)|'s\b")
_OPENING_TAG = regex.compile(r"<[^/<>][^<>]*(?<!/)>\Z")
_CLOSING_TAG = regex.compile(r"</[^<>]*>")


def join_pieces(pieces: Sequence[Piece], outputs: Sequence[str], *, source_lang: str, target_lang: str) -> str:
    """Put the outputs in the places of the translatable pieces; see `space_pieces`.

    Raises:
        ValueError: The numbers of outputs and of translatable pieces differ.
        UnknownLanguageError: The table has no such language.
    """
    spaced = space_pieces(pieces, outputs, source_lang=source_lang, target_lang=target_lang)
    return "".join(space + text for space, text in spaced)


def space_pieces(
    pieces: Sequence[Piece], outputs: Sequence[str], *, source_lang: str, target_lang: str
) -> list[tuple[str, str]]:
    """Return for each piece the space to add before it, and its text in the translation.

    Everything that is not translated stays as it is, except the spacing where the two scripts differ: text without
    spaces between sentences, or around the spans in them, gets one when it becomes a spaced script, and a single space
    between two sentences goes when it becomes Chinese or Japanese. If every output equals its source nothing was
    translated, and the source comes back byte for byte.

    Args:
        pieces: Their texts joined are the source.
        outputs: One per translatable piece, in order.
        source_lang: FLORES-200 code of the pieces.
        target_lang: FLORES-200 code of the outputs.

    Raises:
        ValueError: The numbers of outputs and of translatable pieces differ.
        UnknownLanguageError: The table has no such language.
    """
    texts = [piece.text if piece.output is None else piece.output for piece in pieces]
    places = [place for place, piece in enumerate(pieces) if piece.translatable]
    source_script, target_script = resolve_language(source_lang).script, resolve_language(target_lang).script
    for place, output in zip(places, outputs, strict=True):
        texts[place] = output
    spaces = [""] * len(pieces)
    if all(text == piece.text for piece, text in zip(pieces, texts, strict=True)):
        return list(zip(spaces, texts, strict=True))
    if target_script in _UNSPACED_SCRIPTS:
        if source_script not in _UNSPACED_SCRIPTS:
            texts = _without_spaces(pieces, texts)
    elif source_script in _UNSPACED_WORD_SCRIPTS:
        between_words = target_script not in _UNSPACED_WORD_SCRIPTS
        if between_words or source_script in _UNSPACED_SCRIPTS:
            spaces = _spaces_to_add(pieces, texts, between_words)
    return list(zip(spaces, texts, strict=True))


def is_unspaced(language: str) -> bool:
    """Whether a language, by its FLORES-200 code, puts no space between words."""
    return resolve_language(language).script in _UNSPACED_WORD_SCRIPTS


def _without_spaces(pieces: Sequence[Piece], texts: list[str]) -> list[str]:
    joined = list(texts)
    for place in range(1, len(pieces) - 1):
        between_sentences = pieces[place - 1].translatable and pieces[place + 1].translatable
        # Latin next to Latin (a name that was kept) still needs its space.
        needless = _ENDS_UNSPACED.search(texts[place - 1]) or _STARTS_UNSPACED.match(texts[place + 1])
        if pieces[place].text == " " and between_sentences and needless:
            joined[place] = ""
    return joined


def _spaces_to_add(pieces: Sequence[Piece], texts: Sequence[str], between_words: bool) -> list[str]:
    """A space wherever the source's script left one out: between sentences, or around the spans in them as well."""
    spaces = [""]
    for place in range(1, len(pieces)):
        left, right = pieces[place - 1], pieces[place]
        touched = _changes(left) or _changes(right)
        if not between_words:
            missing = left.output is None and right.output is None and _ENDS_UNSPACED.search(left.text)
        else:
            # The two halves of a long Latin word belong together.
            missing = _ENDS_UNSPACED.search(left.text) or _STARTS_UNSPACED.match(right.text)
        apart = _stays_open(left, texts[place - 1]) or _closes(right, texts[place])
        spaces.append(" " if touched and missing and not apart else "")
    return spaces[: len(pieces)]


def _changes(piece: Piece) -> bool:
    return piece.translatable or piece.output not in (None, piece.text)


def _stays_open(piece: Piece, text: str) -> bool:
    """Whether nothing, or no space, is behind which a space could be missing."""
    if piece.output is not None:
        return not text or bool(_OPENING_TAG.search(text))
    return not text or bool(_OPENS.search(text) or _OPENS.search(piece.text))


def _closes(piece: Piece, text: str) -> bool:
    """Whether a text goes on with what stands directly behind a word."""
    if piece.output is not None:
        return not text or bool(_CLOSING_TAG.match(text))
    return not text or bool(_CLOSES.match(text) or _CLOSES.match(piece.text))
