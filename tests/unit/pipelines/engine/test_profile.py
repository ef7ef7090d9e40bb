"""A profile holds what really ran: operators of all threads, their stacks, in files that their readers accept."""

from __future__ import annotations

import gzip
import io
import json
import threading
import xml.etree.ElementTree as ElementTree
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import torch

from pipelines.engine.flame_graph import flame_graph
from pipelines.engine.profile import Profile, main, record


@pytest.fixture(scope="module")
def profile() -> Profile:
    """Of a thread that multiplies."""
    stop = threading.Event()

    def multiply() -> None:
        matrix = torch.ones(8, 8)
        while not stop.is_set():
            torch.tanh(matrix @ matrix)

    worker = threading.Thread(target=multiply, name="stand-in engine")
    worker.start()
    try:
        return record(0.2)
    finally:
        stop.set()
        worker.join()


def test_operators_of_other_threads_are_in_it(profile: Profile) -> None:
    """The trace is one that Perfetto reads: events with a name, a time and a duration."""
    events = json.loads(profile.trace)["traceEvents"]
    names = {event["name"] for event in events if event.get("cat") == "cpu_op"}
    assert {"aten::mm", "aten::tanh"} <= names
    assert "aten::mm" in profile.operators


def test_stacks_are_seen_by_thread(profile: Profile) -> None:
    """The busy thread, down to the function that is busy; not the one that samples."""
    assert any(stack[0] == "stand-in engine" and "multiply" in stack[-1] for stack in profile.stacks)
    assert not any("_sample_stacks" in frame for stack in profile.stacks for frame in stack)


def test_the_archive_holds_all_files(profile: Profile, tmp_path: Path) -> None:
    """The same ones that are written into a folder."""
    profile.write(tmp_path)
    with zipfile.ZipFile(io.BytesIO(profile.zipped())) as archive:
        assert set(archive.namelist()) == {file.name for file in tmp_path.iterdir()}
        assert json.loads(gzip.decompress(archive.read("trace.json.gz")))["traceEvents"]


def test_a_frame_is_as_wide_as_its_share() -> None:
    """Two thirds and one third, callees upon callers, names safe in XML."""
    svg = flame_graph(Counter({("main", "<listcomp>"): 2, ("main", "b & c"): 1}), "three samples")
    root = ElementTree.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    boxes = {}
    for group in root.iter(f"{space}g"):
        title, box = group.find(f"{space}title"), group.find(f"{space}rect")
        assert title is not None
        assert box is not None
        boxes[str(title.text).split(":")[0]] = (float(box.attrib["width"]), float(box.attrib["y"]))
    assert boxes["<listcomp>"][0] == pytest.approx(2 * boxes["b & c"][0], rel=0.01)
    assert boxes["main"][0] == pytest.approx(1200, rel=0.01)
    assert boxes["all"][1] > boxes["main"][1] > boxes["b & c"][1]


def test_no_samples_are_a_graph_too() -> None:
    """A process without other threads."""
    ElementTree.fromstring(flame_graph(Counter(), "nothing"))


def test_the_command_profiles_the_configured_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It keeps the engine busy and writes the files; the client's thread is seen at it."""
    monkeypatch.setenv("NLLB__MODEL__ENGINE", "identity")
    assert main(["--seconds", "0.1", "--rows", "2", "--out", str(tmp_path)]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"trace.json.gz", "operators.txt", "flame_graph.svg"}
    assert "flame_graph.svg opens in a browser" in capsys.readouterr().out
    assert "client" in (tmp_path / "flame_graph.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "0"], "--rows should be at least 1"),
        (["--seconds", "-1"], "--seconds over 0 and at most 60"),
        (["--seconds", "nan"], "--seconds over 0 and at most 60"),
        ([], "model '/nothing/here' is not a folder"),
    ],
)
def test_what_the_command_cannot_do_is_one_sentence(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers out of range, and a model that is not there."""
    monkeypatch.setenv("NLLB__MODEL__NAME", "/nothing/here")
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err
