"""CSV as it is written by hand: a quote that is opened and never closed spoils its own line and not those below it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence

_MAX_LINES_OF_RECORD = 100
_MAX_FIELD_CHARS = 16 * 1024**2


def csv_records(
    text: Iterator[str], fits: Callable[[Sequence[str]], bool]
) -> Iterator[tuple[int, list[str] | None, str]]:
    """Yield each record: the number of its last line, its fields, and its first line.

    Fields are None for a line that begins a record which does not end well: after so many lines, or with other fields
    than fit. The lines behind it are read again.

    Args:
        text: Lines, with their ends.
        fits: Whether a record of several lines has the right fields.
    """
    csv.field_size_limit(_MAX_FIELD_CHARS)
    lines, number = _Lines(text), 0
    while True:
        fields = _read(lines, strict=True)
        if not lines.of_record:
            return
        if len(lines.of_record) > 1 and (fields is None or not fits(fields)):
            lines.keep_first()
            fields = None
        elif fields is None:
            fields = _read(iter(lines.of_record), strict=False)  # `"so" it goes` is read as `so it goes`
        number += len(lines.of_record)
        yield number, fields, lines.of_record[0]
        lines.of_record = []


def _read(lines: Iterator[str], *, strict: bool) -> list[str] | None:
    try:
        return next(csv.reader(lines, strict=strict), None)
    except csv.Error:
        return None


class _Lines:
    """Gives lines to one record, up to a bound, and gives them again to others if they were not its own."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.of_record: list[str] = []
        self._lines = lines
        self._again: list[str] = []  # the next one is the last

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.of_record) == _MAX_LINES_OF_RECORD:
            raise StopIteration
        line = self._again.pop() if self._again else next(self._lines)
        self.of_record.append(line)
        return line

    def keep_first(self) -> None:
        """Leave the record its first line alone."""
        self._again += reversed(self.of_record[1:])
        del self.of_record[1:]
