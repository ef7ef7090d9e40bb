"""The demo model's folder: when it is built, and when it is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import StartupError
from train.demo.build import build_key, ensure_demo_model
from train.demo.corpus import DATA_DIR
from train.demo.settings import DemoSettings


def test_the_key_follows_data_and_settings(tmp_path: Path) -> None:
    """One changed word or setting asks for a new build; the same content elsewhere does not."""
    copy = shutil.copytree(DATA_DIR, tmp_path / "data")
    key = build_key(DemoSettings())
    assert build_key(DemoSettings(), copy) == key
    assert build_key(replace(DemoSettings(), seed=1)) != key
    with (copy / "words" / "city.tsv").open("a", encoding="utf-8") as table:
        table.write("Oslo\tOslo\tOslo\tओस्लो\n")
    assert build_key(DemoSettings(), copy) != key


def test_an_up_to_date_model_is_not_built_again(tmp_path: Path) -> None:
    """The folder is returned as it is."""
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "build.json").write_text(json.dumps({"key": build_key(DemoSettings())}), encoding="utf-8")
    assert ensure_demo_model(folder, progress=False) == folder
    assert [path.name for path in folder.iterdir()] == ["build.json"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """What somebody else put there is neither deleted nor mixed with the model."""
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(StartupError, match="something other than a demo model"):
        ensure_demo_model(tmp_path, progress=False)
    assert (tmp_path / "thesis.txt").exists()


def test_a_folder_that_cannot_be_written_gives_one_sentence(tmp_path: Path) -> None:
    """The message names the folder and the way out."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StartupError, match=r"cannot be built in .*file/demo: .*name another folder"):
        ensure_demo_model(tmp_path / "file" / "demo", progress=False)
