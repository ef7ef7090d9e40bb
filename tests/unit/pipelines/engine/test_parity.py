"""The parity report: what it compares, what its figures mean, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pipelines.engine.parity import main
from pipelines.engine.shortlist import main as count

LINES = ("good morning", "how much is it", "the lazy dog jumps over it", "merci beaucoup 0123")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep rounded weights away from the home folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.set_num_threads(1)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Return a file of four sentences and a blank line."""
    file = tmp_path / "lines.txt"
    file.write_text("\n".join((*LINES[:2], "", *LINES[2:])) + "\n", encoding="utf-8")
    return file


def test_every_setting_has_its_row(checkpoint_path: Path, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Formats and vocabularies of each pair, as a table and as JSON; shares are shares, and chrF agrees with them."""
    shortlist = text.with_name("shortlist.json")
    count([f"--model={checkpoint_path}", f"--target=fra_Latn={text}", f"--output={shortlist}"])
    capsys.readouterr()
    main(
        [
            *(f"--model={checkpoint_path}", f"--text={text}", f"--shortlist-file={shortlist}", "--json"),
            *("--pair=eng_Latn-fra_Latn", "--pair=eng_Latn-hin_Deva", "--dtypes=int8,bfloat16", "--device=cpu"),
        ]
    )
    *table, last = capsys.readouterr().out.splitlines()
    rows = json.loads(last)
    assert len(table) == 2 + len(rows)
    assert [(row["dtype"], row["vocabulary"]) for row in rows] == 2 * [
        ("int8", "full"),
        ("bfloat16", "full"),
        ("float32", "script"),
        ("float32", "learned"),
    ]
    for row in rows:
        assert row["num_segments"] == len(LINES)
        assert row["num_failed"] == 0
        assert 0 <= row["equal"] <= 1
        assert 0 <= row["token_agreement"] <= 1
        assert (row["chrf"] == 100) == (row["equal"] == 1)
    without_a_list = next(row for row in rows if row["vocabulary"] == "learned" and row["pair"].endswith("hin_Deva"))
    assert without_a_list["equal"] == 1, "a language without a list has all tokens"
    other_script = next(row for row in rows if row["vocabulary"] == "script" and row["pair"].endswith("hin_Deva"))
    assert other_script["equal"] < 1, "random weights write Latin into Hindi, and the script forbids it"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"--pair": "eng_Latn-xx"}, "the model has no language 'xx'"),
        ({"--pair": "eng_Latn"}, "the model has no language ''"),
        ({"--text": "/no/such/file"}, "No such file"),
        ({"--dtypes": "int7"}, "accepted are auto"),
    ],
)
def test_what_cannot_be_compared_is_named(
    checkpoint_path: Path, text: Path, changed: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unknown languages, files and formats end with what is accepted."""
    options = {"--model": str(checkpoint_path), "--text": str(text), "--pair": "eng_Latn-fra_Latn", **changed}
    with pytest.raises(SystemExit):
        main([f"{name}={value}" for name, value in options.items()])
    assert message in capsys.readouterr().err
