"""The gate lets through what is better in its domain and does no harm elsewhere, and says why not otherwise."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from configs.schema import GateSettings
from train.evaluation import Comparison, compare
from train.gate import decide

LANGUAGES, BACK = ("eng_Latn", "hin_Deva"), ("hin_Deva", "eng_Latn")
PAIRS = [(f"sentence number {number}", f"the right translation of {number}") for number in range(30)]


@dataclass
class FakeEngine:
    """Translates a share of the pairs rightly, by system."""

    share_right: dict[str | None, float]
    revision: str = "0123456789abcdef"

    def translate(self, texts: list[str], source_lang: str, target_lang: str, adapter: str | None = None) -> list[str]:
        """Return the right translation for the first of the texts, something else for the others."""
        right = dict(PAIRS)
        num_right = round(self.share_right[adapter] * len(texts))
        return [right[text] if place < num_right else "wrong" for place, text in enumerate(texts)]

    def pieces(self, texts: list[str], language: str) -> list[str]:
        """Words."""
        return texts


def comparison(
    before: float, after: float | None, baseline: str | None = None, languages: tuple[str, str] = LANGUAGES
) -> Comparison:
    """Compare two systems that translate a share of the pairs rightly."""
    engine = FakeEngine({baseline: before, "new@1": after or 0.0})
    candidate = None if after is None else "new@1"
    return compare(engine, PAIRS, languages, dev_set="domain", baseline=baseline, candidate=candidate)


@pytest.mark.parametrize(
    ("domain", "general", "problem"),
    [
        ((0.2, 0.9), (0.9, 0.9), None),
        ((0.2, 0.9), (0.5, 0.8), None),
        ((0.5, 0.5), (0.9, 0.9), "domain's dev set, eng_Latn-hin_Deva, it gains +0.00 chrF++ over base model"),
        ((0.9, 0.2), (0.9, 0.9), "domain's dev set, eng_Latn-hin_Deva, it gains -"),
        ((0.2, 0.9), (0.9, 0.5), "general dev set, eng_Latn-hin_Deva, it loses"),
    ],
)
def test_the_gate_holds_gains_against_margins(
    domain: tuple[float, float], general: tuple[float, float], problem: str | None
) -> None:
    """Better and harmless passes; equal, worse or forgetful does not, and the report names set, figure and margin."""
    report = decide([comparison(*domain)], [comparison(*general)], GateSettings())
    assert report.passed == (problem is None)
    assert problem is None or problem in report.problems[0]
    assert ("Gate: passed" in report.as_text()) == report.passed


def test_of_two_directions_the_worse_decides() -> None:
    """An adapter that is good one way and harmful the other way does not pass; the report shows both, and says so."""
    there = [comparison(0.2, 0.9), comparison(0.9, 0.9)]
    back = [comparison(0.5, 0.5, languages=BACK), comparison(0.9, 0.5, languages=BACK)]
    report = decide([there[0], back[0]], [there[1], back[1]], GateSettings())
    assert not report.passed
    assert [problem.partition(", it")[0] for problem in report.problems] == [
        "on the domain's dev set, hin_Deva-eng_Latn",
        "on the general dev set, hin_Deva-eng_Latn",
    ]
    assert [each["language_pair"] for each in report.as_json()["better"]] == ["eng_Latn-hin_Deva"] * 2
    assert "Gate: not passed, by the worse of two directions" in report.as_text()
    assert "domain dev set, eng_Latn-hin_Deva" in report.as_text()
    assert decide([there[0]] * 2, [there[1]] * 2, GateSettings()).passed


def test_margins_are_settings() -> None:
    """A wide margin lets a small loss through; a high bar stops a small gain."""
    small_gain, small_loss = comparison(0.5, 0.6), comparison(0.6, 0.5)
    assert decide([small_gain], [small_loss], GateSettings(max_general_loss=50)).passed
    assert not decide([small_gain], [small_loss], GateSettings(max_general_loss=50, min_domain_gain=60)).passed


def test_without_a_general_dev_set_nothing_passes() -> None:
    """What cannot be ruled out is not let through."""
    report = decide([comparison(0.2, 0.9)], [], GateSettings())
    assert report.problems[0].startswith("there is no general dev set")


def test_force_is_recorded_where_it_overruled_something() -> None:
    """And only there."""
    assert decide([comparison(0.5, 0.5)], [], GateSettings(), forced=True).forced
    assert not decide([comparison(0.2, 0.9)], [comparison(0.9, 0.9)], GateSettings(), forced=True).forced


def test_the_report_is_plain_json_without_texts() -> None:
    """It goes into a manifest that everybody may read."""
    report = decide([comparison(0.2, 0.9, "medical@2")], [comparison(0.9, 0.9)], GateSettings())
    content = json.loads(json.dumps(report.as_json()))
    assert content["domain"]["baseline"] == "medical@2"
    assert content["domain"]["after"]["chrf"] > content["domain"]["before"]["chrf"]
    assert "sentence number" not in json.dumps(content)


def test_examples_show_what_gained_and_what_lost_most() -> None:
    """Twenty of them; text and JSON carry them."""
    found = comparison(0.2, 0.9)
    assert len(found.examples) == 20
    assert (found.examples[0].before, found.examples[0].after) == ("wrong", found.examples[0].reference)
    assert found.examples[0].source in found.as_text()
    assert len(found.as_json()["examples"]) == 20


def test_a_baseline_alone_is_scored_alone() -> None:
    """There is no candidate to show."""
    found = comparison(0.5, None)
    assert found.after is None
    assert "candidate" not in found.as_text()
    assert found.as_json()["after"] is None
