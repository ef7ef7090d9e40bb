"""Versions: published whole, numbered once, never changed, fetched only if they are what they say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.adapters import AdapterRegistry
from pipelines.adapters.manifest import Manifest
from pipelines.errors import (
    AdapterConflictError,
    InvalidAdapterError,
    InvalidRequestError,
    StartupError,
    UnknownAdapterError,
)
from tests.adapter_files import draft, write_adapter
from tests.unit.pipelines.adapters.losing_files import LosingFiles


def test_a_version_is_numbered_described_and_read_back(registry: AdapterRegistry, adapter: Path) -> None:
    """The registry adds number, time, sizes and hashes; what it gives back is the publisher's, to the byte."""
    first = registry.publish("medical", adapter, draft(seed=13))
    second = registry.publish("medical", write_adapter(adapter, seed=6), draft())
    assert (first.full_name, second.full_name) == ("medical@1", "medical@2")
    assert registry.manifest("medical", 1) == first
    assert (first.seed, first.scores, first.created_at.tzinfo) == (13, {"chrf": 61.5}, UTC)
    assert first.files["adapter_config.json"] == second.files["adapter_config.json"]
    assert first.files["adapter_model.safetensors"].sha256 != second.files["adapter_model.safetensors"].sha256
    assert registry.names() == ["medical"]
    assert registry.versions("medical") == [1, 2]


def test_publishing_moves_no_alias(registry: AdapterRegistry, adapter: Path) -> None:
    """Nobody meets a version that nobody promoted."""
    registry.publish("medical", adapter, draft())
    assert registry.alias("medical") is None


def test_the_layout_is_the_documented_one(tmp_path: Path, adapter: Path) -> None:
    """Plain files that other tools can read; what else lies in the publisher's folder stays there."""
    (adapter / "training_args.bin").write_bytes(b"pickle")
    registry = AdapterRegistry((tmp_path / "registry").as_uri())
    manifest = registry.publish("medical", adapter, draft())
    registry.promote("medical", 1)
    found = {str(path.relative_to(tmp_path / "registry")) for path in (tmp_path / "registry").rglob("*.*")}
    home = "adapters/medical/1"
    assert found == {
        f"{home}/adapter_config.json",
        f"{home}/adapter_model.safetensors",
        f"{home}/manifest.json",
        "aliases/medical/00000001.json",
    }
    written = json.loads((tmp_path / "registry" / home / "manifest.json").read_text())
    assert Manifest.model_validate_json(json.dumps(written)) == manifest
    assert written["files"]["adapter_config.json"]["num_bytes"] == (adapter / "adapter_config.json").stat().st_size


def test_a_fetched_copy_is_whole_and_used_again(registry: AdapterRegistry, adapter: Path, tmp_path: Path) -> None:
    """The copy equals what was published; a second fetch reads no weights; a spoilt copy is replaced."""
    registry.publish("medical", adapter, draft())
    copy = registry.fetch("medical", 1, tmp_path / "copies")
    weights = copy / "adapter_model.safetensors"
    assert copy.name == "medical@1"
    assert weights.read_bytes() == (adapter / "adapter_model.safetensors").read_bytes()
    before = weights.stat().st_ino
    assert registry.fetch("medical", 1, tmp_path / "copies") == copy
    assert weights.stat().st_ino == before
    weights.write_bytes(b"spoilt")
    registry.fetch("medical", 1, tmp_path / "copies")
    assert weights.read_bytes() == (adapter / "adapter_model.safetensors").read_bytes()
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["medical@1"]


@pytest.mark.parametrize("name", ["", "Medical", "a/b", "..", "a..b", "a@1", "-a", "a-", "a" * 65, "a\n", "é"])
def test_a_name_that_could_leave_its_folder_is_refused(registry: AdapterRegistry, adapter: Path, name: str) -> None:
    """Names are part of paths, URLs and `name@version`."""
    with pytest.raises(InvalidRequestError, match="is not accepted"):
        registry.publish(name, adapter, draft())


def test_what_does_not_exist_is_answered_with_what_does(registry: AdapterRegistry, adapter: Path) -> None:
    """An unknown version names the versions, an unknown adapter the adapters."""
    registry.publish("medical", adapter, draft())
    with pytest.raises(UnknownAdapterError, match="there is no medical@7; there are medical@1"):
        registry.manifest("medical", 7)
    with pytest.raises(UnknownAdapterError, match="no adapter is called 'legal'; there are medical"):
        registry.promote("legal", 1)
    assert registry.versions("legal") == []


def test_a_number_that_was_claimed_and_abandoned_is_no_version(
    registry: AdapterRegistry, adapter: Path, tmp_path: Path
) -> None:
    """Without its manifest nothing was published; the number is not used again."""
    registry.publish("medical", adapter, draft())
    (tmp_path / "registry/adapters/medical/1/manifest.json").unlink()
    assert AdapterRegistry(registry.uri).versions("medical") == []
    assert registry.publish("medical", adapter, draft()).version == 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"rank": 4}, "the manifest says rank 4, the file 2"),
        ({"alpha": 8}, "the manifest says alpha 8, the file 4"),
        ({"targets": ("q_proj",)}, "adapts q_proj, v_proj; the manifest says q_proj"),
    ],
)
def test_a_draft_that_lies_is_not_published(
    registry: AdapterRegistry, adapter: Path, said: dict[str, object], reason: str
) -> None:
    """What is stated is held against the files before anything is written."""
    with pytest.raises(InvalidAdapterError, match=reason):
        registry.publish("medical", adapter, draft(**said))
    assert registry.names() == []


def test_a_version_is_whole_whatever_answer_is_lost(adapter: Path, losing: type[LosingFiles]) -> None:
    """Of its first file it costs the number, of the others nothing."""
    registry = AdapterRegistry("losing://registry")
    losing.answers_to_lose.update(["adapter_model.safetensors", "manifest.json"])
    first = registry.publish("medical", adapter, draft())
    losing.answers_to_lose.add("adapter_config.json")
    second = registry.publish("medical", adapter, draft())
    assert not losing.answers_to_lose
    assert [registry.verify("medical", number) for number in (1, 3)] == [first, second]
    assert registry.versions("medical") == [1, 3]


def test_files_that_another_wrote_into_ones_version_are_a_conflict(adapter: Path, tmp_path: Path) -> None:
    """Said in a sentence; nothing is published."""
    home = tmp_path / "registry/adapters/medical/1"

    def now() -> datetime:  # is asked between the claim and the other files
        (home / "manifest.json").write_text("{}")
        return datetime(2026, 1, 2, tzinfo=UTC)

    with pytest.raises(AdapterConflictError, match=r"medical@1: another wrote its manifest\.json meanwhile"):
        AdapterRegistry(str(tmp_path / "registry"), now=now).publish("medical", adapter, draft())


def test_a_pickle_is_never_read(registry: AdapterRegistry, adapter: Path) -> None:
    """`adapter_model.bin` is refused by its name."""
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(InvalidAdapterError, match="pickled and never read"):
        registry.publish("medical", adapter, draft())


def test_the_time_is_the_clocks(tmp_path: Path, adapter: Path) -> None:
    """Creation times are UTC and can be set for tests."""
    then = datetime(2026, 1, 2, tzinfo=UTC)
    registry = AdapterRegistry(str(tmp_path / "registry"), now=lambda: then)
    assert registry.publish("medical", adapter, draft()).created_at == then


@pytest.mark.parametrize("uri", ["nonsense://here", "hdfs4://a"])
def test_an_unknown_protocol_fails_the_start(uri: str) -> None:
    """The message names the setting and what is accepted."""
    with pytest.raises(StartupError, match=r"adapters\.registry"):
        AdapterRegistry(uri)
