"""Reads parallel text, line by line, from TSV, CSV, JSON Lines or Parquet: a file, a folder, or object storage.

    medical.tsv                   two columns, or a header that names the sides (eng_Latn, en, source, target)
    medical.jsonl                 {"eng_Latn": "...", "hin_Deva": "..."}; also source and target, or translation
    corpus/                       every such file in it, in the order of their names
    s3://bucket/corpus, gs://...  likewise; text formats may be compressed (.gz, .bz2, .zst, ...)

Never holds more than a piece of a file in memory. Knows nothing of what makes a good pair.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet

from train.data.columns import Columns, Line, language_names
from train.data.csv_records import csv_records
from train.data.files import find_files, format_of, reading, text_lines

_ROWS_PER_READ = 4096


def read_pairs(location: str, source_lang: str | None, target_lang: str | None) -> Iterator[Line]:
    """Yield all lines of a file or folder, blank ones left out.

    Args:
        location: A path, or a URI that pyarrow or fsspec can open.
        source_lang: FLORES-200 code; finds the column. None: its column is called `source` or has no name.
        target_lang: Likewise.

    Raises:
        StartupError: There is nothing to read, or in no known format; a file is damaged; its columns have names, but
            not those of the two languages.
    """
    filesystem, files = find_files(location)
    for file in files:
        with reading(file):
            yield from _reader_of(file)(filesystem, file, Columns(file, source_lang, target_lang))


def named_languages(location: str) -> list[str]:
    """Return the FLORES-200 codes of the languages that the first file's header or fields name, in their order.

    Raises:
        StartupError: As `read_pairs`.
    """
    filesystem, files = find_files(location)
    kind = format_of(files[0])
    with reading(files[0]):
        if kind == ".parquet":
            with filesystem.open_input_file(files[0]) as stream:
                return language_names(pa.parquet.ParquetFile(stream).schema_arrow.names)
        first = next((line for line in text_lines(filesystem, files[0]) if line.strip()), "")
    return language_names(_field_names(first, kind))


def _reader_of(file: str) -> Callable[[pa.fs.FileSystem, str, Columns], Iterator[Line]]:
    readers = {".tsv": _read_tsv, ".csv": _read_csv, ".parquet": _read_parquet}
    return readers.get(format_of(file), _read_jsonl)


def _read_tsv(filesystem: pa.fs.FileSystem, file: str, columns: Columns) -> Iterator[Line]:
    for number, text in enumerate(text_lines(filesystem, file), 1):
        if text.strip():
            yield from columns.read(number, text.rstrip("\r\n").split("\t"))


def _read_csv(filesystem: pa.fs.FileSystem, file: str, columns: Columns) -> Iterator[Line]:
    for number, fields, text in csv_records(text_lines(filesystem, file), columns.fits):
        if fields is None:
            yield columns.unreadable(number, text.strip())
        elif fields:
            yield from columns.read(number, fields)


def _read_jsonl(filesystem: pa.fs.FileSystem, file: str, columns: Columns) -> Iterator[Line]:
    for number, text in enumerate(text_lines(filesystem, file), 1):
        if not text.strip():
            continue
        try:
            line = columns.pick(number, json.loads(text))
        except (ValueError, RecursionError):  # no JSON, or nested too deeply
            line = columns.unreadable(number, text.strip())
        yield line


def _read_parquet(filesystem: pa.fs.FileSystem, file: str, columns: Columns) -> Iterator[Line]:
    number = 0
    with filesystem.open_input_file(file) as stream:
        table = pa.parquet.ParquetFile(stream)
        names = table.schema_arrow.names
        places = columns.find(names)
        wanted = [names[place] for place in places] if places else [name for name in names if name == "translation"]
        for batch in table.iter_batches(_ROWS_PER_READ, columns=wanted or None):
            for record in batch.to_pylist():
                number += 1
                yield columns.pick(number, record)


def _field_names(line: str, kind: str) -> list[str]:
    if kind == ".tsv":
        return line.split("\t")
    if kind == ".csv":
        return next(csv.reader([line]))
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return []
    record = record.get("translation", record) if isinstance(record, dict) else {}
    return list(record) if isinstance(record, dict) else []
