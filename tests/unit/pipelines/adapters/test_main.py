"""`python -m pipelines.adapters`: what a person and a script read, and how a refusal looks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipelines.adapters import AdapterRegistry
from pipelines.adapters.__main__ import main
from tests.adapter_files import draft


@pytest.fixture
def run(registry: AdapterRegistry, adapter: Path, capsys: pytest.CaptureFixture[str]):
    """Run a command on a registry with medical@1 to 3; returns status, output and errors."""
    for score in (60.5, 61.0, 62.25):
        registry.publish("medical", adapter, draft(scores={"chrf": score}))

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main([*arguments, "--registry", registry.uri])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_a_version_goes_live_is_tried_and_rolled_back(run) -> None:
    """Each change says in one line what it came to."""
    assert run("promote", "medical", "1") == (0, "medical is medical@1\n", "")
    assert run("promote", "medical@2")[1] == "medical is medical@2\n"
    assert run("canary", "medical", "3", "--percent", "10", "--shadow-percent", "5")[1] == (
        "medical is medical@2; canary 3 at 10 %, shadow 5 %\n"
    )
    assert run("rollback", "medical")[1] == "medical is medical@2\n"
    assert run("rollback", "medical")[1] == "medical is medical@1\n"
    assert run("retire", "medical", "3")[0] == 0
    assert run("withdraw", "medical")[1] == "medical points to no version\n"
    assert run("retire", "medical@1")[0] == 0


def test_tables_show_all_that_matters(run) -> None:
    """Live, canary, versions, scores and history, in aligned columns."""
    run("promote", "medical", "1")
    run("canary", "medical", "3", "--percent", "2.5")
    header, row = run("list")[1].splitlines()
    assert header.split()[:4] == ["ADAPTER", "LIVE", "CANARY", "VERSIONS"]
    assert row.split("  ")[0] == "medical"
    assert "3 at 2.5 %" in row
    assert row.index("1 2 3") == header.index("VERSIONS")
    versions, history = run("show", "medical")[1].strip().split("\n\n")
    assert [line.split()[:2] for line in versions.splitlines()[1:]] == [
        ["medical@1", "live"],
        ["medical@2", versions.splitlines()[2].split()[1]],
        ["medical@3", "canary"],
    ]
    assert "chrf 62.25" in versions.splitlines()[3]
    assert "eng_Latn-hin_Deva" in versions
    assert [line.split()[2] for line in history.splitlines()[1:]] == ["canary", "promote"]
    shown = run("show", "medical@3")[1]
    assert "sha256" in shown
    assert "base_model" in shown


def test_json_is_for_scripts(run) -> None:
    """The same as JSON, and nothing else on standard output."""
    run("promote", "medical", "2")
    listed = json.loads(run("list", "--json")[1])
    assert listed["adapters"] == [
        {
            "name": "medical",
            "live": 2,
            "canary": None,
            "canary_percent": 0.0,
            "shadow_percent": 0.0,
            "retired": [],
            "versions": [1, 2, 3],
        }
    ]
    shown = json.loads(run("show", "medical", "--json")[1])
    assert [each["scores"]["chrf"] for each in shown["manifests"]] == [60.5, 61.0, 62.25]
    assert [each["action"] for each in shown["history"]] == ["promote"]
    assert json.loads(run("show", "medical@1", "--json")[1])["version"] == 1
    assert json.loads(run("promote", "medical", "3", "--json")[1])["live"] == 3


def test_verify_tells_sound_from_spoilt(run, tmp_path: Path) -> None:
    """The status is 1 if any version is not what its manifest says; each is reported."""
    assert run("verify", "medical")[:2] == (
        0,
        "".join(f"medical@{number}: is what its manifest says\n" for number in (1, 2, 3)),
    )
    (tmp_path / "registry/adapters/medical/2/adapter_model.safetensors").write_bytes(b"spoilt")
    status, out, _ = run("verify", "medical")
    assert status == 1
    assert "medical@2: adapter_model.safetensors: has 6 bytes" in out
    assert run("verify", "medical@3")[0] == 0
    reports = json.loads(run("verify", "medical", "--json")[1])
    assert [each["ok"] for each in reports] == [True, False, True]


def test_a_damaged_version_hides_no_other(run, tmp_path: Path) -> None:
    """`show` lists what is sound, and says what is wrong with the rest."""
    (tmp_path / "registry/adapters/medical/4").mkdir()
    (tmp_path / "registry/adapters/medical/4/manifest.json").write_text("{}")
    status, out, _ = run("show", "medical")
    assert status == 0
    assert "medical@4  damaged: manifest.json: base_model: Field required" in out
    assert "medical@3" in out
    assert json.loads(run("show", "medical", "--json")[1])["damaged"].keys() == {"medical@4"}


def test_a_damaged_alias_hides_no_other(run, registry: AdapterRegistry, adapter: Path) -> None:
    """`list` shows all adapters, and says what is wrong; a copy beside them is none."""
    registry.publish("legal", adapter, draft())
    home = Path(registry.uri)
    (home / "aliases/legal").mkdir(parents=True)
    (home / "aliases/legal/00000001.json").write_text("{")
    shutil.copytree(home / "adapters/legal", home / "adapters/legal.bak")
    run("promote", "medical", "1")
    status, out, _ = run("list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["legal", "medical"]
    assert out.splitlines()[3].startswith("aliases/legal/00000001.json: cannot be used: ")
    listed = json.loads(run("list", "--json")[1])
    assert [each["name"] for each in listed["adapters"]] == ["legal", "medical"]
    assert len(listed["problems"]) == 1


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("promote medical 9", "there is no medical@9; there are medical@1, medical@2, medical@3"),
        ("promote legal 1", "no adapter is called 'legal'; there are medical"),
        ("promote medical", "which version of medical? For example: promote medical 1"),
        ("promote medical@1 2", "medical@1 and 2 are two versions"),
        ("promote medical 1 --if-live 2", "live is None, not 2"),
        ("rollback medical", "nothing to go back to"),
        ("rollback ../x", "is not accepted"),
        ("withdraw medical", "nothing to withdraw"),
        ("withdraw legal", "no adapter is called 'legal'"),
        ("canary medical 1 --percent 10", "no live version"),
        ("canary medical 1 --percent 101", "accepted is 0 to 100"),
        ("show legal", "no adapter is called 'legal'"),
        ("verify legal", "no adapter is called 'legal'"),
    ],
)
def test_a_refusal_is_one_sentence(run, command: str, reason: str) -> None:
    """On standard error, with status 1."""
    status, out, err = run(*command.split())
    assert (status, out) == (1, "")
    assert reason in err
    assert len(err.splitlines()) == 1


def test_an_empty_registry_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there yet is a registry without adapters."""
    assert main(["list", "--registry", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out.startswith("no adapters in ")


def test_the_registry_is_the_configurations(
    registry: AdapterRegistry, adapter: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --registry the setting decides; null is answered with what to do."""
    registry.publish("legal", adapter, draft())
    monkeypatch.setenv("NLLB__ADAPTERS__REGISTRY", registry.uri)
    assert main(["list"]) == 0
    assert "legal" in capsys.readouterr().out
    monkeypatch.setenv("NLLB__ADAPTERS__REGISTRY", "null")
    assert main(["list"]) == 1
    assert "give --registry" in capsys.readouterr().err
