"""What can be wrong with a line of parallel text, and the report of all that was found.

Knows no file formats and no models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_MAX_LISTED_LINES = 1000
_NUM_LINES_IN_TEXT = 10
_NUM_EXAMPLES = 3
_MAX_EXAMPLE_CHARS = 80


class Finding(StrEnum):
    """A reason to leave a line out of training; a line has the first that applies."""

    COLUMNS = "wrong_columns"
    ENCODING = "not_utf8"
    EMPTY = "empty_side"
    COPY = "copy"
    SCRIPT = "wrong_script"
    TOO_LONG = "too_long"
    LENGTH_RATIO = "length_ratio"
    DUPLICATE = "duplicate"
    IN_DEV = "in_dev"


MEANING = {
    Finding.COLUMNS: "wrong number of columns, or no such field",
    Finding.ENCODING: "not valid UTF-8",
    Finding.EMPTY: "a side is empty",
    Finding.COPY: "source and target are equal",
    Finding.SCRIPT: "letters of another script than the language's",
    Finding.TOO_LONG: "longer than training.max_source_tokens, or than the model reads",
    Finding.LENGTH_RATIO: "one side far longer than usual in this data",
    Finding.DUPLICATE: "the same pair stands above",
    Finding.IN_DEV: "a side is also in the dev split, or in the general dev set",
}


@dataclass(frozen=True, slots=True)
class Example:
    """One line that has a finding: where it stands, and the beginning of what it says."""

    file: str
    line: int
    text: str


@dataclass(slots=True)
class Found:
    """All lines with one finding: how many, the first line numbers, the first examples."""

    num_lines: int = 0
    lines: list[tuple[str, int]] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)

    def add(self, file: str, line: int, text: str) -> None:
        """Count a line, and list it if there is room."""
        self.num_lines += 1
        if len(self.lines) < _MAX_LISTED_LINES:
            self.lines.append((file, line))
        if len(self.examples) < _NUM_EXAMPLES:
            short = text if len(text) <= _MAX_EXAMPLE_CHARS else text[: _MAX_EXAMPLE_CHARS - 1] + "…"
            self.examples.append(Example(file, line, short))


@dataclass(frozen=True, slots=True)
class DataReport:
    """What a check of parallel text found.

    Attributes:
        location: The file, folder or URI.
        num_lines: Lines of the data, blank ones apart.
        num_train: Pairs to train on.
        num_dev: Pairs kept for evaluation.
        found: What is wrong, by kind; kinds without a line are left out.
        fingerprint: A hash over the pairs that are used, in order.
        length_unit: What the bound of length was counted in: `tokens`, or `characters` where no tokenizer was at hand.
    """

    location: str
    num_lines: int
    num_train: int
    num_dev: int
    found: dict[Finding, Found]
    fingerprint: str
    length_unit: str = "tokens"

    @property
    def num_bad(self) -> int:
        """Lines that something is wrong with. Those kept for evaluation alone are good ones."""
        return sum(each.num_lines for kind, each in self.found.items() if kind != Finding.IN_DEV)

    @property
    def bad_ratio(self) -> float:
        """Share of lines that something is wrong with."""
        return self.num_bad / max(1, self.num_lines)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "location": self.location,
            "num_lines": self.num_lines,
            "num_train": self.num_train,
            "num_dev": self.num_dev,
            "num_bad": self.num_bad,
            "bad_ratio": round(self.bad_ratio, 6),
            "length_unit": self.length_unit,
            "fingerprint": self.fingerprint,
            "findings": {
                str(kind): {
                    "meaning": MEANING[kind],
                    "num_lines": each.num_lines,
                    "lines": [{"file": file, "line": line} for file, line in each.lines],
                    "examples": [{"file": one.file, "line": one.line, "text": one.text} for one in each.examples],
                }
                for kind, each in self.found.items()
            },
        }

    def as_text(self) -> str:
        """Return what a person reads: one line per kind, its first line numbers, and examples."""
        lines = [
            f"{self.location}: {self.num_lines} lines, {self.num_train} to train on, {self.num_dev} for evaluation, "
            f"{self.num_bad} bad ({self.bad_ratio:.1%})"
        ]
        for kind, each in self.found.items():
            lines.append(f"  {kind}: {each.num_lines} ({MEANING[kind]})")
            lines.append(f"    lines {_listed(each)}")
            lines += [f"    {_place(one.file, one.line)}: {one.text}" for one in each.examples]
        if self.length_unit != "tokens":
            lines.append(f"  (no tokenizer at hand: lengths were counted in {self.length_unit})")
        return "\n".join(lines)


def _listed(found: Found) -> str:
    shown = [_place(file, line) for file, line in found.lines[:_NUM_LINES_IN_TEXT]]
    more = found.num_lines - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _place(file: str, line: int) -> str:
    return f"{file.rpartition('/')[2]}:{line}"
