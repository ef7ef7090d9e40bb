"""May an adapter be published? Better in its domain by a margin, and elsewhere not worse than by a margin.

One for both directions of a language pair is judged in both, and the worse one decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from configs.schema import GateSettings
from train.evaluation import Comparison


@dataclass(frozen=True, slots=True)
class GateReport:
    """The gate's decision, and on what it rests.

    Attributes:
        domain: On the domain's dev set; of two directions, the one that gains less.
        general: On the general dev set; of two directions, the one that loses more. None if there is no such set.
        problems: Why the adapter does not pass; empty if it does.
        forced: Whether it is published all the same.
        better: What was found in the direction that does not decide.
    """

    domain: Comparison
    general: Comparison | None
    problems: tuple[str, ...]
    forced: bool = False
    better: tuple[Comparison, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Return what the manifest keeps: everything but the examples."""
        return {
            "passed": self.passed,
            "forced": self.forced,
            "problems": list(self.problems),
            "domain": _without_examples(self.domain),
            "general": None if self.general is None else _without_examples(self.general),
            "better": [_without_examples(each) for each in self.better],
        }

    def as_text(self) -> str:
        """Return what a person reads."""
        shown = [self.domain, *([] if self.general is None else [self.general]), *self.better]
        verdict = "passed" if self.passed else "not passed" + (", published by force" if self.forced else "")
        by = ", by the worse of two directions" if self.better else ""
        return "\n".join(
            [
                *(each.as_text(with_examples=False) for each in shown),
                f"Gate: {verdict}{by}",
                *(f"  - {problem}" for problem in self.problems),
            ]
        )


def decide(
    domain: Sequence[Comparison], general: Sequence[Comparison], settings: GateSettings, *, forced: bool = False
) -> GateReport:
    """Hold comparisons against the margins.

    Args:
        domain: On the domain's dev set, in each direction that the adapter is for.
        general: On the general dev set, likewise; without one no adapter passes.
        settings: The margins.
        forced: Whether a failure is overruled.
    """
    worst, *better = sorted(domain, key=attrgetter("gain"))
    problems = []
    if worst.gain < settings.min_domain_gain:
        problems.append(
            f"on the domain's dev set, {worst.language_pair}, it gains {worst.gain:+.2f} chrF++ over {worst.baseline}; "
            f"training.gate.min_domain_gain asks for {settings.min_domain_gain:+.2f}"
        )
    most_lost = min(general, key=attrgetter("gain"), default=None)
    better += [each for each in general if each is not most_lost]
    if most_lost is None:
        problems.append("there is no general dev set for this language pair; name one with --gate-general-file")
    elif -most_lost.gain > settings.max_general_loss:
        problems.append(
            f"on the general dev set, {most_lost.language_pair}, it loses {-most_lost.gain:.2f} chrF++ to "
            f"{most_lost.baseline}; training.gate.max_general_loss accepts {settings.max_general_loss:.2f}"
        )
    return GateReport(worst, most_lost, tuple(problems), forced=forced and bool(problems), better=tuple(better))


def _without_examples(comparison: Comparison) -> dict[str, Any]:
    return {key: value for key, value in comparison.as_json().items() if key != "examples"}
