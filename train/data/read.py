"""Reads parallel text, line by line, from TSV, CSV, JSON Lines or Parquet: a file, a folder, or object storage.

    medical.tsv                   two columns, or a header that names the sides (eng_Latn, en, source, target)
    medical.jsonl                 {"eng_Latn": "...", "hin_Deva": "..."}; also source and target, or translation
    corpus/                       every such file in it, in the order of their names
    s3://bucket/corpus, gs://...  likewise; text formats may be compressed (.gz, .bz2, .zst, ...)

Never holds more than a piece of a file in memory. Knows nothing of what makes a good pair.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet

from pipelines.errors import StartupError, UnknownLanguageError
from pipelines.text.languages import resolve_language
from train.data.findings import Finding

_FORMATS = (".tsv", ".csv", ".jsonl", ".ndjson", ".parquet")
_COMPRESSIONS = (".gz", ".bz2", ".zst", ".lz4", ".br")
_SIDES = ({"source", "src"}, {"target", "tgt"})
_ROWS_PER_READ = 4096
_MAX_FIELD_CHARS = 16 * 1024**2


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


def read_pairs(location: str, source_lang: str | None, target_lang: str | None) -> Iterator[Line]:
    """Yield all lines of a file or folder, blank ones left out.

    Args:
        location: A path, or a URI that pyarrow or fsspec can open.
        source_lang: FLORES-200 code; finds the column. None: its column is called `source` or has no name.
        target_lang: Likewise.

    Raises:
        StartupError: There is nothing to read, or in no known format.
    """
    filesystem, files = find_files(location)
    for file in files:
        yield from _reader_of(file)(filesystem, file, _Columns(source_lang, target_lang))


def named_languages(location: str) -> list[str]:
    """Return the FLORES-200 codes of the languages that the first file's header or fields name, in their order.

    Raises:
        StartupError: As `read_pairs`.
    """
    filesystem, files = find_files(location)
    kind = _format(files[0])
    if kind == ".parquet":
        with filesystem.open_input_file(files[0]) as stream:
            names = list(pa.parquet.ParquetFile(stream).schema_arrow.names)
    else:
        first = next((line for line in _text_lines(filesystem, files[0]) if line.strip()), "")
        names = _field_names(first, kind)
    found = {name: code for name in names if (code := _language_of(name.strip()))}
    if len(found) > 2:
        found.pop("id", None)  # a column of identifiers, not of Indonesian
    return list(found.values())


def find_files(location: str) -> tuple[pa.fs.FileSystem, list[str]]:
    """Return the data files at a place, sorted, and the filesystem they are on.

    Raises:
        StartupError: As `read_pairs`.
    """
    filesystem, path = open_filesystem(location)
    try:
        info = filesystem.get_file_info(path)
        if info.type == pa.fs.FileType.Directory:
            entries = filesystem.get_file_info(pa.fs.FileSelector(path, recursive=True))
            files = sorted(each.path for each in entries if each.is_file and _format(each.path))
        else:
            files = [path] if info.is_file else []
    except OSError as error:
        raise StartupError(f"--data-file {location!r} cannot be read: {error}", field="data_file") from error
    if not files or not all(map(_format, files)):
        what = "does not exist or holds no such file" if not files else "is of an unknown format"
        raise StartupError(
            f"--data-file {location!r} {what}; accepted: {', '.join(_FORMATS)}, one file or a folder of them, "
            f"text formats also with {', '.join(_COMPRESSIONS)}",
            field="data_file",
        )
    return filesystem, files


def open_filesystem(location: str) -> tuple[pa.fs.FileSystem, str]:
    """Return the filesystem of a path or URI, and the path on it.

    pyarrow's own S3, GCS and local filesystems are taken first; fsspec knows the other protocols.

    Raises:
        StartupError: Nothing that is installed knows the URI's protocol.
    """
    if "://" not in location:
        return pa.fs.LocalFileSystem(), str(Path(location).expanduser().absolute())
    try:
        return pa.fs.FileSystem.from_uri(location)
    except pa.ArrowInvalid:
        import fsspec

        try:
            filesystem, path = fsspec.core.url_to_fs(location)
        except (ImportError, ValueError) as error:
            raise StartupError(f"{location!r} cannot be opened: {error}", field="data_file") from None
        return pa.fs.PyFileSystem(pa.fs.FSSpecHandler(filesystem)), path


def _format(file: str) -> str:
    name = file.lower()
    for compression in _COMPRESSIONS:
        stem = name.removesuffix(compression)
        if stem != name and not stem.endswith(".parquet"):
            name = stem
    return next((each for each in _FORMATS if name.endswith(each)), "")


def _reader_of(file: str) -> Callable[[pa.fs.FileSystem, str, _Columns], Iterator[Line]]:
    readers = {".tsv": _read_tsv, ".csv": _read_csv, ".parquet": _read_parquet}
    return readers.get(_format(file), _read_jsonl)


def _read_tsv(filesystem: pa.fs.FileSystem, file: str, columns: _Columns) -> Iterator[Line]:
    for number, text in enumerate(_text_lines(filesystem, file), 1):
        if text.strip():
            yield from columns.read(file, number, text.rstrip("\r\n").split("\t"))


def _read_csv(filesystem: pa.fs.FileSystem, file: str, columns: _Columns) -> Iterator[Line]:
    csv.field_size_limit(_MAX_FIELD_CHARS)
    records = csv.reader(_text_lines(filesystem, file))
    while True:
        try:
            fields = next(records, None)
        except csv.Error:
            yield Line(file, records.line_num, "", "", Finding.COLUMNS)
            continue
        if fields is None:
            return
        if fields:
            yield from columns.read(file, records.line_num, fields)


def _read_jsonl(filesystem: pa.fs.FileSystem, file: str, columns: _Columns) -> Iterator[Line]:
    for number, text in enumerate(_text_lines(filesystem, file), 1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except ValueError:
            yield Line(file, number, text.strip(), "", Finding.COLUMNS)
            continue
        yield columns.pick(file, number, record)


def _read_parquet(filesystem: pa.fs.FileSystem, file: str, columns: _Columns) -> Iterator[Line]:
    number = 0
    with filesystem.open_input_file(file) as stream:
        table = pa.parquet.ParquetFile(stream)
        wanted = [name for name in table.schema_arrow.names if name == "translation" or columns.side_of(name)]
        for batch in table.iter_batches(_ROWS_PER_READ, columns=wanted or None):
            for record in batch.to_pylist():
                number += 1
                yield columns.pick(file, number, record)


def _text_lines(filesystem: pa.fs.FileSystem, file: str) -> Iterator[str]:
    """Yield lines ended by line feeds alone; bytes that are no UTF-8 become surrogates, to be found later."""
    with filesystem.open_input_stream(file) as stream:
        yield from io.TextIOWrapper(
            io.BufferedReader(stream), encoding="utf-8-sig", errors="surrogateescape", newline="\n"
        )


def _field_names(line: str, kind: str) -> list[str]:
    if kind == ".tsv":
        return line.split("\t")
    if kind == ".csv":
        return next(csv.reader([line]))
    try:
        record = json.loads(line)
    except ValueError:
        return []
    record = record.get("translation", record) if isinstance(record, dict) else {}
    return list(record) if isinstance(record, dict) else []


def _language_of(name: str) -> str | None:
    try:
        return resolve_language(name).code if name else None
    except UnknownLanguageError:
        return None


class _Columns:
    """Finds the two sides in the fields of a line; remembers the header of one file."""

    def __init__(self, source_lang: str | None, target_lang: str | None) -> None:
        self._languages = (source_lang, target_lang)
        self._places: tuple[int, int] | None = None
        self._num_fields = 2
        self._known: dict[str, int | None] = {}

    def read(self, file: str, number: int, fields: Sequence[str]) -> Iterator[Line]:
        """Yield the pair of a line of a table; its header yields nothing."""
        if self._places is None:
            sides = [self.side_of(name) for name in fields]
            if 1 in sides and 2 in sides:
                self._places, self._num_fields = (sides.index(1), sides.index(2)), len(fields)
                return
            self._places = (0, 1)
        if len(fields) != self._num_fields:
            yield _checked(Line(file, number, "\t".join(fields), "", Finding.COLUMNS))
        else:
            yield _checked(Line(file, number, fields[self._places[0]], fields[self._places[1]]))

    def pick(self, file: str, number: int, record: Any) -> Line:
        """Return the pair of a record with named fields."""
        if isinstance(record, dict) and isinstance(record.get("translation"), dict):
            record = record["translation"]
        sides: dict[int, Any] = {}
        for name, value in record.items() if isinstance(record, dict) else ():
            if side := self.side_of(name):
                sides.setdefault(side, value)
        if set(sides) == {1, 2} and all(isinstance(value, str | None) for value in sides.values()):
            return _checked(Line(file, number, sides[1] or "", sides[2] or ""))
        return _checked(Line(file, number, json.dumps(record, ensure_ascii=False, default=str), "", Finding.COLUMNS))

    def side_of(self, name: str) -> int | None:
        """Return 1 if a field is named as the source, 2 as the target, else None."""
        if name not in self._known:
            self._known[name] = self._find_side(name.strip())
        return self._known[name]

    def _find_side(self, name: str) -> int | None:
        for side, names in enumerate(_SIDES, 1):
            if name.lower() in names:
                return side
        code = _language_of(name)
        return self._languages.index(code) + 1 if code and code in self._languages else None


def _checked(line: Line) -> Line:
    try:
        f"{line.source}{line.target}".encode()
    except UnicodeEncodeError:
        mended = (side.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for side in line[2:4])
        return Line(line.file, line.number, *mended, Finding.ENCODING)
    return line
