"""HTML as people write it: read with positions, never repaired.

What is language, what stays inline and which attributes are translated follows the HTML standard, section `translate`
(https://html.spec.whatwg.org/#the-translate-attribute).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from pipelines.text.languages import find_language
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
        declared: FLORES-200 code that its own `lang` names, or None.
        language: FLORES-200 code, or None where it is the document's.
        is_foreign: Whether it is kept for its language: one of which no model here knows, or another in a sentence.
        in_svg: Whether it is, or is inside, a picture.
        is_preformatted: Whether white space in it means what it is.
        is_inline: Whether its tags stay with their words.
        embeds: Whether the whole of it stands in a sentence as a word does.
    """

    name: str = ""
    translate: bool = True
    reads: bool = True
    declared: str | None = None
    language: str | None = None
    is_foreign: bool = False
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
        declared = _resolve(token.attributes.get("lang"))
        language = self._language_of(token, declared, outer)
        is_inline = outer.has_language and token.name not in BLOCKS
        is_foreign = _is_unknown(token, declared) or (is_inline and language not in (None, outer.language))
        too_deep = self._depth + len(self._builders) > _MAX_DEPTH
        in_svg = outer.in_svg or token.name == "svg"
        asked_for = wanted in ("yes", "", None) or (in_svg and token.name in READ_IN_SVG)
        reads = token.name not in UNREAD and not is_foreign and not too_deep and (outer.reads or asked_for)
        return _Element(
            name=token.name,
            translate=translate,
            reads=reads,
            declared=declared,
            language=language,
            is_foreign=is_foreign,
            in_svg=in_svg,
            is_preformatted=outer.is_preformatted or token.name in PREFORMATTED,
            is_inline=is_inline,
            embeds=is_inline and (token.name in EMBEDDED or not (translate and reads)),
        )

    def _language_of(self, token: Token, declared: str | None, outer: _Element) -> str | None:
        """The language of an element, or None where it is the document's.

        What the root declares is often the template's and not the text's: the caller or the text itself decides.
        """
        if declared is None or token.name in ROOTS:
            return outer.language
        return None if declared == self._source_lang else declared

    def _tag_parts(self, token: Token, element: _Element) -> tuple[Part, ...]:
        """The tag in parts, where it has an attribute that is language; else nothing."""
        if element.is_foreign or not element.translate:
            return ()
        declared = element.declared if element.reads else None
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


def _is_unknown(token: Token, declared: str | None) -> bool:
    """Whether the tag names a language of which no model here knows."""
    tag = token.attributes.get("lang") or ""
    well_formed = _LANGUAGE_TAG.match(tag) and not tag.lower().startswith(("und", "mul", "zxx"))
    return bool(well_formed) and token.name not in ROOTS and declared is None


def _resolve(tag: str | None) -> str | None:
    language = find_language(tag or "")
    return None if language is None else language.code
