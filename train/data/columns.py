"""Which fields of a line are its two sides? Told by the names that a header or a record gives them, or by their order.

A table that names its columns, but not the two that are asked for, is refused: whatever else was taken would be trained
on. Knows no file formats, and nothing of what makes a good pair.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pipelines.errors import StartupError
from pipelines.text.languages import FLORES_CODE, find_language, find_languages_named
from pipelines.text.validity import SURROGATE
from train.data.findings import Finding

_SIDES = ({"source", "src"}, {"target", "tgt"})
_MAX_NAME_CHARS = 40


class Line(NamedTuple):
    """One line of parallel text.

    Attributes:
        file: Where it stands.
        number: Of its line, from 1; of its row, in Parquet. A CSV record of several lines has its last one's.
        source: As it was read; empty if there is none.
        target: Likewise.
        problem: Why it could not be read as a pair.
    """

    file: str
    number: int
    source: str
    target: str
    problem: Finding | None = None


class Columns:
    """Finds the two sides in the lines of one file; remembers what its header said.

    Args:
        file: Its name.
        source_lang: FLORES-200 code; None if only `source` names that side.
        target_lang: Likewise.
    """

    def __init__(self, file: str, source_lang: str | None, target_lang: str | None) -> None:
        self._file = file
        self._languages = (source_lang, target_lang)
        self._names: tuple[str, ...] | None = None
        self._places: tuple[int, int] | None = None
        self._num_fields = 2

    def read(self, number: int, fields: Sequence[str]) -> Iterator[Line]:
        """Yield the pair of a line of a table; its header yields nothing.

        Raises:
            StartupError: The first line is a header that does not name the sides.
        """
        if self._places is None:
            self._places = self.find(fields)
            if self._places is not None:
                self._num_fields = len(fields)
                return
            if _is_header(fields):
                raise self._refusal(fields, "; if its first line is a pair, put a header above it")
            self._places = (0, 1)
        if self.fits(fields):
            yield _line(self._file, number, fields[self._places[0]], fields[self._places[1]])
        else:
            yield self.unreadable(number, "\t".join(fields))

    def fits(self, fields: Sequence[str]) -> bool:
        """Whether a line of a table has as many fields as its header; two without one."""
        return len(fields) == self._num_fields

    def pick(self, number: int, record: Any) -> Line:
        """Return the pair of a record with named fields."""
        if isinstance(record, dict) and isinstance(record.get("translation"), dict):
            record = record["translation"]
        if isinstance(record, dict):
            names = tuple(record)
            if names != self._names:  # those of the record before are usually the same
                self._names, self._places = names, self.find(names)
            sides = [record[names[place]] for place in self._places or ()]
            if sides and all(isinstance(side, str | None) for side in sides):
                return _line(self._file, number, *(side or "" for side in sides))
        return self.unreadable(number, json.dumps(record, ensure_ascii=False, default=str))

    def find(self, names: Sequence[str]) -> tuple[int, int] | None:
        """Return the places of source and target among the names of fields, or None if both are not there.

        Raises:
            StartupError: Several names mean one side, and none of them is the language's very code.
        """
        claims: tuple[list[int], list[int]] = ([], [])
        for place in _naming(names):
            if side := self._side_of(names[place].strip()):
                claims[side - 1].append(place)
        if not all(claims):
            return None
        exact = (
            [place for place in places if names[place].strip() == language]
            for places, language in zip(claims, self._languages, strict=True)
        )
        source, target = (found or places for found, places in zip(exact, claims, strict=True))
        if len(source) > 1 or len(target) > 1:
            raise self._refusal(names)
        return source[0], target[0]

    def unreadable(self, number: int, text: str) -> Line:
        """Return the line of a text that is no pair."""
        return _line(self._file, number, text, "", Finding.COLUMNS)

    def _side_of(self, name: str) -> int | None:
        for side, names in enumerate(_SIDES, 1):
            if name.lower() in names:
                return side
        meant = [side for side, code in enumerate(self._languages, 1) if code in _codes_of(name)]
        return meant[0] if len(meant) == 1 else None

    def _refusal(self, names: Sequence[str], remedy: str = "") -> StartupError:
        source, target = (
            f"{language} (or {name})" if language else name
            for language, name in zip(self._languages, ("source", "target"), strict=True)
        )
        found = ", ".join(name.strip()[:_MAX_NAME_CHARS] for name in names)
        return StartupError(
            f"{self._file}: its columns are named {found}; one of them should be {source} and one {target}{remedy}",
            field="data_file",
        )


def language_names(names: Sequence[str]) -> list[str]:
    """Return the FLORES-200 codes of the languages that fields are named after, in their order."""
    found = (_codes_of(names[place].strip()) for place in _naming(names))
    return list(dict.fromkeys(codes[0] for codes in found if len(codes) == 1))


def _codes_of(name: str) -> tuple[str, ...]:
    """Return the FLORES-200 codes of the languages that a name may stand for: it is a code, or what they are called."""
    language = find_language(name)
    return tuple(each.code for each in ([language] if language else find_languages_named(name)))


def _line(file: str, number: int, source: str, target: str, problem: Finding | None = None) -> Line:
    """Return a line without characters that no text can have; that it had some is its problem."""
    try:
        f"{source}{target}".encode()
    except UnicodeEncodeError:
        source, target = (SURROGATE.sub("\N{REPLACEMENT CHARACTER}", side) for side in (source, target))
        problem = Finding.ENCODING
    return Line(file, number, source, target, problem)


def _naming(names: Sequence[str]) -> list[int]:
    """Return the places of the names that mean a language or a side."""
    found = [place for place, name in enumerate(names) if _is_naming(name.strip())]
    if len(found) > 2:  # a column of identifiers, not of Indonesian
        found = [place for place in found if names[place].strip().lower() != "id"]
    return found


def _is_naming(name: str) -> bool:
    return any(name.lower() in names for names in _SIDES) or bool(_codes_of(name))


def _is_header(fields: Sequence[str]) -> bool:
    """Whether a line names columns: all of it can be read so, or a FLORES-200 code is in it, which no text is."""
    names = [field.strip() for field in fields if field.strip()]
    written_as_code = any(FLORES_CODE.fullmatch(name) and find_language(name) for name in names)
    return written_as_code or (len(names) > 1 and all(map(_is_naming, names)))
