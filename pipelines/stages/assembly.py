"""Puts translated sentences back into their document: separators, tags and everything that is no language to the byte.

Knows no model and no format: how a plain text is written in the document's format is the passage's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from pipelines.stages.protected import Order
from pipelines.stages.sentence import Done, Sentence
from pipelines.text.join import is_unspaced, space_pieces
from pipelines.text.languages import resolve_language
from pipelines.text.passage import Declared, Passage, Tag, as_it_is
from pipelines.text.segment import Piece, places


@dataclass(frozen=True, slots=True)
class PlannedPassage:
    """A passage, cut.

    Attributes:
        passage: What the document has.
        order: What holds for all its sentences.
        pieces: Of the passage's text; joined they are the text.
        sentences: One for each translatable piece, in order.
        terms: Translations that a glossary wants in it.
        tags: Parts of tags that have language in them, by the tag's place; of objects, by their character.
    """

    passage: Passage
    order: Order
    pieces: Sequence[Piece]
    sentences: Sequence[Sentence]
    terms: tuple[str, ...] = ()
    tags: Mapping[int | str, Sequence[PlannedPart]] = field(default_factory=dict)

    def work(self) -> Iterator[tuple[Sentence, Order]]:
        """What is to be translated: its own sentences, then those inside its tags."""
        for sentence in self.sentences:
            yield sentence, self.order
        for parts in self.tags.values():
            for part in parts:
                if isinstance(part, PlannedPassage):
                    yield from part.work()

    def assemble(self, done: Iterator[Done], target: str | None) -> str:
        """The passage in the document's form, with its sentences translated.

        Args:
            done: One for each of `work`, in order; no more are taken.
            target: What is written where the document names the language; None leaves it.
        """
        own = [next(done) for _ in self.sentences]
        passage = self._with_tags(done, target)
        if any(each.translation.text != sentence.text for each, sentence in zip(own, self.sentences, strict=True)):
            passage = passage.if_changed(is_unspaced=is_unspaced(self.order.target_lang))
        spaced = space_pieces(
            self.pieces,
            [each.translation.text for each in own],
            source_lang=self.order.source_lang,
            target_lang=self.order.target_lang,
        )
        sentences = iter(own)
        parts = [] if self.pieces else [passage.markup_before(0)]
        for (start, end, piece), (space, text) in zip(places(self.pieces), spaced, strict=True):
            parts.append(passage.markup_before(start) + passage.encode(space))
            if piece.translatable:
                parts.append(_write(passage, start, end, next(sentences)))
            elif text == piece.text:
                parts.append(passage.source(start, end))
            else:
                parts.append(passage.write(text) + "".join(tag.raw for tag in passage.tags_between(start, end)))
        parts.append(passage.markup_after())
        written = "".join(parts)
        return written if written == passage.raw else passage.finish(written)

    @property
    def is_whole(self) -> bool:
        """Whether its sentences are written together: tags move with their words, or its format looks at all of it."""
        return bool(self.passage.tags or self.passage.objects) or self.passage.finish is not as_it_is

    def fragments(self) -> Iterator[str | Place]:
        """The passage in order: what is kept as it is, and where sentences stand."""
        if self.is_whole:
            yield Place(self, 0, len(self.passage.text), sum(1 for _ in self.work()))
            return
        for start, end, piece in places(self.pieces):
            yield Place(self, start, end, 1) if piece.translatable else self.passage.source(start, end)

    def _with_tags(self, done: Iterator[Done], target: str | None) -> Passage:
        """The passage with the language inside its tags translated."""
        if not self.tags:
            return self.passage
        written = {key: assemble_parts(parts, done, target) for key, parts in self.tags.items()}
        tags = tuple(_rewritten(tag, written.get(place)) for place, tag in enumerate(self.passage.tags))
        objects = {char: _rewritten(tag, written.get(char)) for char, tag in self.passage.objects.items()}
        return replace(self.passage, tags=tags, objects=objects)


PlannedPart: TypeAlias = str | Declared | PlannedPassage


@dataclass(frozen=True, slots=True)
class Place:
    """Where sentences of a passage stand: characters `[start, end)` of its text."""

    planned: PlannedPassage
    start: int
    end: int
    num_sentences: int

    def write(self, done: Sequence[Done]) -> str:
        """The translated sentences in the document's form; the source's own bytes if nothing changed."""
        if self.planned.is_whole:
            return self.planned.assemble(iter(done), None)
        return _write(self.planned.passage, self.start, self.end, done[0])


def assemble_parts(parts: Sequence[PlannedPart], done: Iterator[Done], target: str | None) -> str:
    """Parts of a document with their sentences translated; see `PlannedPassage.assemble`."""
    written = []
    for part in parts:
        if isinstance(part, PlannedPassage):
            written.append(part.assemble(done, target))
        elif isinstance(part, Declared):
            written.append(part.raw if target is None else resolve_language(target).bcp47)
        else:
            written.append(part)
    return "".join(written)


def _rewritten(tag: Tag, raw: str | None) -> Tag:
    return tag if raw is None else replace(tag, raw=raw)


def _write(passage: Passage, start: int, end: int, done: Done) -> str:
    text = done.translation.text
    tags = passage.tags_between(start, end)
    unmoved = list(done.tags) == [(place, tag.offset - start) for place, tag in enumerate(tags)]
    if text == passage.text[start:end] and unmoved:
        return passage.source(start, end)
    parts, position = [], 0
    for place, offset in done.tags:
        parts += [passage.write(text[position:offset]), tags[place].raw]
        position = offset
    return "".join([*parts, passage.write(text[position:])])
