"""What an adapter is compared with and promoted over: a live version that does the same work, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from configs.loader import load_settings
from configs.schema import Settings
from pipelines.adapters import AdapterRegistry, Manifest
from pipelines.errors import StartupError
from tests.adapter_files import RANK, draft, write_adapter
from tests.tiny_model import make_tiny_checkpoint
from train.data.check import DataSource, check_data
from train.options import RunOptions
from train.publish import publish_adapter, refuse_unpublishable

LANGUAGES = ("eng_Latn", "hin_Deva")
PAIR, BACK, OTHER = "eng_Latn-hin_Deva", "hin_Deva-eng_Latn", "eng_Latn-spa_Latn"
VALUE_LAYERS = tuple(
    f"model.{side}.layers.{layer}.{attention}.v_proj"
    for side, attention in (("encoder", "self_attn"), ("decoder", "self_attn"), ("decoder", "encoder_attn"))
    for layer in range(2)
)


class Publisher:
    """A trainer that is done with an adapter of a tiny base model of some width, and wants it to be `medical`."""

    def __init__(self, home: Path, base: Path, width: int) -> None:
        self._home, self._base = home, base
        write_adapter(home / "run" / "adapter", modules=VALUE_LAYERS, width=width)
        self.registry = AdapterRegistry(str(home / "registry"))
        self._data = home / "data.tsv"
        self._data.write_text("".join(f"good morning {each}\tनमस्ते {each}\n" for each in range(40)), encoding="utf-8")

    def settings(self, *, bidirectional: bool = False) -> Settings:
        """Return the configuration in force."""
        overrides = {
            "model.name": str(self._base),
            "model.device": "cpu",
            "adapters.registry": self.registry.uri,
            "training.bidirectional": bidirectional,
            "training.lora.r": RANK,
            "training.lora.alpha": 2 * RANK,
            "training.lora.targets": ("v_proj",),
            "training.gate.max_pairs": 2,
            "training.gate.general_file": str(self._data),
        }
        return load_settings("dev", overrides, environ={})

    def refuse(self, *, bidirectional: bool = False, **options: bool) -> None:
        """Ask before training."""
        settings = self.settings(bidirectional=bidirectional)
        refuse_unpublishable(self._options(**options), settings, LANGUAGES)

    def publish(self, *, bidirectional: bool = False, **options: bool) -> Manifest:
        """Ask after training; what the gate thinks of random weights is overruled."""
        settings = self.settings(bidirectional=bidirectional)
        checked = check_data(DataSource(str(self._data), *LANGUAGES), dev_ratio=0.2, max_tokens=60, max_length_ratio=3)
        chosen = self._options(force=True, **options)
        return publish_adapter(self._home / "run", chosen, settings, checked, LANGUAGES, Console(quiet=True))

    def _options(self, **options: bool) -> RunOptions:
        return RunOptions("lora", str(self._data), *LANGUAGES, publish="medical", **options)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model of another width than that of `went_live`."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("models") / "wide", d_model=32)


@pytest.fixture
def publisher(tmp_path: Path, base: Path) -> Publisher:
    """A publisher into an empty registry."""
    return Publisher(tmp_path, base, width=32)


def went_live(publisher: Publisher, tmp_path: Path, *pairs: str) -> None:
    """Let medical@1 be live: an adapter of a narrower base model, for some language pairs."""
    folder = write_adapter(tmp_path / "before", modules=VALUE_LAYERS)
    publisher.registry.publish("medical", folder, draft(language_pairs=pairs, targets=("v_proj",)))
    publisher.registry.promote("medical", 1)


def baseline(published: Manifest) -> object:
    """Return what the gate compared with."""
    assert published.gate_report is not None
    return published.gate_report["domain"]["baseline"]  # type: ignore[index, call-overload]


def test_an_adapter_is_compared_with_what_is_live_only_on_the_same_base_model(
    publisher: Publisher, tmp_path: Path
) -> None:
    """The live version of another base is never loaded; the base model is the measure, and of the next the new one."""
    went_live(publisher, tmp_path, PAIR)
    publisher.refuse()
    first = publisher.publish()
    assert (first.full_name, baseline(first)) == ("medical@2", "base model")
    second = publisher.publish()
    assert (second.full_name, baseline(second)) == ("medical@3", "medical@2")
    alias = publisher.registry.alias("medical")
    assert alias is not None
    assert alias.live == 3


@pytest.mark.parametrize("pairs", [(BACK,), (PAIR, BACK), (OTHER, PAIR)])
def test_a_name_loses_no_language_pair(publisher: Publisher, tmp_path: Path, pairs: tuple[str, ...]) -> None:
    """What is live translates more than the new adapter would: refused, forced or not, with ways out."""
    went_live(publisher, tmp_path, *pairs)
    lost = next(pair for pair in pairs if pair != PAIR)
    for force in (False, True):
        with pytest.raises(StartupError, match=rf"medical@1 is live and translates {lost}; .* or with --no-promote"):
            publisher.refuse(force=force)
    with pytest.raises(StartupError, match="medical@1 is live and translates"):
        publisher.publish()
    assert publisher.registry.versions("medical") == [1]


def test_a_name_may_gain_language_pairs(publisher: Publisher, tmp_path: Path) -> None:
    """Trained for both directions, the new adapter does all that the old one did."""
    went_live(publisher, tmp_path, BACK)
    publisher.refuse(bidirectional=True)


def test_an_adapter_for_both_directions_is_judged_in_both(publisher: Publisher) -> None:
    """Each with what translates that direction now; a version for one of them is no measure of the other."""
    publisher.publish()
    published = publisher.publish(bidirectional=True)
    report = published.gate_report
    assert report is not None
    judged = [report["domain"], report["general"], *report["better"]]  # type: ignore[misc]
    assert sorted((each["dev_set"], each["language_pair"], each["baseline"]) for each in judged) == [  # type: ignore[index, call-overload]
        ("domain", PAIR, "medical@1"),
        ("domain", BACK, "base model"),
        ("general", PAIR, "medical@1"),
        ("general", BACK, "base model"),
    ]
    assert published.language_pairs == (PAIR, BACK)


def test_what_is_not_promoted_may_be_of_any_pair(publisher: Publisher, tmp_path: Path) -> None:
    """It is compared with the base model, not with what translates something else; requests notice nothing."""
    went_live(publisher, tmp_path, OTHER)
    publisher.refuse(no_promote=True)
    published = publisher.publish(no_promote=True)
    assert (published.language_pairs, baseline(published)) == ((PAIR,), "base model")
    alias = publisher.registry.alias("medical")
    assert alias is not None
    assert alias.live == 1


def test_what_is_live_and_cannot_be_read_is_named_before_training(publisher: Publisher, tmp_path: Path) -> None:
    """It is not the new adapter that is damaged."""
    went_live(publisher, tmp_path, PAIR)
    (tmp_path / "registry/adapters/medical/1/manifest.json").write_text("{}")
    publisher.registry = AdapterRegistry(publisher.registry.uri)
    with pytest.raises(StartupError, match=r"medical@1 is live and cannot be read: manifest\.json: .*promote another"):
        publisher.refuse()
