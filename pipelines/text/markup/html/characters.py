"""Text and attribute values of HTML: character references in, and what a translation must not be taken for out."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from pipelines.text.markup.build import DocumentBuilder

_SPECIAL = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_SPECIAL_CHAR = re.compile("[&<>]")
# Where a special character is never bare: what follows or precedes makes it markup, or is not known.
_MARKUP = re.compile(r"<(?=[a-zA-Z/!?]|\Z)|&(?=#|\Z)|(?:(?<=\]\])|(?<=--)|\A)>")
_REFERENCE = re.compile(r"&(?:#[xX][0-9a-fA-F]+|#[0-9]+|[a-zA-Z][a-zA-Z0-9]*);?")
LONG_REFERENCE = re.compile(r"&#(?:[xX][0-9a-fA-F]{9,}+|[0-9]{9,}+)")
"""More digits than any character has: the last of Unicode has seven, and `int` refuses thousands."""


def add_characters(builder: DocumentBuilder, raw: str, *, collapse_space: bool = True) -> None:
    """Add text as the source has it; references are understood, and written again as they were."""
    for plain, form in _runs(raw):
        builder.add_text(plain, form, collapse_space=collapse_space)


def decode(raw: str) -> tuple[str, list[str]]:
    """Plain text, and the form of each of its characters in the source."""
    text: list[str] = []
    forms: list[str] = []
    for plain, form in _runs(raw):
        text.append(plain)
        forms += plain if form is None else [form, *[""] * (len(plain) - 1)]
    return "".join(text), forms


def unescape(reference: str) -> str:
    """The characters that a reference stands for; itself if it is none, or has more digits than any character."""
    return reference if LONG_REFERENCE.match(reference) else html.unescape(reference)


def escape(text: str, bare: frozenset[str] = frozenset()) -> str:
    """Escape special characters; those that the source itself has bare only where they would be markup."""
    return _SPECIAL_CHAR.sub(
        lambda found: _SPECIAL[found.group()] if _must_escape(found, bare) else found.group(), text
    )


def escape_value(text: str, quote: str, bare: frozenset[str] = frozenset()) -> str:
    """Escape what is written into an attribute with that quote, or with none."""
    escaped = escape(text, bare).replace('"', "&quot;").replace("'", "&#39;" if quote != '"' else "'")
    # Without quotes a space would end the value.
    return escaped if quote else re.sub(r"\s", "&#32;", escaped).replace("=", "&#61;").replace("`", "&#96;")


def _must_escape(found: re.Match[str], bare: frozenset[str]) -> bool:
    if found.group() not in bare or _MARKUP.match(found.string, found.start()):
        return True
    reference = _REFERENCE.match(found.string, found.start())
    return reference is not None and unescape(reference.group()) != reference.group()


def _runs(raw: str) -> Iterator[tuple[str, str | None]]:
    """Plain text, and the form that it has in the source if that is another."""
    position = 0
    for found in _REFERENCE.finditer(raw):
        yield raw[position : found.start()], None
        plain = unescape(found.group())
        yield plain, None if plain == found.group() else found.group()  # else no reference: a bare ampersand
        position = found.end()
    yield raw[position:], None
