"""HTML as people write it: read with positions, never repaired.

What is language, what stays inline and which attributes are translated follows the HTML standard, section `translate`
(https://html.spec.whatwg.org/#the-translate-attribute).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from pipelines.errors import UnknownLanguageError
from pipelines.text.languages import resolve_language
from pipelines.text.markup.build import DocumentBuilder, Part, has_language, raw_of
from pipelines.text.markup.html.attributes import tag_parts
from pipelines.text.markup.html.characters import add_characters, escape
from pipelines.text.markup.html.elements import (
    BLOCKS,
    EMBEDDED,
    OBJECTS,
    PREFORMATTED,
    READ_IN_SVG,
    ROOTS,
    UNREAD,
)
from pipelines.text.markup.html.tokens import Token, tokenize

_LANGUAGE_TAG = re.compile(r"[a-zA-Z]{2,3}(?:-|$)")
_MAX_DEPTH = 16  # of documents in documents and of language in what is none; what is deeper is kept


def read_html(text: str, source_lang: str | None = None, *, depth: int = 0) -> list[Part]:
    """Read a document or a fragment; the parts' raw forms joined are the text, for every string.

    Args:
        text: The document.
        source_lang: FLORES-200 code of its language, where it is known; parts that the document declares to be in
            another one are passages of that language.
        depth: Of how many others it is a part.
    """
    return _Reader(text, source_lang, depth).read()


@dataclass(frozen=True, slots=True)
class _Element:
    """An element that is open.

    Attributes:
        name: In lower case.
        translate: Whether its attributes and text are to be translated, as far as they are language.
        reads: Whether its text is language.
        language: FLORES-200 code, or None where it is the document's.
        in_svg: Whether it is, or is inside, a picture.
        is_preformatted: Whether white space in it means what it is.
        is_inline: Whether its tags stay with their words.
        embeds: Whether the whole of it stands in a sentence as a word does.
    """

    name: str = ""
    translate: bool = True
    reads: bool = True
    language: str | None = None
    in_svg: bool = False
    is_preformatted: bool = False
    is_inline: bool = False
    embeds: bool = False

    @property
    def has_language(self) -> bool:
        return self.translate and self.reads


class _Reader:
    def __init__(self, text: str, source_lang: str | None, depth: int) -> None:
        self._text = text
        self._source_lang = source_lang
        self._depth = depth
        # The innermost of what is embedded is built first; the document itself is the outermost.
        self._builders = [DocumentBuilder(text, escape)]
        self._stack: list[_Element] = []
        self._num_open: Counter[str] = Counter()

    def read(self) -> list[Part]:
        for token in tokenize(self._text):
            self._add(token)
        while len(self._builders) > 1:
            self._end_embedded()
        return self._builder.build()

    @property
    def _builder(self) -> DocumentBuilder:
        return self._builders[-1]

    @property
    def _element(self) -> _Element:
        return self._stack[-1] if self._stack else _Element()

    def _add(self, token: Token) -> None:
        if token.kind == "open":
            self._open(token)
        elif token.kind == "close":
            self._close(token)
        elif token.kind == "single":
            self._single(token)
        elif token.kind == "boundary" or not self._element.has_language:
            self._builder.add_boundary(token.raw)
        elif token.kind == "comment":
            self._builder.add_tag(token.raw)
        else:
            add_characters(self._builder, token.raw, collapse_space=not self._element.is_preformatted)

    def _open(self, token: Token) -> None:
        element = self._opened(token)
        parts = self._tag_parts(token, element)
        self._stack.append(element)
        self._num_open[element.name] += 1
        if element.embeds:
            self._builders.append(self._builder.inner())
        elif element.is_inline:
            self._builder.add_tag(token.raw, "open", token.name, parts)
            return
        self._builder.add_boundary(*(parts or (token.raw,)))
        self._builder.language = element.language

    def _close(self, token: Token) -> None:
        if not self._num_open[token.name]:
            stray_tag = self._element.has_language and token.name not in BLOCKS
            self._add_closing(token, _Element(is_inline=stray_tag))
            return
        # What is still open inside it ends with it.
        while (closed := self._pop()).name != token.name:
            if closed.embeds:
                self._end_embedded()
        self._add_closing(token, closed)
        if closed.embeds:
            self._end_embedded()

    def _pop(self) -> _Element:
        element = self._stack.pop()
        self._num_open[element.name] -= 1
        return element

    def _add_closing(self, token: Token, closed: _Element) -> None:
        if closed.is_inline and not closed.embeds:
            self._builder.add_tag(token.raw, "close", token.name)
        else:
            self._builder.add_boundary(token.raw)
            self._builder.language = self._element.language

    def _end_embedded(self) -> None:
        parts = tuple(self._builders.pop().build())
        self._builder.add_object(raw_of(parts), parts if has_language(parts) else ())

    def _single(self, token: Token) -> None:
        element = self._opened(token)
        parts = self._tag_parts(token, element)
        if token.name in BLOCKS or not self._element.has_language:
            self._builder.add_boundary(*(parts or (token.raw,)))
        elif token.name in OBJECTS:
            self._builder.add_object(token.raw, parts)
        else:
            self._builder.add_tag(token.raw, parts=parts)

    def _opened(self, token: Token) -> _Element:
        outer = self._element
        wanted = token.attributes.get("translate", "missing")
        translate = _translate_state(token, outer)
        language = self._language_of(token, outer)
        is_inline = outer.has_language and token.name not in BLOCKS
        unread = token.name in UNREAD or _is_foreign(token, language, outer, is_inline)
        too_deep = self._depth + len(self._builders) > _MAX_DEPTH
        in_svg = outer.in_svg or token.name == "svg"
        asked_for = wanted in ("yes", "", None) or (in_svg and token.name in READ_IN_SVG)
        reads = not unread and not too_deep and (outer.reads or asked_for)
        embeds = is_inline and (token.name in EMBEDDED or not (translate and reads))
        preformatted = outer.is_preformatted or token.name in PREFORMATTED
        return _Element(token.name, translate, reads, language, in_svg, preformatted, is_inline, embeds)

    def _language_of(self, token: Token, outer: _Element) -> str | None:
        """The language of an element, or None where it is the document's.

        What the root declares is often the template's and not the text's: the caller or the text itself decides.
        """
        declared = _resolve(token.attributes.get("lang"))
        if declared is None or token.name in ROOTS:
            return outer.language
        return None if declared == self._source_lang else declared

    def _tag_parts(self, token: Token, element: _Element) -> tuple[Part, ...]:
        """The tag in parts, where it has an attribute that is language; else nothing."""
        foreign = _is_foreign(token, element.language, self._element, element.is_inline)
        if foreign or not element.translate:
            return ()
        declared = _resolve(token.attributes.get("lang")) if element.reads else None
        return tag_parts(token, language=element.language, declared=declared, read_document=self._read_inner)

    def _read_inner(self, text: str) -> list[Part]:
        """A document in an attribute (`srcdoc`)."""
        depth = self._depth + len(self._builders) + 1
        return [text] if depth > _MAX_DEPTH else read_html(text, self._source_lang, depth=depth)


def _translate_state(token: Token, outer: _Element) -> bool:
    wanted = token.attributes.get("translate", "missing")
    if wanted in ("yes", "", None):
        return True
    if wanted == "no" or "notranslate" in (token.attributes.get("class") or "").split():
        return False
    return outer.translate


def _is_foreign(token: Token, language: str | None, outer: _Element, is_inline: bool) -> bool:
    """Whether an element is kept for its language: one of which no model here knows, or another within a sentence."""
    return _is_unknown(token) or (is_inline and language not in (None, outer.language))


def _is_unknown(token: Token) -> bool:
    declared = token.attributes.get("lang") or ""
    well_formed = _LANGUAGE_TAG.match(declared) and not declared.lower().startswith(("und", "mul", "zxx"))
    return bool(well_formed) and token.name not in ROOTS and _resolve(declared) is None


def _resolve(declared: str | None) -> str | None:
    try:
        return resolve_language(declared).code if declared else None
    except UnknownLanguageError:
        return None
