"""HTML as people write it: tokenised with positions by Python's own `html.parser`, never repaired.

What is language, what stays inline and which attributes are translated follows the HTML standard: `translate`
(https://html.spec.whatwg.org/#the-translate-attribute) names the attributes, `lang` among them.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser

from pipelines.errors import UnknownLanguageError
from pipelines.text.languages import resolve_language
from pipelines.text.markup.build import DocumentBuilder, Part
from pipelines.text.passage import Declared

# What ends a sentence before and behind it; every other element, unknown ones included, is inline.
_BLOCKS = frozenset(
    [
        "address",
        "area",
        "article",
        "aside",
        "base",
        "blockquote",
        "body",
        "br",
        "caption",
        "center",
        "col",
        "colgroup",
        "datalist",
        "dd",
        "details",
        "dialog",
        "dir",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "frame",
        "frameset",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "head",
        "header",
        "hgroup",
        "hr",
        "html",
        "iframe",
        "legend",
        "li",
        "link",
        "main",
        "map",
        "menu",
        "meta",
        "nav",
        "noembed",
        "noframes",
        "noscript",
        "ol",
        "optgroup",
        "option",
        "p",
        "param",
        "pre",
        "script",
        "search",
        "section",
        "select",
        "source",
        "style",
        "summary",
        "table",
        "tbody",
        "td",
        "template",
        "textarea",
        "tfoot",
        "th",
        "thead",
        "title",
        "tr",
        "track",
        "ul",
    ]
)
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
# Of their content nothing is language that a reader sees.
_KEPT = frozenset(
    [
        "script",
        "style",
        "code",
        "kbd",
        "samp",
        "var",
        "math",
        "svg",
        "iframe",
        "noembed",
        "noframes",
        "object",
        "canvas",
        "audio",
        "video",
        "template",
    ]
)
# Void elements that stand in a sentence as a word does.
_OBJECTS = frozenset({"img", "input", "embed"})
_BUTTON_TYPES = frozenset({"button", "reset", "submit"})
_META_NAMES = frozenset(
    {"description", "keywords", "og:title", "og:description", "twitter:title", "twitter:description"}
)
_ATTRIBUTES = frozenset(
    [
        "alt",
        "title",
        "placeholder",
        "label",
        "abbr",
        "aria-label",
        "aria-description",
        "aria-placeholder",
        "aria-roledescription",
        "aria-valuetext",
    ]
)
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(?:(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'=<>`]+))?""")
_SPECIAL = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LANGUAGE_TAG = re.compile(r"[a-zA-Z]{2,3}(?:-|$)")
# What the tokenizer gives as text because it never ends: a comment, a declaration, a tag.
_UNFINISHED = re.compile(r"<[!?/a-zA-Z]")
_CHARACTER_REFERENCE = re.compile(r"&(?:#[xX][0-9a-fA-F]+|#[0-9]+|[a-zA-Z][a-zA-Z0-9]*);?")


def read_html(text: str, source_lang: str | None = None) -> list[Part]:
    """Read a document or a fragment; the parts' raw forms joined are the text, for every string.

    Args:
        text: The document.
        source_lang: FLORES-200 code of its language, where it is known; parts that the document declares to be in
            another one are passages of that language.
    """
    return _Reader(text, source_lang).read()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    start: int
    name: str = ""
    attributes: tuple[tuple[str, str | None], ...] = ()


class _Tokenizer(HTMLParser):
    """Notes where each token begins; what it is made of is read from the source."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self.tokens: list[_Token] = []
        self.feed(text)
        self.close()

    def _note(self, kind: str, name: str = "", attributes: tuple[tuple[str, str | None], ...] = ()) -> None:
        line, offset = self.getpos()
        self.tokens.append(_Token(kind, self._line_starts[line - 1] + offset, name, attributes))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note("open", tag, tuple(attrs))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # `<p/>` opens a paragraph in HTML; `<x/>` of a foreign vocabulary is one thing.
        self._note("open" if tag in _BLOCKS - _VOID else "single", tag, tuple(attrs))

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


@dataclass(slots=True)
class _Open:
    """An element that is open: whether its content is translated, and in which language it is."""

    name: str
    kept: bool
    language: str | None


class _Reader:
    def __init__(self, text: str, source_lang: str | None) -> None:
        self._source = text
        self._source_lang = source_lang
        self._builder = DocumentBuilder(text, _escape)
        self._stack: list[_Open] = []
        # The markup of an element that is kept in its sentence, while it is open, and how deep it lies.
        self._object: list[str] = []
        self._object_depth = 0

    def read(self) -> list[Part]:
        tokens = _Tokenizer(self._source).tokens
        starts = [token.start for token in tokens]
        if any(later < earlier for earlier, later in itertools.pairwise(starts)):
            return [self._source]  # a tokenizer out of step: nothing is better than something wrong
        if not tokens or tokens[0].start > 0:
            tokens.insert(0, _Token("boundary", 0))
        _LANGUAGE_TAG = re.compile(r"[a-zA-Z]{2,3}(?:-|$)")
        # What the tokenizer gives in several pieces is one text.
        tokens = [
            token
            for before, token in zip([None, *tokens], tokens, strict=False)
            if not (token.kind == "text" and before is not None and before.kind == "text")
        ]
        ends = [*(token.start for token in tokens[1:]), len(self._source)]
        for token, end in zip(tokens, ends, strict=True):
            self._add(token, self._source[token.start : end])
        if self._object:
            self._builder.add_object("".join(self._object))
        return self._builder.build()

    def _add(self, token: _Token, raw: str) -> None:
        if token.kind == "open" and token.name not in _VOID:
            self._open(token, raw)
        elif token.kind == "close":
            self._close(token, raw)
        elif self._is_kept():
            self._keep(raw)
        elif token.kind in {"open", "single"}:
            self._single(token, raw)
        elif token.kind == "text":
            unfinished = _UNFINISHED.search(raw)
            end = unfinished.start() if unfinished else len(raw)
            self._text(raw[:end])
            if unfinished:
                self._builder.add_boundary(raw[end:])
        elif token.kind == "comment":
            self._builder.add_tag(raw)
        else:
            self._builder.add_boundary(raw)

    def _is_kept(self) -> bool:
        return bool(self._stack) and self._stack[-1].kept

    def _keep(self, raw: str) -> None:
        if self._object:
            self._object.append(raw)
        else:
            self._builder.add_boundary(raw)

    def _open(self, token: _Token, raw: str) -> None:
        outer = self._stack[-1] if self._stack else _Open("", kept=False, language=None)
        inline = token.name not in _BLOCKS
        language = self._language_of(token, outer)
        foreign = inline and language not in (None, outer.language)
        kept = bool(self._object) or foreign or _is_unknown(token) or _is_kept(token, outer.kept)
        self._stack.append(_Open(token.name, kept, language))
        if self._object or (kept and inline and not outer.kept):
            self._object.append(raw)
            self._object_depth = self._object_depth or len(self._stack)
        elif inline and not outer.kept:
            self._builder.add_tag(raw, "open", token.name, _tag_parts(token, raw, kept))
        else:
            self._builder.add_boundary(*(_tag_parts(token, raw, kept) or (raw,)))
            self._builder.language = language

    def _language_of(self, token: _Token, outer: _Open) -> str | None:
        """The language of an element, or None where it is the document's.

        What the root declares is often the template's and not the text's: the caller or the text itself decides.
        """
        declared = _resolve(dict(token.attributes).get("lang"))
        if declared is None or token.name in {"html", "body"}:
            return outer.language
        return None if declared == self._source_lang else declared

    def _close(self, token: _Token, raw: str) -> None:
        depths = [place for place, each in enumerate(self._stack) if each.name == token.name]
        closed = self._stack[depths[-1]] if depths else None
        was_kept = self._is_kept()
        if depths:
            del self._stack[depths[-1] :]
        if self._object:
            self._object.append(raw)
            if len(self._stack) < self._object_depth:
                self._builder.add_object("".join(self._object))
                self._object, self._object_depth = [], 0
        elif token.name not in _BLOCKS and not was_kept and not (closed is not None and closed.kept):
            self._builder.add_tag(raw, "close", token.name)
        else:
            self._builder.add_boundary(raw)
            self._builder.language = self._stack[-1].language if self._stack else None

    def _single(self, token: _Token, raw: str) -> None:
        parts = _tag_parts(token, raw, kept=_is_kept(token, outer_kept=False))
        if token.name in _OBJECTS:
            self._builder.add_object(raw, parts)
        elif token.name in _BLOCKS:
            self._builder.add_boundary(*(parts or (raw,)))
        else:
            self._builder.add_tag(raw, parts=parts)

    def _text(self, raw: str) -> None:
        collapse = not any(each.name in {"pre", "textarea"} for each in self._stack)
        position = 0
        for found in _CHARACTER_REFERENCE.finditer(raw):
            self._builder.add_text(raw[position : found.start()], collapse_space=collapse)
            plain = html.unescape(found.group())
            if plain == found.group():
                self._builder.add_text(plain, collapse_space=collapse)  # no reference: a bare ampersand
            else:
                self._builder.add_text(plain, found.group())
            position = found.end()
        self._builder.add_text(raw[position:], collapse_space=collapse)


def _is_kept(token: _Token, outer_kept: bool) -> bool:
    attributes = dict(token.attributes)
    wanted = attributes.get("translate", "missing")
    if wanted in ("yes", "", None):
        return token.name in _KEPT
    if wanted == "no" or "notranslate" in (attributes.get("class") or "").split():
        return True
    return outer_kept or token.name in _KEPT


def _is_unknown(token: _Token) -> bool:
    """Whether an element is in a language that no model here reads, such as Latin."""
    declared = dict(token.attributes).get("lang") or ""
    well_formed = _LANGUAGE_TAG.match(declared) and not declared.lower().startswith(("und", "mul", "zxx"))
    return bool(well_formed) and token.name not in {"html", "body"} and _resolve(declared) is None


def _resolve(declared: str | None) -> str | None:
    try:
        return resolve_language(declared).code if declared else None
    except UnknownLanguageError:
        return None


def _tag_parts(token: _Token, raw: str, kept: bool) -> tuple[Part, ...]:
    """The tag in parts, where it has an attribute that is language; else nothing."""
    parts: list[Part] = []
    position = 0
    for start, end, name in _values(raw):
        value = raw[start:end]
        if name == "lang" and not kept:
            declared = _resolve(html.unescape(value))
            if declared is None:
                continue
            root = token.name in {"html", "body"}
            parts += [raw[position:start], Declared(value, None if root else declared)]
        elif not kept and _is_translated(token, name) and any(map(str.isalpha, value)):
            quoted = start > 0 and raw[start - 1] in "\"'"
            parts += [raw[position:start], *_attribute_value(value, raw[start - 1] if quoted else "")]
        else:
            continue
        position = end
    return (*parts, raw[position:]) if parts else ()


def _values(raw: str) -> Iterator[tuple[int, int, str]]:
    """Where the attributes' values are, without their quotes."""
    name = re.match(r"<[^\s/>]*", raw)
    for found in _ATTRIBUTE.finditer(raw, name.end() if name else 0):
        if found[3] is not None:
            quoted = found[3][0] in "\"'"
            yield found.start(3) + quoted, found.end(3) - quoted, found[1].lower()


def _is_translated(token: _Token, name: str) -> bool:
    attributes = dict(token.attributes)
    if name == "value":
        return token.name == "input" and (attributes.get("type") or "").lower() in _BUTTON_TYPES
    if name == "content":
        named = attributes.get("name") or attributes.get("property") or ""
        return token.name == "meta" and named.lower() in _META_NAMES
    if name == "alt":
        return token.name in {"img", "area", "input"}
    if name == "abbr":
        return token.name == "th"
    if name == "label":
        return token.name in {"optgroup", "option", "track"}
    if name == "placeholder":
        return token.name in {"input", "textarea"}
    return name in _ATTRIBUTES


def _attribute_value(value: str, quote: str) -> list[Part]:
    def escape(text: str, bare: frozenset[str]) -> str:
        escaped = _escape(text, bare).replace('"', "&quot;").replace("'", "&#39;" if quote != '"' else "'")
        # Without quotes a space would end the value.
        return escaped if quote else re.sub(r"\s", "&#32;", escaped).replace("=", "&#61;").replace("`", "&#96;")

    builder = DocumentBuilder(value, escape)
    position = 0
    for found in _CHARACTER_REFERENCE.finditer(value):
        builder.add_text(value[position : found.start()])
        plain = html.unescape(found.group())
        builder.add_text(plain, None if plain == found.group() else found.group())
        position = found.end()
    builder.add_text(value[position:])
    return builder.build()


def _escape(text: str, bare: frozenset[str]) -> str:
    """Escape what would be markup, unless the source itself has it bare and lives with it."""
    return "".join(_SPECIAL[char] if char in _SPECIAL and char not in bare else char for char in text)
