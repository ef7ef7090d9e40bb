"""Glossaries as files: TSV and CSV of two columns, or a JSON object of strings. Reads and writes them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from pipelines.errors import InvalidRequestError

TableFormat: TypeAlias = Literal["tsv", "csv", "json"]
_DELIMITERS = {"tsv": "\t", "csv": ","}
_COMMENT = "#"


def read_table(content: str, format: TableFormat, *, field: str = "content") -> dict[str, str]:
    """Read a table of terms.

    A line that is empty or begins with `#` is skipped; a term that begins with `#` is in quotes.

    Raises:
        InvalidRequestError: It is not in the format, or lists a term twice with two translations; the message names the
            line.
    """
    return _read_json(content, field) if format == "json" else _read_rows(content, format, field)


def write_table(entries: Mapping[str, str], format: TableFormat) -> str:
    """Write a table that `read_table` reads."""
    if format == "json":
        return json.dumps(dict(entries), ensure_ascii=False, indent=1)
    written = io.StringIO()
    plain, quoted = (
        csv.writer(written, delimiter=_DELIMITERS[format], lineterminator="\n", quoting=quoting)
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    )
    for term, target in entries.items():
        (quoted if term.startswith(_COMMENT) else plain).writerow((term, target))
    return written.getvalue()


def _read_rows(content: str, format: TableFormat, field: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    num_lines, row_begins = 0, True

    def without_comments() -> Iterator[str]:
        nonlocal num_lines, row_begins
        for line in io.StringIO(content.removeprefix("\ufeff"), newline=""):
            num_lines += 1
            # By the line as it stands: a term in quotes is none, nor is a line inside of quotes.
            if not (row_begins and line.startswith(_COMMENT)):
                row_begins = False
                yield line

    try:
        for row in csv.reader(without_comments(), delimiter=_DELIMITERS[format], strict=True):
            row_begins = True
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            place = f"{field}, line {num_lines}"
            if len(row) != 2:
                raise InvalidRequestError(
                    f"{place}: {len(row)} columns; a term and its translation are accepted", field=field
                )
            _enter(entries, row[0].strip(), row[1].strip(), place, field)
    except csv.Error as error:
        raise InvalidRequestError(f"{field}, line {num_lines}: no valid {format}: {error}", field=field) from None
    return entries


def _read_json(content: str, field: str) -> dict[str, str]:
    try:
        pairs = json.loads(content, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{field} is not valid JSON: {error}", field=field) from None
    entries: dict[str, str] = {}
    for pair in pairs if isinstance(pairs, list) else [None]:
        match pair:
            case (str(term), str(target)):
                _enter(entries, term, target, field, field)
            case _:
                raise InvalidRequestError(f"{field} should be one JSON object of strings", field=field)
    return entries


def _enter(entries: dict[str, str], term: str, target: str, place: str, field: str) -> None:
    if entries.setdefault(term, target) != target:
        raise InvalidRequestError(f"{place}: {term!r} is listed twice, with two translations", field=field)
