"""JSON: string values are language, keys and everything else are kept; pointers (RFC 6901) say which values.

Validated by Python's own `json`, then read again with positions by the same module's string scanner.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined] # the C scanner behind `json.loads`
from typing import NoReturn

from pipelines.errors import InvalidRequestError
from pipelines.text.markup.build import DocumentBuilder, Part

_TOKEN = re.compile(r'["{}\[\],]')
_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.")
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(
    text: str, *, include: Sequence[str] = (), exclude: Sequence[str] = (), field: str = "text"
) -> list[Part]:
    """Read a document; the parts' raw forms joined are the text.

    Args:
        text: Valid JSON.
        include: Pointers of values to translate, with all that is inside them; none means the whole document. `*`
            stands for any key or index.
        exclude: Pointers of values to leave alone, with all that is inside them; stronger than `include`.
        field: The request's field, for the error.

    Raises:
        InvalidRequestError: The text is no valid JSON; the message says where.
    """
    try:
        json.loads(text, parse_constant=_refuse_constant, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        raise InvalidRequestError(
            f"{field} is no valid JSON: {error.msg} at line {error.lineno}, column {error.colno}", field=field
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{field} is no valid JSON: {error}", field=field) from None
    wanted, unwanted = _Pointers(include), _Pointers(exclude)
    parts: list[Part] = []
    position = 0
    for value in _string_values(text):
        if (include and not wanted.cover(value.path)) or unwanted.cover(value.path):
            continue
        parts += [text[position : value.start], *_read_value(text[value.start : value.end], text.isascii())]
        position = value.end
    return [*parts, text[position:]]


@dataclass(frozen=True, slots=True)
class _Value:
    """A string value: its place without the quotes, and the keys and indexes that lead to it."""

    start: int
    end: int
    path: tuple[str, ...]


class _Pointers:
    def __init__(self, pointers: Sequence[str]) -> None:
        self._paths = [
            tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])
            for pointer in pointers
        ]

    def cover(self, path: tuple[str, ...]) -> bool:
        return any(
            len(each) <= len(path) and all(token in ("*", step) for token, step in zip(each, path, strict=False))
            for each in self._paths
        )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _string_values(text: str) -> list[_Value]:
    values: list[_Value] = []
    path: list[str | int] = []  # a key, or an index, for each container that is open
    expects_key: list[bool] = []
    position = 0
    while (found := _TOKEN.search(text, position)) is not None:
        token, position = found.group(), found.end()
        if token == '"':
            string, end = scanstring(text, position, True)
            if expects_key and expects_key[-1]:
                path[-1] = string
                expects_key[-1] = False
            else:
                values.append(_Value(position, end - 1, tuple(map(str, path))))
            position = end
        elif token in "{[":
            path.append("" if token == "{" else 0)
            expects_key.append(token == "{")
        elif token in "}]":
            path.pop()
            expects_key.pop()
        elif isinstance(path[-1], int):
            path[-1] += 1
        else:
            expects_key[-1] = True
    return values


def _read_value(raw: str, ascii_only: bool) -> list[Part]:
    def escape(text: str, bare: frozenset[str]) -> str:
        return json.dumps(text, ensure_ascii=ascii_only)[1:-1]

    if _SURROGATE.search(json.loads(f'"{raw}"')):
        return [raw]  # half a character: no text
    builder = DocumentBuilder(raw, escape)
    position = 0
    for found in _ESCAPE.finditer(raw):
        builder.add_text(raw[position : found.start()], collapse_space=False)
        builder.add_text(json.loads(f'"{found.group()}"'), found.group())
        position = found.end()
    builder.add_text(raw[position:], collapse_space=False)
    return builder.build()
