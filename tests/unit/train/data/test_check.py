"""Every kind of bad line is found where it stands; what is held out never moves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from train.data.__main__ import main
from train.data.check import CheckedData, DataSource, Role, check_data
from train.data.findings import Finding
from train.data.split import is_held_out, text_hash
from train.errors import TrainingError

NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
HINDI = ["शून्य", "एक", "दो", "तीन", "चार", "पाँच", "छह", "सात", "आठ", "नौ"]


def good(count: int) -> list[str]:
    """Pairs that nothing is wrong with, no side of which is another's."""
    digits = [[int(digit) for digit in f"{number:03}"] for number in range(count)]
    return [
        f"The code is {' '.join(NUMBERS[digit] for digit in each)}.\tकोड {' '.join(HINDI[digit] for digit in each)} है।"
        for each in digits
    ]


def check(file: Path, **options: object) -> CheckedData:
    """Check a file with usual bounds."""
    source = DataSource(str(file), "eng_Latn", "hin_Deva", **{k: v for k, v in options.items() if k == "dev_location"})
    return check_data(source, dev_ratio=0.2, max_tokens=50, max_length_ratio=3.0)


def write(file: Path, lines: list[str]) -> Path:
    """Write lines and return the file."""
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("only one column", Finding.COLUMNS),
        ("three\tcolumns\there", Finding.COLUMNS),
        ("  \tकुछ नहीं।", Finding.EMPTY),
        ("Paracetamol 500\tParacetamol 500", Finding.COPY),
        ("This was never translated.\tThis was not translated.", Finding.SCRIPT),
        ("दवा खाने के बाद लें।\tदवा खाने के बाद लो।", Finding.SCRIPT),
        (f"{'very ' * 60}long.\t{'बहुत ' * 60}लंबा।", Finding.TOO_LONG),
        (f"Short.\t{'यह बहुत लंबा है। ' * 8}", Finding.LENGTH_RATIO),
        (good(1)[0].upper(), Finding.DUPLICATE),
    ],
)
def test_each_kind_of_bad_line_is_found_where_it_stands(tmp_path: Path, line: str, kind: Finding) -> None:
    """One bad line among good ones is the one that is reported, by number, with its text, and is left out."""
    lines = good(60)
    lines.insert(41, line)
    checked = check(write(tmp_path / "data.tsv", lines))
    assert list(checked.report.found) == [kind]
    found = checked.report.found[kind]
    assert (found.num_lines, found.lines) == (1, [(str(tmp_path / "data.tsv"), 42)])
    assert line.strip()[:5] in found.examples[0].text
    assert checked.roles[41] == Role.LEFT_OUT
    assert checked.report.num_train + checked.report.num_dev == 60


def test_a_sentence_of_the_dev_split_is_left_out_of_training(tmp_path: Path) -> None:
    """Also when it is the target alone that stands in both."""
    lines = good(60)
    held_out = check(write(tmp_path / "data.tsv", lines)).roles.tolist().index(Role.DEV)
    sources = (f"The number there is {number}." for number in NUMBERS)
    source = next(each for each in sources if not is_held_out(text_hash(each), 0.2))
    lines.append(f"{source}\t{lines[held_out].split(chr(9))[1]}")
    checked = check(write(tmp_path / "data.tsv", lines))
    assert checked.report.found[Finding.IN_DEV].lines[0][1] == 61


def test_other_pairs_to_be_judged_by_are_left_out_of_training(tmp_path: Path) -> None:
    """In whatever case and spacing, also if one side alone is the same."""
    lines = good(60)
    source, target = lines[7].split("\t")
    data = DataSource(str(write(tmp_path / "data.tsv", lines)), "eng_Latn", "hin_Deva")
    kept_out = [(f" {source.upper()}", "कुछ और।"), ("Something else.", lines[9].split("\t")[1])]
    checked = check_data(data, dev_ratio=1e-9, max_tokens=50, max_length_ratio=3.0, kept_out=kept_out)
    assert [number for _, number in checked.report.found[Finding.IN_DEV].lines] == [8, 10]
    assert (source, target) not in set(checked.pairs(Role.TRAIN))


def test_what_is_kept_for_evaluation_is_not_bad(tmp_path: Path) -> None:
    """Several sources for one target: those whose target is in the dev split are left out, and the data is clean."""
    lines = [f"{opening} {line}" for opening in ("So:", "Well:", "Now:") for line in good(60)]
    report = check(write(tmp_path / "data.tsv", lines)).report
    assert list(report.found) == [Finding.IN_DEV]
    assert (report.num_bad, report.bad_ratio) == (0, 0.0)
    assert report.num_train + report.num_dev + report.found[Finding.IN_DEV].num_lines == 180


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: ["One more.\tएक और।", *lines],
        lambda lines: [*lines, "One more.\tएक और।"],
        lambda lines: lines[1:],
        lambda lines: [lines[1], lines[0], *lines[2:]],
    ],
    ids=["inserted", "appended", "deleted", "swapped"],
)
def test_data_that_is_not_what_was_checked_is_not_used(
    tmp_path: Path, change: Callable[[list[str]], list[str]]
) -> None:
    """Roles are of the lines that were there: a single line more would let dev pairs into training."""
    file = write(tmp_path / "data.tsv", good(60))
    checked = check(file)
    assert len(list(checked.pairs(Role.TRAIN))) == checked.report.num_train
    write(file, change(good(60)))
    for role in (Role.TRAIN, Role.DEV):
        with pytest.raises(TrainingError, match=r"data\.tsv on .* is not what was checked"):
            list(checked.pairs(role))


def test_a_dev_file_replaces_the_split(tmp_path: Path) -> None:
    """All of the data is trained on but what stands in the dev file."""
    data, dev = write(tmp_path / "data.tsv", good(30)), write(tmp_path / "dev.tsv", good(32)[29:])
    checked = check(data, dev_location=str(dev))
    assert (checked.report.num_train, checked.report.num_dev) == (29, 3)
    assert checked.report.found[Finding.IN_DEV].lines == [(str(data), 30)]
    assert [source for source, _ in checked.pairs(Role.DEV)] == [line.split("\t")[0] for line in good(32)[29:]]


def test_the_dev_split_never_moves(tmp_path: Path) -> None:
    """Lines before, between and behind change nothing for those that were there."""
    before = check(write(tmp_path / "before.tsv", good(100)))
    after = check(write(tmp_path / "after.tsv", list(reversed(good(300)))))
    split = {role: set(before.pairs(role)) for role in (Role.TRAIN, Role.DEV)}
    assert 10 < len(split[Role.DEV]) < 35
    for role, pairs in split.items():
        assert pairs <= set(after.pairs(role))


def test_scripts_are_told_for_languages_of_several_scripts(tmp_path: Path) -> None:
    """Japanese in kana and kanji is Japanese; Hindi is not."""
    file = write(
        tmp_path / "data.tsv", ["Good morning to you.\tおはようございます世界。", "Good night to you.\tशुभ रात्रि।"]
    )
    source = DataSource(str(file), "eng_Latn", "jpn_Jpan")
    checked = check_data(source, dev_ratio=0.001, max_tokens=50, max_length_ratio=3.0)
    assert [number for _, number in checked.report.found[Finding.SCRIPT].lines] == [2]


def test_the_command_reports_as_text_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, line numbers and examples in both; the status says whether training would start."""
    file = write(tmp_path / "data.tsv", ["en\thi", *good(99), "alone"])
    assert main(["check", str(file)]) == 0
    assert "wrong_columns: 1" in (text := capsys.readouterr().out)
    assert "data.tsv:101: alone" in text
    assert main(["check", str(file), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["findings"]["wrong_columns"]["lines"] == [{"file": str(file), "line": 101}]
    assert (report["num_lines"], report["num_bad"]) == (100, 1)
    write(file, [*good(9), "alone"])
    assert main(["check", str(file)]) == 1
    write(file, ["en\thi"])
    assert main(["check", str(file)]) == 1
    assert main(["check", str(tmp_path / "none.tsv")]) == 2
    assert "none.tsv" in capsys.readouterr().err
