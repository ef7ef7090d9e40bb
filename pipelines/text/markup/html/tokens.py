"""Cuts any text into HTML's tokens by Python's own `html.parser`, which says where each begins; loses nothing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Literal, TypeAlias

from pipelines.text.markup.html.characters import LONG_REFERENCE
from pipelines.text.markup.html.elements import BLOCKS, VOID

Kind: TypeAlias = Literal["open", "close", "single", "text", "comment", "boundary"]
_MARKUP = re.compile(r"<[!?/a-zA-Z]")
# Those that the parser knows; of any other it says that it cannot be.
_MARKED_SECTION = re.compile(r"<!\[(?:cdata|rcdata|include|ignore|temp|if|else|endif)(?![-_.a-zA-Z0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Token:
    """A part of the source.

    Attributes:
        kind: What it is; a boundary is anything that is neither tag nor text nor comment.
        raw: As the source has it.
        name: Of a tag's element, in lower case.
        attributes: Of a tag, by their names in lower case; of several of one name the first counts.
    """

    kind: Kind
    raw: str
    name: str = ""
    attributes: Mapping[str, str | None] = field(default_factory=dict)


def tokenize(text: str) -> list[Token]:
    """The tokens; their raw forms joined are the text, for every string."""
    found = _Tokenizer(text).found
    starts = [start for start, _ in found]
    if any(later < earlier for earlier, later in itertools.pairwise(starts)):
        return [Token("boundary", text)]  # a tokenizer out of step: nothing is better than something wrong
    if not found or starts[0] > 0:
        found.insert(0, (0, Token("boundary", "")))
    # What the tokenizer gives in several pieces is one text.
    joined = [
        each
        for before, each in zip([None, *found], found, strict=False)
        if not (each[1].kind == "text" and before is not None and before[1].kind == "text")
    ]
    ends = [*(start for start, _ in joined[1:]), len(text)]
    tokens: list[Token] = []
    for (start, token), end in zip(joined, ends, strict=True):
        tokens += _finished(replace(token, raw=text[start:end]))
    return tokens


class _Tokenizer(HTMLParser):
    """Notes where each token begins; what it is made of is read from the source."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self.found: list[tuple[int, Token]] = []
        # The parser itself reads the references in attributes, and fails on such.
        self.feed(LONG_REFERENCE.sub(lambda reference: "." * len(reference.group()), text))
        # What never ends (a comment, a declaration, a tag) is all the rest, as the standard has it. The parser's own
        # `close` looks for more tokens in it, before Python 3.13.6 from each of its characters to the end
        # (CVE-2025-6069).
        rest = self._position()
        if rest < len(text):
            self._note("boundary" if _MARKUP.match(text, rest) else "text")

    def _position(self) -> int:
        line, offset = self.getpos()
        return self._line_starts[line - 1] + offset

    def _note(self, kind: Kind, name: str = "", attributes: list[tuple[str, str | None]] | None = None) -> None:
        first_wins = dict(reversed(attributes or []))
        self.found.append((self._position(), Token(kind, "", name, first_wins)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note("single" if tag in VOID else "open", tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # `<p/>` opens a paragraph in HTML; `<x/>` of a foreign vocabulary is one thing.
        self._note("open" if tag in BLOCKS - VOID else "single", tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self._note("close", tag)

    def handle_data(self, data: str) -> None:
        self._note("text")

    def handle_entityref(self, name: str) -> None:
        self._note("text")

    def handle_charref(self, name: str) -> None:
        self._note("text")

    def handle_comment(self, data: str) -> None:
        self._note("comment")

    def handle_decl(self, decl: str) -> None:
        self._note("boundary")

    def handle_pi(self, data: str) -> None:
        self._note("boundary")

    def unknown_decl(self, data: str) -> None:
        self._note("boundary")

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """See `HTMLParser`; what is no section is a comment, as in the standard."""
        known = _MARKED_SECTION.match(self.rawdata, i)
        return super().parse_marked_section(i, report) if known else self.parse_bogus_comment(i)


def _finished(token: Token) -> list[Token]:
    """The token without the markup that the tokenizer makes nothing of, which is no text."""
    unfinished = _MARKUP.search(token.raw) if token.kind == "text" else None
    if unfinished is None:
        return [token]
    start = unfinished.start()
    return [Token("text", token.raw[:start]), Token("boundary", token.raw[start:])]
