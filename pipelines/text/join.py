"""How do translated pieces become a text again? Separators to the byte, spacing by the target's script.

Knows pieces and their outputs; not how they were translated.
"""

from __future__ import annotations

from collections.abc import Sequence

import regex

from pipelines.text.languages import resolve_language
from pipelines.text.segment import Piece

# Scripts that put no space between two sentences. Thai, Lao, Khmer, Burmese and Tibetan do put one.
_UNSPACED_SCRIPTS = frozenset({"Hans", "Hant", "Jpan"})
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\u3001-\u303f\u30fb\u30fc\uff01-\uff0f\uff1a-\uff1f"
_ENDS_UNSPACED = regex.compile(rf"[{_UNSPACED}…—”’][\p{{M}}]*\Z")
_STARTS_UNSPACED = regex.compile(rf"[{_UNSPACED}“‘]")
_SPACE = regex.compile(r"\s")


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

    Everything that is not translated stays as it is, except the spacing between sentences where the two scripts
    differ: text without spaces between sentences gets one when it becomes a spaced script, and a single space between
    two sentences goes when it becomes Chinese or Japanese. If every output equals its source nothing was translated,
    and the source comes back byte for byte.

    Args:
        pieces: What `split_text` made.
        outputs: One per translatable piece, in order.
        source_lang: FLORES-200 code of the pieces.
        target_lang: FLORES-200 code of the outputs.

    Raises:
        ValueError: The numbers of outputs and of translatable pieces differ.
        UnknownLanguageError: The table has no such language.
    """
    texts = [piece.text for piece in pieces]
    places = [place for place, piece in enumerate(pieces) if piece.translatable]
    source_is_spaced = resolve_language(source_lang).script not in _UNSPACED_SCRIPTS
    target_is_spaced = resolve_language(target_lang).script not in _UNSPACED_SCRIPTS
    changed = False
    for place, output in zip(places, outputs, strict=True):
        changed = changed or output != texts[place]
        texts[place] = output
    spaces = [""] * len(pieces)
    if changed and source_is_spaced and not target_is_spaced:
        texts = _without_spaces(pieces, texts)
    elif changed and target_is_spaced and not source_is_spaced:
        spaces = _spaces_to_add(pieces)
    return list(zip(spaces, texts, strict=True))


def _without_spaces(pieces: Sequence[Piece], texts: list[str]) -> list[str]:
    joined = list(texts)
    for place in range(1, len(pieces) - 1):
        between_sentences = pieces[place - 1].translatable and pieces[place + 1].translatable
        # Latin next to Latin (a name that was kept) still needs its space.
        needless = _ENDS_UNSPACED.search(texts[place - 1]) or _STARTS_UNSPACED.match(texts[place + 1])
        if pieces[place].text == " " and between_sentences and needless:
            joined[place] = ""
    return joined


def _spaces_to_add(pieces: Sequence[Piece]) -> list[str]:
    spaces = [""]
    for place in range(1, len(pieces)):
        left, right = pieces[place - 1].text, pieces[place].text
        touched = pieces[place - 1].translatable or pieces[place].translatable
        # Only where the source's script left it out; the two halves of a long Latin word belong together.
        missing = touched and _ENDS_UNSPACED.search(left) and not _SPACE.match(right)
        spaces.append(" " if missing else "")
    return spaces[: len(pieces)]
