"""The tables of hard cases and of languages: how well sentences and languages are found does not get worse."""

from __future__ import annotations

import pytest

from benchmarks.text_libraries import detection, read_table, segmentation


def test_sentences_of_all_scripts() -> None:
    """Every hard case is cut as a reader would; docs/quality.md compares other libraries."""
    assert segmentation()["ours"]["failed"] == []


def test_the_tables_are_wide() -> None:
    """At least forty languages in at least fifteen scripts, short and long."""
    languages = {row[0] for row in read_table("detection.tsv")}
    assert len(languages) >= 40
    assert len({row[0].split("_")[1] for row in read_table("segmentation.tsv")}) >= 15
    assert {row[1] for row in read_table("detection.tsv")} == {"short", "sentence", "paragraph"}


@pytest.mark.parametrize(("length", "share"), [("short", 0.93), ("sentence", 0.97), ("paragraph", 0.97)])
def test_languages_that_the_detector_knows(length: str, share: float) -> None:
    """Short and long texts of more than a hundred languages."""
    figures = detection()["ours"]
    assert figures["languages_found"] >= 100
    assert figures["known"][length] >= share
