"""A document inside another: what was read of the inner one, in the form that the outer one gives each character."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pipelines.text.markup.build import Part, raw_of
from pipelines.text.passage import Declared, Passage, Tag, as_it_is


def nest(parts: Sequence[Part], forms: Sequence[str], escape: Callable[[str], str]) -> list[Part]:
    """Parts of the outer document; their raw forms joined are the forms.

    Args:
        parts: Of the inner document.
        forms: Of each character of the inner document, in the outer one.
        escape: Turns text of the inner document into the outer one's form.
    """
    nesting = _Nesting(iter(forms), escape)
    return [nesting.part(part) for part in parts]


class _Nesting:
    """Goes through the inner document from its begin to its end."""

    def __init__(self, forms: Iterator[str], escape: Callable[[str], str]) -> None:
        self._forms = forms
        self._escape = escape

    def part(self, part: Part) -> Part:
        if isinstance(part, str):
            return self._take(part)
        if isinstance(part, Declared):
            return Declared(self._take(part.raw), part.language)
        return self._passage(part)

    def _take(self, raw: str) -> str:
        return "".join(next(self._forms) for _ in raw)

    def _passage(self, passage: Passage) -> Passage:
        forms: list[str] = []
        tags: list[Tag] = []
        objects: dict[str, Tag] = {}
        places = iter([*passage.tags, None])
        tag = next(places)
        for offset, char in enumerate(passage.text):
            while tag is not None and tag.offset == offset:
                tags.append(self._tag(tag))
                tag = next(places)
            if char in passage.objects:
                objects[char] = self._tag(passage.objects[char])
                forms.append(objects[char].raw)
            else:
                forms.append(self._take(passage.forms[offset] if passage.forms is not None else char))
        while tag is not None:
            tags.append(self._tag(tag))
            tag = next(places)
        return replace(
            passage,
            forms=forms,
            tags=tuple(tags),
            objects=objects,
            encode=lambda text: self._escape(passage.encode(text)),
            finish=as_it_is,
        )

    def _tag(self, tag: Tag) -> Tag:
        if not tag.parts:
            return replace(tag, raw=self._take(tag.raw))
        parts = tuple(self.part(part) for part in tag.parts)
        return replace(tag, raw=raw_of(parts), parts=parts)
