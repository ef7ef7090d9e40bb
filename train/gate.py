"""May an adapter be published? Better in its domain by a margin, and elsewhere not worse than by a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from configs.schema import GateSettings
from train.evaluation import Comparison


@dataclass(frozen=True, slots=True)
class GateReport:
    """The gate's decision, and on what it rests.

    Attributes:
        domain: On the domain's dev set.
        general: On the general dev set; None if there is none for the language pair.
        problems: Why the adapter does not pass; empty if it does.
        forced: Whether it is published all the same.
    """

    domain: Comparison
    general: Comparison | None
    problems: tuple[str, ...]
    forced: bool = False

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Return what the manifest keeps: everything but the examples."""
        sets = {"domain": self.domain, "general": self.general}
        return {
            "passed": self.passed,
            "forced": self.forced,
            "problems": list(self.problems),
            **{
                name: None
                if each is None
                else {key: value for key, value in each.as_json().items() if key != "examples"}
                for name, each in sets.items()
            },
        }

    def as_text(self) -> str:
        """Return what a person reads."""
        parts = [each.as_text(with_examples=False) for each in (self.domain, self.general) if each is not None]
        verdict = "passed" if self.passed else "not passed" + (", published by force" if self.forced else "")
        return "\n".join([*parts, f"Gate: {verdict}", *(f"  - {problem}" for problem in self.problems)])


def decide(
    domain: Comparison, general: Comparison | None, settings: GateSettings, *, forced: bool = False
) -> GateReport:
    """Hold two comparisons against the margins.

    Args:
        domain: On the domain's dev set.
        general: On the general dev set; without one no adapter passes.
        settings: The margins.
        forced: Whether a failure is overruled.
    """
    problems = []
    if domain.gain < settings.min_domain_gain:
        problems.append(
            f"on the domain's dev set it gains {domain.gain:+.2f} chrF++ over {domain.baseline}; "
            f"training.gate.min_domain_gain asks for {settings.min_domain_gain:+.2f}"
        )
    if general is None:
        problems.append("there is no general dev set for this language pair; name one with --gate-general-file")
    elif -general.gain > settings.max_general_loss:
        problems.append(
            f"on the general dev set it loses {-general.gain:.2f} chrF++ to {general.baseline}; "
            f"training.gate.max_general_loss accepts {settings.max_general_loss:.2f}"
        )
    return GateReport(domain, general, tuple(problems), forced=forced and bool(problems))
