"""Which attributes are language, and how they are written: the list of the HTML standard, and ARIA's.

See https://html.spec.whatwg.org/#the-translate-attribute, "translatable attributes".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pipelines.text.markup.build import DocumentBuilder, Part
from pipelines.text.markup.html.characters import add_characters, decode, escape_value
from pipelines.text.markup.html.elements import ROOTS
from pipelines.text.markup.html.styles import read_style
from pipelines.text.markup.html.tokens import Token
from pipelines.text.markup.nested import nest
from pipelines.text.passage import Declared

# By attribute, the elements on which it is language; none means all.
_TRANSLATED: dict[str, frozenset[str]] = {
    "abbr": frozenset({"th"}),
    "alt": frozenset({"area", "img", "input"}),
    "download": frozenset({"a", "area"}),
    "label": frozenset({"optgroup", "option", "track"}),
    "placeholder": frozenset({"input", "textarea"}),
    "srcdoc": frozenset({"iframe"}),
    "style": frozenset(),
    "title": frozenset(),
    "aria-label": frozenset(),
    "aria-description": frozenset(),
    "aria-placeholder": frozenset(),
    "aria-roledescription": frozenset(),
    "aria-valuetext": frozenset(),
}
_META_NAMES = frozenset(
    {"description", "keywords", "og:title", "og:description", "twitter:title", "twitter:description"}
)
_NAME = re.compile(r"<[^\s/>]*")
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(?:(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'=<>`]+))?""")
_FILE_EXTENSION = re.compile(r"(?:\.[A-Za-z0-9]{1,5})+\Z")


def tag_parts(
    token: Token, *, language: str | None, declared: str | None, read_document: Callable[[str], list[Part]]
) -> tuple[Part, ...]:
    """The tag in parts, where it has an attribute that is language; else nothing.

    Args:
        token: An opening or a single tag.
        language: FLORES-200 code of the element's language, or None where it is the document's.
        declared: FLORES-200 code that its `lang` names, where that is to name the target's.
        read_document: Reads the document in a `srcdoc`.
    """
    parts: list[Part] = []
    position = 0
    for start, end, name in _values(token.raw):
        value = token.raw[start:end]
        quote = token.raw[start - 1] if token.raw[start - 1] in "\"'" else ""
        if name == "lang" and declared is not None:
            read: list[Part] = [Declared(value, None if token.name in ROOTS else declared)]
        elif name != "lang" and _is_translated(token, name) and any(map(str.isalpha, value)):
            read = _read_value(name, value, quote, language, read_document)
        else:
            continue
        parts += [token.raw[position:start], *read]
        position = end
    return (*parts, token.raw[position:]) if any(not isinstance(part, str) for part in parts) else ()


def _values(raw: str) -> Iterator[tuple[int, int, str]]:
    """Where the attributes' values are, without their quotes."""
    name = _NAME.match(raw)
    for found in _ATTRIBUTE.finditer(raw, name.end() if name else 0):
        if found[3] is not None:
            quoted = found[3][0] in "\"'"
            yield found.start(3) + quoted, found.end(3) - quoted, found[1].lower()


def _is_translated(token: Token, name: str) -> bool:
    if name == "value":
        kind = (token.attributes.get("type") or "").lower()
        # What a button that has a name submits means something to its server.
        is_label = kind in {"button", "reset"} or (kind == "submit" and not token.attributes.get("name"))
        return token.name == "input" and is_label
    if name == "content":
        named = token.attributes.get("name") or token.attributes.get("property") or ""
        return token.name == "meta" and named.lower() in _META_NAMES
    elements = _TRANSLATED.get(name)
    return elements is not None and (not elements or token.name in elements)


def _read_value(
    name: str, value: str, quote: str, language: str | None, read_document: Callable[[str], list[Part]]
) -> list[Part]:
    if name in {"srcdoc", "style"}:
        text, forms = decode(value)
        parts = read_document(text) if name == "srcdoc" else read_style(text)
        return nest(parts, forms, lambda inner: escape_value(inner, quote))
    kept = _FILE_EXTENSION.search(value) if name == "download" else None
    end = kept.start() if kept else len(value)
    builder = DocumentBuilder(value, lambda text, bare: escape_value(text, quote, bare))
    builder.language = language
    add_characters(builder, value[:end])
    return [*builder.build(), value[end:]]
