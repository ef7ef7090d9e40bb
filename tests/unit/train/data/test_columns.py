"""The sides are those that a header names; a header that names others is refused and not trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipelines.errors import StartupError
from train.data.read import read_pairs


def write(folder: Path, kind: str, header: str, row: str) -> Path:
    """Write a header and a row, both with tabs between fields, in one format; return the file."""
    file = folder / f"data.{kind}"
    record = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    if kind == "parquet":
        pa.parquet.write_table(pa.Table.from_pylist([record]), file)
    elif kind == "jsonl":
        file.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        file.write_text("\n".join((header, row, "")).replace("\t", "," if kind == "csv" else "\t"), encoding="utf-8")
    return file


def sides(file: Path, source_lang: str = "eng_Latn", target_lang: str = "hin_Deva") -> list[tuple[str, str]]:
    """Read all pairs."""
    return [(line.source, line.target) for line in read_pairs(str(file), source_lang, target_lang)]


@pytest.mark.parametrize(
    "header",
    [
        "hin_Deva\tfra_Latn\teng_Latn",
        "hi\tfr\ten",
        "target\tnote\tsource",
        "Hindi\tFrench\tEnglish",
        "हिन्दी\tfrançais\tenglish",
    ],
)
def test_a_header_says_which_columns_are_meant(tmp_path: Path, header: str) -> None:
    """By FLORES-200 codes, by short ones, by names, or as source and target."""
    assert sides(write(tmp_path, "tsv", header, "एक\tun\tOne")) == [("One", "एक")]


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("Chinese\tEnglish", "zho_Hant"),
        ("Chinese (Simplified)\tEnglish", "zho_Hans"),
        ("Kurdish\tEnglish", "ckb_Arab"),
        ("Arabic\tEnglish", "arb_Arab"),
    ],
)
def test_a_name_of_several_languages_is_that_of_the_one_asked_for(tmp_path: Path, header: str, target: str) -> None:
    """`Chinese` is Chinese in whichever script is trained, and the header's order is kept."""
    assert sides(write(tmp_path, "tsv", header, "other\tOne"), target_lang=target) == [("One", "other")]


def test_a_name_of_both_sides_is_of_neither(tmp_path: Path) -> None:
    """From one script of Chinese into the other, `Chinese` says nothing."""
    file = write(tmp_path, "tsv", "Chinese\tChinese (Simplified)", "一\t二")
    with pytest.raises(StartupError, match="its columns are named Chinese, Chinese"):
        sides(file, "zho_Hant", "zho_Hans")


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("id\ten\tind", "17\tOne\tSatu"),
        ("id\tsource\ttarget", "17\tOne\tSatu"),
        ("ID\tind_Latn\teng_Latn", "17\tSatu\tOne"),
        ("ind\tind_Latn\ten", "another\tSatu\tOne"),
        ("source\ttarget\teng_Latn\tind_Latn", "raw\traw\tOne\tSatu"),
        ("en\tid", "One\tSatu"),
    ],
)
def test_identifiers_are_not_indonesian_and_a_flores_code_wins(
    tmp_path: Path, kind: str, header: str, row: str
) -> None:
    """`id` beside two other names is a column of numbers; among several names of a side the language's code counts."""
    assert sides(write(tmp_path, kind, header, row), target_lang="ind_Latn") == [("One", "Satu")]


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("eng_Latn\tspa_Latn", "fra_Latn"),
        ("fra_Latn\teng_Latn", "spa_Latn"),
        ("en\tes", "fra_Latn"),
        ("en\ten", "fra_Latn"),
        ("source\tes", "fra_Latn"),
        ("Freench\teng_Latn", "fra_Latn"),
        ("English\tSpanish", "fra_Latn"),
        ("eng_Latn\tspa_Latn\tscore", "fra_Latn"),
        ("id\teng_Latn\tspa_Latn", "ind_Latn"),
    ],
)
def test_a_header_that_names_other_languages_is_refused(tmp_path: Path, header: str, target: str) -> None:
    """Its columns are neither taken in their order nor read as a pair; what it says and what was asked is told."""
    file = write(tmp_path, "tsv", header, header.replace("a", "o"))
    with pytest.raises(StartupError) as caught:
        sides(file, target_lang=target)
    assert caught.value.field == "data_file"
    assert f"{file}: its columns are named {', '.join(header.split(chr(9)))}; one of them" in caught.value.message
    assert f"eng_Latn (or source) and one {target} (or target)" in caught.value.message


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl", "parquet"])
@pytest.mark.parametrize("header", ["no\tsource\ttarget", "en\tsource\tnob"])
def test_two_names_of_one_side_are_refused(tmp_path: Path, kind: str, header: str) -> None:
    """Unless one of them is the very code of the language, nobody knows which was meant."""
    with pytest.raises(StartupError, match="its columns are named"):
        sides(write(tmp_path, kind, header, "1\tOne\tEn"), target_lang="nob_Latn")


@pytest.mark.parametrize("first", ["So it is.\tEs ist so.", "So\tAlso", "Hi\t", "1\t2"])
def test_a_first_pair_is_no_header(tmp_path: Path, first: str) -> None:
    """Though one of its words may be a language's code."""
    file = tmp_path / "data.tsv"
    file.write_text(f"{first}\n", encoding="utf-8")
    assert sides(file, target_lang="deu_Latn") == [tuple(first.split("\t"))]
