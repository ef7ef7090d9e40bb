"""A stretch of language inside a document: what the model may read of it, and how it goes back into its format.

A passage's text is plain; the map from each of its characters to the source keeps everything else (tags, entities,
escapes, line breaks that mean nothing) to the byte. Knows no format: those that read one build passages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

TagKind = Literal["open", "close", "single"]


@dataclass(frozen=True, slots=True)
class Tag:
    """Markup inside a passage that stays with its words.

    Attributes:
        offset: Before which character of the passage's (or sentence's) text it stands.
        raw: As the source has it.
        kind: Whether it opens or closes something, or stands alone.
        name: What must agree for an opening and a closing tag to be a pair.
    """

    offset: int
    raw: str
    kind: TagKind = "single"
    name: str = ""


def as_it_is(text: str) -> str:
    """The form of a text in a format without markup."""
    return text


@dataclass(frozen=True, slots=True)
class Passage:
    """Text to translate, and where each of its characters is in the source.

    Attributes:
        text: Plain text.
        raw: What the source has for it, tags included.
        starts: Where each character begins in `raw`; None where text and raw are the same.
        ends: Behind each character, likewise.
        tags: In order; what is between two characters in `raw` is made of them.
        language: What the document says of the language, or None.
        encode: Turns plain text into the format's form.
    """

    text: str
    raw: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None
    tags: tuple[Tag, ...] = ()
    language: str | None = None
    encode: Callable[[str], str] = field(default=as_it_is)

    def source(self, start: int, end: int) -> str:
        """What the source has for characters `[start, end)`, the tags between them included."""
        if start >= end:
            return ""
        if self.starts is None or self.ends is None:
            return self.raw[start:end]
        return self.raw[self.starts[start] : self.ends[end - 1]]

    def markup_before(self, offset: int) -> str:
        """The tags that stand before a character, or at the end of the text."""
        if self.starts is None or self.ends is None:
            return ""
        start = self.ends[offset - 1] if offset else 0
        end = self.starts[offset] if offset < len(self.text) else len(self.raw)
        return self.raw[start:end]

    def tags_inside(self, start: int, end: int) -> tuple[Tag, ...]:
        """The tags between the characters of a part, by their place in that part; not those at its ends."""
        return tuple(
            Tag(tag.offset - start, tag.raw, tag.kind, tag.name) for tag in self.tags if start < tag.offset < end
        )


class PassageBuilder:
    """Collects a passage piece by piece, in the order of the source."""

    def __init__(
        self, *, encode: Callable[[str], str], language: str | None = None, collapse_space: bool = True
    ) -> None:
        """Begin a passage.

        Args:
            encode: See `Passage`.
            language: See `Passage`.
            collapse_space: Whether a run of white space means one space, as in HTML.
        """
        self._encode = encode
        self._language = language
        self._collapse_space = collapse_space
        self._text: list[str] = []
        self._raw: list[str] = []
        self._num_raw_chars = 0
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._tags: list[Tag] = []

    @property
    def has_text(self) -> bool:
        """Whether there is anything but white space in it."""
        return any(not char.isspace() for char in self._text)

    def add_text(self, text: str, raw: str | None = None) -> None:
        """Add characters that the source writes as `raw`: as they are, or all of them by one form (an entity)."""
        if raw is not None:
            # The first character has the whole form, those behind it have nothing of their own.
            for place, char in enumerate(text):
                self._add_char(char, raw if place == 0 else "")
            return
        for char in text:
            follows_space = bool(self._text) and self._text[-1] == " " and self._ends[-1] == self._num_raw_chars
            if self._collapse_space and char.isspace() and char != "\u00a0":
                if follows_space:
                    self._raw.append(char)
                    self._num_raw_chars += 1
                    self._ends[-1] = self._num_raw_chars
                else:
                    self._add_char(" ", char)
            else:
                self._add_char(char, char)

    def add_tag(self, raw: str, kind: TagKind = "single", name: str = "") -> None:
        """Add markup that stays with its words."""
        self._tags.append(Tag(len(self._text), raw, kind, name))
        self._raw.append(raw)
        self._num_raw_chars += len(raw)

    def build(self) -> Passage:
        """The passage that was collected."""
        return Passage(
            "".join(self._text),
            "".join(self._raw),
            self._starts,
            self._ends,
            tuple(self._tags),
            self._language,
            self._encode,
        )

    def _add_char(self, char: str, raw: str) -> None:
        self._starts.append(self._num_raw_chars)
        self._text.append(char)
        self._raw.append(raw)
        self._num_raw_chars += len(raw)
        self._ends.append(self._num_raw_chars)
