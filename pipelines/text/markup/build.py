"""Collects a document part by part, in the order of the source: what is kept, and passages with their inline markup.

Knows no format: a format says what is a boundary, what is inline, and how text is written in it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from pipelines.text.passage import Declared, Passage, Tag, TagKind, as_it_is

Part: TypeAlias = str | Declared | Passage
"""What a document is made of: kept text, a name of a language, a passage. Their raw forms joined are the document."""
Escape: TypeAlias = Callable[[str, frozenset[str]], str]
"""Turns plain text into the format's form; is told which characters the source has only written bare."""

# Characters that stand for objects: of the private use area, so that no text means anything by them.
_FIRST_OBJECT = 0xE100
_LAST_OBJECT = 0xF8FF
_OBJECT = re.compile("[\ue100-\uf8ff]")


class DocumentBuilder:
    """Collects parts; text and inline markup between two boundaries are one passage.

    Args:
        source: The whole document; objects are named by characters that it does not have.
        escape: See `Escape`.
        loose: Characters of the format that mean something in few places, which `escape` or the passage's `finish`
            knows: that the source escapes one of them says nothing of the others.

    Attributes:
        language: Of the passages that end from now on, as a FLORES-200 code, or None.
    """

    def __init__(self, source: str, escape: Escape, *, loose: str = "") -> None:
        self._source_chars = frozenset(_OBJECT.findall(source))
        self._escape = escape
        self._loose = loose
        self._next_object = _FIRST_OBJECT
        self.language: str | None = None
        self._parts: list[Part] = []
        self._begin()

    @property
    def in_passage(self) -> bool:
        """Whether the passage has begun."""
        return bool(self._text or self._tags)

    def inner(self) -> DocumentBuilder:
        """A builder for what stands inside an object of this document."""
        builder = copy.copy(self)
        builder._parts = []
        builder._begin()
        return builder

    def add_text(self, text: str, raw: str | None = None, *, collapse_space: bool = True) -> None:
        """Add characters that the source writes as `raw`: as they are (None), or all of them by one form (an entity).

        Args:
            text: Plain text.
            raw: Its one form.
            collapse_space: Whether a run of white space means one space, as in HTML.
        """
        if raw is not None:
            # The first character has the whole form, those behind it have nothing of their own.
            self._text += list(text)
            self._forms += [raw, *[""] * (len(text) - 1)]
            if len(text) == 1 and text != " ":
                self._written[text] = raw
            return
        for char in text:
            if not (collapse_space and char.isspace() and char not in "\u00a0\u202f"):
                self._text.append(char)
                self._forms.append(char)
                self._bare.add(char)
            elif self._text and self._text[-1] == " " and not self._ends_with_tag():
                self._forms[-1] += char
            else:
                self._text.append(" ")
                self._forms.append(char)

    def extend_space(self, raw: str) -> None:
        """Add source to the form of the space that was added last: what a line break brings along."""
        self._forms[-1] += raw

    def add_tag(
        self,
        raw: str,
        kind: TagKind = "single",
        name: str = "",
        parts: tuple[Part, ...] = (),
        raw_if_changed: str | None = None,
        raw_if_unspaced: str | None = None,
    ) -> None:
        """Add markup that stays with its words; see `Tag`."""
        if raw:
            self._tags.append(Tag(len(self._text), raw, kind, name, parts, raw_if_changed, raw_if_unspaced))

    def add_object(self, raw: str, parts: tuple[Part, ...] = ()) -> None:
        """Add markup that has its place among the words as a word has."""
        while chr(self._next_object) in self._source_chars:
            self._next_object += 1
        if self._next_object > _LAST_OBJECT:
            self.add_tag(raw, parts=parts)  # thousands of them: placed by their share of the way
            return
        char = chr(self._next_object)
        self._next_object += 1
        self._objects[char] = Tag(len(self._text), raw, "single", "", parts)
        self._text.append(char)
        self._forms.append(raw)

    def add_boundary(self, *parts: Part) -> None:
        """End the passage, and add what stands between it and the next."""
        self.end_passage()
        self._parts += [part for part in parts if part != ""]

    def end_passage(self, finish: Callable[[str], str] = as_it_is) -> None:
        """End the passage; one without letters is kept as it is."""
        passage = self._build(finish)
        if any(char.isalpha() for char in passage.text) or any(has_language(tag.parts) for tag in _all_tags(passage)):
            self._parts.append(passage)
        elif passage.text or passage.tags:
            self._parts.append(passage.raw)
        self._begin()

    def build(self) -> list[Part]:
        """End the last passage and return all parts."""
        self.end_passage()
        return self._parts

    def _begin(self) -> None:
        self._text: list[str] = []
        self._forms: list[str] = []
        self._tags: list[Tag] = []
        self._objects: dict[str, Tag] = {}
        self._bare: set[str] = set()
        self._written: dict[str, str] = {}

    def _ends_with_tag(self) -> bool:
        return bool(self._tags) and self._tags[-1].offset == len(self._text)

    def _build(self, finish: Callable[[str], str]) -> Passage:
        # What the source writes by a form of its own (`&copy;`) is written so again, even if it has it bare as well:
        # one that was escaped must be. A letter needs no form.
        written = {
            char: raw
            for char, raw in self._written.items()
            if char not in self._bare or not (char.isalnum() or char in self._loose)
        }
        bare, escape = frozenset(self._bare - written.keys()), self._escape
        with_forms = re.compile(f"([{re.escape(''.join(written))}])") if written else None

        def encode(text: str) -> str:
            if with_forms is None:
                return escape(text, bare)
            return "".join(
                written[run] if run in written else escape(run, bare) for run in with_forms.split(text) if run
            )

        return Passage(
            "".join(self._text), self._forms, tuple(self._tags), self._objects, self.language, encode, finish
        )


def _all_tags(passage: Passage) -> list[Tag]:
    return [*passage.tags, *passage.objects.values()]


def has_language(parts: Sequence[Part]) -> bool:
    """Whether something in parts is translated, or names the language."""
    return any(not isinstance(part, str) for part in parts)


def raw_of(parts: Sequence[Part]) -> str:
    """The source of parts."""
    return "".join(part if isinstance(part, str) else part.raw for part in parts)
