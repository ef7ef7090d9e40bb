"""Parallel text comes out the same from every format, and bad lines keep their numbers."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipelines.errors import StartupError
from train.data.columns import Line
from train.data.findings import Finding
from train.data.read import named_languages, read_pairs

PAIRS = [("Good morning.", "सुप्रभात।"), ('A "quoted", side', "एक\u2028पक्ष"), ("Three", "तीन")]


def read(location: Path | str) -> list[Line]:
    """Read English to Hindi."""
    return list(read_pairs(str(location), "eng_Latn", "hin_Deva"))


def write(folder: Path, kind: str) -> Path:
    """Write the pairs in one format and return the file."""
    file = folder / f"data.{kind}"
    rows = [{"eng_Latn": source, "hin_Deva": target} for source, target in PAIRS]
    if kind == "parquet":
        pa.parquet.write_table(pa.Table.from_pylist(rows), file)
    elif kind == "jsonl":
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    elif kind == "csv":
        quoted = ("\n".join(f'"{source.replace(chr(34), chr(34) * 2)}",{target}' for source, target in PAIRS)) + "\n"
        file.write_text(quoted, encoding="utf-8")
    else:
        text = "".join(f"{source}\t{target}\n" for source, target in PAIRS)
        file.write_bytes(gzip.compress(text.encode()) if kind.endswith("gz") else text.encode())
    return file


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl", "parquet", "tsv.gz"])
def test_every_format_gives_the_same_pairs(tmp_path: Path, kind: str) -> None:
    """Quotes are text in TSV and marks in CSV; only a line feed ends a line."""
    lines = read(write(tmp_path, kind))
    assert [(line.source, line.target.rstrip("\n")) for line in lines] == PAIRS
    assert [line.number for line in lines] == [1, 2, 3]


def test_a_folder_is_read_in_the_order_of_names_and_a_uri_like_a_path(tmp_path: Path) -> None:
    """Files of several formats make one text; other files are passed over."""
    write(tmp_path, "tsv")
    write(tmp_path, "parquet")
    (tmp_path / "README.md").write_text("not data")
    assert [Path(line.file).name for line in read(tmp_path)] == ["data.parquet"] * 3 + ["data.tsv"] * 3
    assert read(f"file://{tmp_path}") == read(tmp_path)


def test_other_protocols_are_read_through_fsspec() -> None:
    """What pyarrow does not know itself, fsspec opens."""
    import fsspec

    with fsspec.open("memory://corpus/data.tsv", "w", encoding="utf-8") as stream:
        stream.write("One\tएक\n")
    assert [(line.source, line.target) for line in read("memory://corpus")] == [("One", "एक")]


def test_languages_are_told_from_the_header(tmp_path: Path) -> None:
    """In their order; text without a header names none."""
    file = tmp_path / "data.tsv"
    file.write_text("id\ten\thi\n1\tOne\tएक\n", encoding="utf-8")
    assert named_languages(str(file)) == ["eng_Latn", "hin_Deva"]
    assert named_languages(str(write(tmp_path, "jsonl"))) == ["eng_Latn", "hin_Deva"]
    file.write_text("Good morning\tसुप्रभात\n", encoding="utf-8")
    assert named_languages(str(file)) == []


def test_lines_that_are_no_pairs_are_yielded_with_the_reason(tmp_path: Path) -> None:
    """A missing column, bytes that are no UTF-8 and a record without the fields; their neighbours are untouched."""
    file = tmp_path / "data.tsv"
    file.write_bytes("One\tएक\n\nalone\nTwo\t".encode() + b"\xff\xfe\nThree\tx\ty\n")
    assert [(line.number, line.problem) for line in read(file)] == [
        (1, None),
        (3, Finding.COLUMNS),
        (4, Finding.ENCODING),
        (5, Finding.COLUMNS),
    ]
    records = tmp_path / "data.jsonl"
    records.write_text('{"en": "One"}\n[1]\n{"translation": {"en": "One", "hi": "एक"}}\nno json\n', encoding="utf-8")
    assert [line.problem for line in read(records)] == [Finding.COLUMNS, Finding.COLUMNS, None, Finding.COLUMNS]


def test_characters_that_no_text_has_are_found(tmp_path: Path) -> None:
    """Half of a character that JSON spells as two, and bytes in a line that is no JSON either."""
    file = tmp_path / "data.jsonl"
    file.write_bytes(b'{"source": "a \\ud83d b", "target": "c"}\n{"\xff\n{"source": "x", "target": "\\ud83d\\ude00"}\n')
    lines = read(file)
    assert [line.problem for line in lines] == [Finding.ENCODING, Finding.ENCODING, None]
    assert [line.source for line in lines[:2]] == ["a \N{REPLACEMENT CHARACTER} b", '{"\N{REPLACEMENT CHARACTER}']


def test_a_record_that_is_nested_too_deeply_is_one_bad_line(tmp_path: Path) -> None:
    """Its neighbours are untouched."""
    file = tmp_path / "data.jsonl"
    file.write_text("[" * 100_000 + '\n{"source": "x", "target": "y"}\n')
    assert [line.problem for line in read(file)] == [Finding.COLUMNS, None]


@pytest.mark.parametrize("name", ["DATA.TSV.GZ", "data.tsv.Gz"])
def test_the_case_of_a_name_does_not_matter(tmp_path: Path, name: str) -> None:
    """Formats and compressions are told from it all the same."""
    write(tmp_path, "tsv.gz").rename(tmp_path / name)
    assert [line.source for line in read(tmp_path / name)] == [source for source, _ in PAIRS]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut-short.tsv.gz", gzip.compress(random.Random(1).randbytes(20_000))[:5000]),
        ("mislabelled.tsv.gz", b"One\tTwo\n"),
        ("damaged.parquet", b"hello"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    """Wherever the damage shows: when it is opened, or behind its first lines."""
    (tmp_path / name).write_bytes(content)
    for look in (read, lambda file: named_languages(str(file))):
        with pytest.raises(StartupError, match=f"{name} cannot be read") as caught:
            look(tmp_path / name)
        assert caught.value.field == "data_file"


@pytest.mark.parametrize("location", ["missing.tsv", "data.xlsx", ".", "nope://host/data.tsv"])
def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    """A file that is not there, an unknown format, an empty folder, an unknown protocol."""
    monkeypatch.chdir(tmp_path)
    if location.endswith("xlsx"):
        Path(location).touch()
    with pytest.raises(StartupError) as caught:
        read(location)
    assert repr(location) in caught.value.message
