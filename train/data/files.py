"""Where is parallel text? The files of a place, on a disk or object storage, and the lines of one of them.

Knows formats by the names of files alone, and nothing of what is in a line.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.fs

from pipelines.errors import StartupError

_FORMATS = (".tsv", ".csv", ".jsonl", ".ndjson", ".parquet")
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4", ".br": "brotli"}


def find_files(location: str) -> tuple[pa.fs.FileSystem, list[str]]:
    """Return the data files at a place, sorted, and the filesystem they are on.

    Raises:
        StartupError: There is nothing to read, or in no known format.
    """
    filesystem, path = open_filesystem(location)
    try:
        info = filesystem.get_file_info(path)
        if info.type == pa.fs.FileType.Directory:
            entries = filesystem.get_file_info(pa.fs.FileSelector(path, recursive=True))
            files = sorted(each.path for each in entries if each.is_file and format_of(each.path))
        else:
            files = [path] if info.is_file else []
    except OSError as error:
        raise StartupError(f"--data-file {location!r} cannot be read: {error}", field="data_file") from error
    if not files or not all(map(format_of, files)):
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


def format_of(file: str) -> str:
    """Return the ending that names a file's format, or nothing if it is no data file."""
    name = file.lower()
    kind = next((each for each in _FORMATS if name.removesuffix(_compression_of(name)).endswith(each)), "")
    return "" if kind == ".parquet" and _compression_of(name) else kind


def text_lines(filesystem: pa.fs.FileSystem, file: str) -> Iterator[str]:
    """Yield lines ended by line feeds alone; bytes that are no UTF-8 become surrogates, to be found later."""
    # Not left to pyarrow, which knows endings in lower case alone.
    compression = _COMPRESSIONS.get(_compression_of(file.lower()))
    with filesystem.open_input_stream(file, compression=compression) as stream:
        yield from io.TextIOWrapper(
            io.BufferedReader(stream), encoding="utf-8-sig", errors="surrogateescape", newline="\n"
        )


@contextmanager
def reading(file: str) -> Iterator[None]:
    """Name the file in what goes wrong while it is read: it is cut short, say, or of another format than it is called.

    Raises:
        StartupError: Instead of what the block raised.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise StartupError(f"{file} cannot be read: {error}", field="data_file") from error


def _compression_of(name: str) -> str:
    return next((each for each in _COMPRESSIONS if name.endswith(each)), "")
