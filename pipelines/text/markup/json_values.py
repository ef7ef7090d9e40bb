"""Where a JSON document has its string values, however it was written. Knows positions and keys, not what they mean.

Reads JSON (RFC 8259), what JSON5 and JSON Lines allow beyond it (comments, trailing commas, single quotes, bare keys,
further documents), and anything else up to the place where it is no longer certain what is a value. Repairs nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

_TOKEN = re.compile(
    r"""(?P<space>[ \t\n\r]+)
    | (?P<unusual_space>[\s\ufeff]+)
    | (?P<comment>//[^\n\r]*+ | /\*(?:[^*]|\*(?!/))*+\*/)
    | (?P<mark>[{}\[\]:,])
    | (?P<string>"(?:[^"\\\n\r]|\\.)*+" | '(?:[^'\\\n\r]|\\.)*+')
    | (?P<word>[\w$.+\-]+)""",
    re.VERBOSE | re.DOTALL,
)
_STRICT_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"')
_STRICT_WORD = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+\-]?[0-9]+)?")
_MAX_DEPTH = 200  # keeps the cost of long paths down; far deeper than documents are
_WANTED = {"value": "a value", "key": "a key", "colon": "':'", "comma": "',' or an end", "end": "another document"}


@dataclass(frozen=True, slots=True)
class Value:
    """A string value: its place without the quotes, and the keys and indexes that lead to it."""

    start: int
    end: int
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Values:
    """What was found.

    Attributes:
        strings: In order.
        departure: Where the document first differs from JSON though it was understood, and how.
        fault: Where it was no longer understood, and what was expected there.
    """

    strings: list[Value]
    departure: tuple[int, str] | None
    fault: tuple[int, str] | None


def find_values(text: str) -> Values:
    """Find the string values of any text; neither departure nor fault means that it is valid JSON."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._strings: list[Value] = []
        self._departure: tuple[int, str] | None = None
        # A key, or an index, for each container that is open.
        self._path: list[str | int] = []
        self._expects: Literal["value", "key", "colon", "comma", "end"] = "value"
        self._just_opened = False
        # A string is a value for certain once something follows that may: `"he said "hi" to me"` is none.
        self._pending: Value | None = None

    def scan(self) -> Values:
        position = len(self._text) - len(self._text.removeprefix("\ufeff"))
        while position < len(self._text):
            token = _TOKEN.match(self._text, position)
            if token is None or not self._accept(token):
                return Values(self._strings, self._departure, (position, _WANTED[self._expects]))
            position = token.end()
        self._settle()
        fault = None if self._expects == "end" else (position, _WANTED[self._expects])
        return Values(self._strings, self._departure, fault)

    def _accept(self, token: re.Match[str]) -> bool:
        kind = token.lastgroup
        if kind == "space":
            return True
        if kind in {"unusual_space", "comment"}:
            self._depart(token, "a comment" if kind == "comment" else "white space that JSON does not allow")
            return True
        accepted = self._mark(token) if kind == "mark" else self._scalar(token)
        self._just_opened = token.group() in {"{", "["}
        return accepted

    def _mark(self, token: re.Match[str]) -> bool:
        mark = token.group()
        if mark in "{[":
            accepted = self._open(token)
        elif mark in "}]":
            accepted = self._close(token)
        else:
            accepted = self._comma() if mark == "," else self._colon()
        if accepted:
            self._settle()
        return accepted

    def _open(self, token: re.Match[str]) -> bool:
        if self._expects not in {"value", "end"} or len(self._path) == _MAX_DEPTH:
            return False
        if self._expects == "end":
            self._depart(token, "another document")
        self._path.append("" if token.group() == "{" else 0)
        self._expects = "key" if token.group() == "{" else "value"
        return True

    def _close(self, token: re.Match[str]) -> bool:
        closes_object = token.group() == "}"
        if not self._path or isinstance(self._path[-1], str) != closes_object:
            return False
        if self._expects == ("key" if closes_object else "value"):
            if not self._just_opened:
                self._depart(token, "a comma before an end")
        elif self._expects != "comma":
            return False
        self._path.pop()
        self._end_value()
        return True

    def _comma(self) -> bool:
        if self._expects != "comma":
            return False
        key = self._path[-1]
        if isinstance(key, int):
            self._path[-1] = key + 1
        self._expects = "key" if isinstance(key, str) else "value"
        return True

    def _colon(self) -> bool:
        if self._expects != "colon":
            return False
        self._expects = "value"
        return True

    def _scalar(self, token: re.Match[str]) -> bool:
        if self._expects not in {"key", "value"}:
            return False
        is_string = token.lastgroup == "string"
        if not is_string and (self._expects == "key" or not _STRICT_WORD.fullmatch(token.group())):
            self._depart(token, "a bare word")
        if is_string and not _STRICT_STRING.fullmatch(token.group()):
            self._depart(token, "a string that JSON does not allow")
        if self._expects == "key":
            self._path[-1] = _key(token.group())
            self._expects = "colon"
            return True
        if is_string:
            self._pending = Value(token.start() + 1, token.end() - 1, tuple(map(str, self._path)))
        self._end_value()
        return True

    def _end_value(self) -> None:
        self._expects = "comma" if self._path else "end"

    def _settle(self) -> None:
        if self._pending is not None:
            self._strings.append(self._pending)
            self._pending = None

    def _depart(self, token: re.Match[str], how: str) -> None:
        if self._departure is None:
            self._departure = token.start(), how


def _key(raw: str) -> str:
    if raw[0] not in "\"'":
        return raw
    try:
        return str(json.loads(f'"{raw[1:-1]}"', strict=False))
    except ValueError:
        return raw[1:-1]
