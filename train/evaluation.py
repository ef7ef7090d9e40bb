"""Translates dev sets by what is served now and by a candidate, and puts the two side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from train.scores import Scores, score, sentence_chrf

_NUM_EXAMPLES = 20


class Translates(Protocol):
    """What evaluation asks of an engine; see `train.serving.ServingEngine`."""

    @property
    def revision(self) -> str:
        """Of the base model."""
        ...

    def translate(
        self, texts: Sequence[str], source_lang: str, target_lang: str, adapter: str | None = None
    ) -> list[str]:
        """One translation for each text."""
        ...

    def pieces(self, texts: Sequence[str], language: str) -> list[str]:
        """Each text's tokens, joined by spaces."""
        ...


@dataclass(frozen=True, slots=True)
class Example:
    """One pair, and what became of it."""

    source: str
    reference: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A baseline and a candidate on one dev set.

    Attributes:
        dev_set: `domain` or `general`.
        language_pair: Two FLORES-200 codes, such as `eng_Latn-hin_Deva`.
        baseline: What `before` is of: `base model`, or a version.
        before: Scores of the baseline.
        after: Scores of the candidate; None if the baseline alone was asked for.
        examples: Half of them the pairs that gained most, half those that lost most.
    """

    dev_set: str
    language_pair: str
    baseline: str
    before: Scores
    after: Scores | None
    examples: tuple[Example, ...]

    @property
    def gain(self) -> float:
        """Points of chrF++ that the candidate is better."""
        return 0.0 if self.after is None else round(self.after.chrf - self.before.chrf, 2)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "dev_set": self.dev_set,
            "language_pair": self.language_pair,
            "baseline": self.baseline,
            "before": self.before.as_json(),
            "after": None if self.after is None else self.after.as_json(),
            "gain_chrf": self.gain,
            "examples": [asdict(example) for example in self.examples],
        }

    def as_text(self, *, with_examples: bool = True) -> str:
        """Return a small table, and the examples."""
        columns = [(self.baseline, self.before), *([("candidate", self.after)] if self.after else [])]
        width = max(10, *(len(name) for name, _ in columns))
        lines = [f"{self.dev_set} dev set, {self.language_pair}, {self.before.num_pairs} pairs"]
        lines.append(f"  {'':14}" + "".join(f"{name:>{width + 2}}" for name, _ in columns))
        for key, label in _ROWS.items():
            values = "".join(
                f"{getattr(scores, key):>{width + 2}.{2 if key in _POINTS else 3}f}" for _, scores in columns
            )
            lines.append(f"  {label:14}{values}")
        lines += [f"  {signature}" for signature in self.before.signatures.values()]
        for example in self.examples if with_examples else ():
            lines += ["", f"  source     {example.source}", f"  reference  {example.reference}"]
            lines += [f"  before     {example.before}"]
            lines += [f"  after      {example.after}"] if self.after else []
        return "\n".join(lines)


_POINTS = {"chrf", "bleu", "spbleu"}
_ROWS = {
    "chrf": "chrF++",
    "bleu": "BLEU",
    "spbleu": "spBLEU",
    "exact_match": "exact match",
    "length_ratio": "length ratio",
}


def compare(
    engine: Translates,
    pairs: Sequence[tuple[str, str]],
    languages: tuple[str, str],
    *,
    dev_set: str,
    baseline: str | None,
    candidate: str | None,
) -> Comparison:
    """Translate a dev set twice and score both.

    Args:
        engine: Holds the base model and the adapters that are named.
        pairs: (source, reference).
        languages: FLORES-200 codes.
        dev_set: What the set is called.
        baseline: A loaded adapter, or None for the base model.
        candidate: A loaded adapter; None scores the baseline alone.
    """
    sources, references = [source for source, _ in pairs], [reference for _, reference in pairs]
    before = engine.translate(sources, *languages, baseline)
    after = before if candidate is None else engine.translate(sources, *languages, candidate)

    def scored(outputs: Sequence[str]) -> Scores:
        return score(
            outputs, references, languages[1], lambda texts: engine.pieces(texts, languages[1]), engine.revision
        )

    return Comparison(
        dev_set=dev_set,
        language_pair="-".join(languages),
        baseline=baseline or "base model",
        before=scored(before),
        after=None if candidate is None else scored(after),
        examples=_examples([Example(*each) for each in zip(sources, references, before, after, strict=True)]),
    )


def _examples(examples: Sequence[Example]) -> tuple[Example, ...]:
    gain: Callable[[Example], float] = lambda each: (  # noqa: E731
        sentence_chrf(each.after, each.reference) - sentence_chrf(each.before, each.reference)
    )
    ordered = sorted(examples, key=gain, reverse=True)
    if len(ordered) <= _NUM_EXAMPLES:
        return tuple(ordered)
    half = _NUM_EXAMPLES // 2
    return (*ordered[:half], *ordered[-half:])
