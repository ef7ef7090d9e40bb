"""Glossaries as files: TSV and CSV of two columns, or a JSON object of strings. Reads and writes them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Literal, TypeAlias

from pipelines.errors import InvalidRequestError

TableFormat: TypeAlias = Literal["tsv", "csv", "json"]
_DELIMITERS = {"tsv": "\t", "csv": ","}


def read_table(content: str, format: TableFormat, *, field: str = "content") -> dict[str, str]:
    """Read a table of terms.

    A line that is empty or begins with `#` is skipped.

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
    csv.writer(written, delimiter=_DELIMITERS[format], lineterminator="\n").writerows(entries.items())
    return written.getvalue()


def _read_rows(content: str, format: TableFormat, field: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    rows = csv.reader(
        io.StringIO(content.removeprefix("\ufeff"), newline=""), delimiter=_DELIMITERS[format], strict=True
    )
    try:
        for row in rows:
            if not row or (len(row) == 1 and not row[0].strip()) or row[0].startswith("#"):
                continue
            if len(row) != 2:
                raise InvalidRequestError(
                    f"{field}, line {rows.line_num}: {len(row)} columns; a term and its translation are accepted",
                    field=field,
                )
            _enter(entries, row[0].strip(), row[1].strip(), f"{field}, line {rows.line_num}", field)
    except csv.Error as error:
        raise InvalidRequestError(f"{field}, line {rows.line_num}: no valid {format}: {error}", field=field) from None
    return entries


def _read_json(content: str, field: str) -> dict[str, str]:
    try:
        pairs = json.loads(content, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{field} is no valid JSON: {error}", field=field) from None
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
