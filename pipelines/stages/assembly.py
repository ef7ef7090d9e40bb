"""Puts translated sentences back into their document: separators, tags and everything that is no language to the byte.

Knows no model and no format: how a plain text is written in the document's format is the passage's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.stages.protected import Order
from pipelines.stages.sentence import Done, Sentence
from pipelines.text.join import space_pieces
from pipelines.text.passage import Passage
from pipelines.text.segment import Piece


@dataclass(frozen=True, slots=True)
class SentencePlace:
    """Where a sentence stands in its passage: characters `[start, end)`."""

    passage: Passage
    start: int
    end: int

    def write(self, done: Done) -> str:
        """The translated sentence in the document's form; the source's own bytes if nothing changed."""
        text = done.translation.text
        tags = self.passage.tags_inside(self.start, self.end)
        unmoved = list(done.tags) == [(place, tag.offset) for place, tag in enumerate(tags)]
        if text == self.passage.text[self.start : self.end] and unmoved:
            return self.passage.source(self.start, self.end)
        parts, position = [], 0
        for place, offset in done.tags:
            parts += [self.passage.encode(text[position:offset]), tags[place].raw]
            position = offset
        return "".join([*parts, self.passage.encode(text[position:])])


@dataclass(frozen=True, slots=True)
class PlannedPassage:
    """A passage, cut.

    Attributes:
        passage: What the document has.
        order: What holds for all its sentences.
        pieces: Of the passage's text; joined they are the text.
        sentences: One for each translatable piece, in order.
        terms: Translations that a glossary wants in it.
    """

    passage: Passage
    order: Order
    pieces: Sequence[Piece]
    sentences: Sequence[Sentence]
    terms: tuple[str, ...] = ()

    def assemble(self, done: Sequence[Done]) -> str:
        """The passage in the document's form, with its sentences translated."""
        spaced = space_pieces(
            self.pieces,
            [each.translation.text for each in done],
            source_lang=self.order.source_lang,
            target_lang=self.order.target_lang,
        )
        sentences = iter(done)
        parts = []
        for (start, end, piece), (space, text) in zip(self._places(), spaced, strict=True):
            parts.append(self.passage.markup_before(start) + self.passage.encode(space))
            if piece.translatable:
                parts.append(SentencePlace(self.passage, start, end).write(next(sentences)))
            elif text == piece.text:
                parts.append(self.passage.source(start, end))
            else:
                tags = self.passage.tags_inside(start, end)
                parts.append(self.passage.encode(text) + "".join(tag.raw for tag in tags))
        parts.append(self.passage.markup_before(len(self.passage.text)))
        return "".join(parts)

    def fragments(self) -> Iterator[str | SentencePlace]:
        """The passage in order: what is kept as it is, and where its sentences stand."""
        for start, end, piece in self._places():
            yield self.passage.markup_before(start)
            yield SentencePlace(self.passage, start, end) if piece.translatable else self.passage.source(start, end)
        yield self.passage.markup_before(len(self.passage.text))

    def _places(self) -> Iterator[tuple[int, int, Piece]]:
        position = 0
        for piece in self.pieces:
            end = position + len(piece.text)
            yield position, end, piece
            position = end
