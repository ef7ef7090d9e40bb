"""JSON: string values are language, keys and everything else are kept; pointers (RFC 6901) say which values.

A document that is not valid JSON is translated where its values are certain, and comes back as it was everywhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from pipelines.text.markup.build import DocumentBuilder, Part
from pipelines.text.markup.json_values import Values, find_values
from pipelines.text.markup.malformed import malformed
from pipelines.text.markup.pointers import Pointers
from pipelines.text.validity import SURROGATE
from pipelines.types import Notice

_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[\"'\\/bfnrt]")


def read_json(
    text: str, *, include: Sequence[str] = (), exclude: Sequence[str] = (), field_prefix: str = ""
) -> tuple[list[Part], list[Notice]]:
    """Read a document; the parts' raw forms joined are the text, for every string.

    Args:
        text: The document.
        include: Pointers of values to translate, with all that is inside them; none means the whole document. `*`
            stands for any key or index.
        exclude: Pointers of values to leave alone, with all that is inside them; stronger than `include`.
        field_prefix: What precedes a field's name in an error.

    Raises:
        UnsupportedOptionError: A pointer is none.
    """
    wanted = Pointers(include, f"{field_prefix}json_include")
    unwanted = Pointers(exclude, f"{field_prefix}json_exclude")
    found = find_values(text)
    parts: list[Part] = []
    position = 0
    for value in found.strings:
        excluded = unwanted.cover(value.path)
        if (include and not wanted.cover(value.path)) or excluded:
            continue
        quote = text[value.start - 1]
        parts += [text[position : value.start], *_read_value(text[value.start : value.end], quote, text.isascii())]
        position = value.end
    notices = [*_malformed(text, found), *_unmatched(wanted, "json_include"), *_unmatched(unwanted, "json_exclude")]
    return [*parts, text[position:]], notices


def _read_value(raw: str, quote: str, ascii_only: bool) -> list[Part]:
    def escape(text: str, bare: frozenset[str]) -> str:
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        return escaped if quote == '"' else escaped.replace('\\"', '"').replace("'", "\\'")

    if "\\" in _ESCAPE.sub("", raw) or SURROGATE.search(_ESCAPE.sub(_unescaped, raw)):
        return [raw]  # an escape that JSON does not allow, or half a character: no text
    builder = DocumentBuilder(raw, escape)
    position = 0
    for found in _ESCAPE.finditer(raw):
        builder.add_text(raw[position : found.start()], collapse_space=False)
        builder.add_text(_unescaped(found), found.group())
        position = found.end()
    builder.add_text(raw[position:], collapse_space=False)
    return builder.build()


def _unescaped(escape: re.Match[str]) -> str:
    return "'" if escape.group() == r"\'" else str(json.loads(f'"{escape.group()}"'))


def _malformed(text: str, found: Values) -> Iterator[Notice]:
    if found.departure is not None:
        position, what = found.departure
        yield malformed(text, position, f"the text is not strict JSON: {what}", "it was understood, and is kept")
    if found.fault is not None:
        position, wanted = found.fault
        yield malformed(text, position, f"the text is not JSON: expected {wanted}", "what follows is kept as it is")


def _unmatched(pointers: Pointers, field: str) -> Iterator[Notice]:
    for pointer in pointers.unmatched():
        yield Notice("unmatched_pointer", f"{field}: {pointer!r} leads to no string of the document")
