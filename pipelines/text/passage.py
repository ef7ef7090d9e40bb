"""A stretch of language inside a document: what the model may read of it, and how it goes back into its format.

A passage's text is plain; the form of each of its characters in the source keeps everything else (tags, entities,
escapes, line breaks that mean nothing) to the byte. Knows no format: those that read one build passages.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

TagKind = Literal["open", "close", "single"]


@dataclass(frozen=True, slots=True)
class Declared:
    """Where the document names the language of a part; it names the target's once that part is translated.

    Attributes:
        raw: As the source has it.
        language: FLORES-200 code; None where it is the whole document's.
    """

    raw: str
    language: str | None


@dataclass(frozen=True, slots=True)
class Tag:
    """Markup inside a passage that stays with its words.

    Attributes:
        offset: Before which character of the passage's (or sentence's) text it stands.
        raw: As the source has it.
        kind: Whether it opens or closes something, or stands alone.
        name: What must agree for an opening and a closing tag to be a pair.
        parts: The same as `raw`, in parts, where some of it is language itself (`alt`, `title`).
        raw_if_changed: What is written once the passage's text is another, where that matters to the markup: a link
            that named its address by its text.
        raw_if_unspaced: What is written once the text is in a script that puts no space between words, where that
            matters to the markup.
    """

    offset: int
    raw: str
    kind: TagKind = "single"
    name: str = ""
    parts: tuple[str | Declared | Passage, ...] = ()
    raw_if_changed: str | None = None
    raw_if_unspaced: str | None = None

    def if_changed(self, *, is_unspaced: bool) -> Tag:
        """The tag as a changed text needs it; `is_unspaced`: it puts no space between words."""
        raw = self.raw_if_unspaced if is_unspaced and self.raw_if_unspaced is not None else self.raw_if_changed
        return self if raw is None else replace(self, raw=raw)


def as_it_is(text: str) -> str:
    """The form of a text in a format without markup."""
    return text


@dataclass(frozen=True, slots=True)
class Passage:
    """Text to translate, and the form of each of its characters in the source.

    Attributes:
        text: Plain text.
        forms: Of each character; None where text and source are the same.
        tags: Between the characters, in order.
        objects: What stands for what is no text and yet has its place among the words (a picture, inline code):
            a character of the text, and the markup (its offset is that character's).
        language: What the document says of the language, as a FLORES-200 code, or None.
        encode: Turns plain text into the format's form.
        finish: Has the last word on the form of a passage that was changed (lines of a subtitle).
    """

    text: str
    forms: Sequence[str] | None = None
    tags: tuple[Tag, ...] = ()
    objects: Mapping[str, Tag] = field(default_factory=dict)
    language: str | None = None
    encode: Callable[[str], str] = as_it_is
    finish: Callable[[str], str] = as_it_is

    @property
    def raw(self) -> str:
        """What the source has, all tags included."""
        return self.markup_before(0) + self.source(0, len(self.text)) + self.markup_after()

    def source(self, start: int, end: int) -> str:
        """What the source has for characters `[start, end)`, the tags between them included."""
        if self.forms is None:
            return self.text[start:end]
        parts, position = [], start
        for tag in self.tags_between(start, end):
            parts += [*self._forms(position, tag.offset), tag.raw]
            position = tag.offset
        return "".join([*parts, *self._forms(position, end)])

    def write(self, text: str) -> str:
        """A changed text in the format's form."""
        if self.objects.keys().isdisjoint(text):
            return self.encode(text)
        parts, plain = [], ""
        for char in text:
            if char in self.objects:
                parts += [self.encode(plain), self.objects[char].raw]
                plain = ""
            else:
                plain += char
        return "".join([*parts, self.encode(plain)])

    def if_changed(self, *, is_unspaced: bool) -> Passage:
        """The passage with the markup that a changed text needs; see `Tag`."""
        return replace(self, tags=tuple(tag.if_changed(is_unspaced=is_unspaced) for tag in self.tags))

    def markup_before(self, offset: int) -> str:
        """The tags that stand before a character."""
        return "".join(tag.raw for tag in self._tags_at(offset))

    def markup_after(self) -> str:
        """The tags that stand behind the text; those of an empty text stand before it."""
        return self.markup_before(len(self.text)) if self.text else ""

    def tags_between(self, start: int, end: int) -> tuple[Tag, ...]:
        """The tags between the characters of a part; not those at its ends."""
        first = bisect_right(self.tags, start, key=_offset)
        return self.tags[first : max(first, bisect_left(self.tags, end, key=_offset))]

    def _tags_at(self, offset: int) -> tuple[Tag, ...]:
        return self.tags[bisect_left(self.tags, offset, key=_offset) : bisect_right(self.tags, offset, key=_offset)]

    def _forms(self, start: int, end: int) -> Sequence[str]:
        assert self.forms is not None
        if not self.objects:
            return self.forms[start:end]
        return [
            self.objects[char].raw if char in self.objects else form
            for char, form in zip(self.text[start:end], self.forms[start:end], strict=True)
        ]


def _offset(tag: Tag) -> int:
    return tag.offset
