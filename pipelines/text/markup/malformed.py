"""Says what is wrong with a document, and where; nothing is repaired."""

from __future__ import annotations

from pipelines.types import Notice


def malformed(text: str, position: int, problem: str, consequence: str) -> Notice:
    """A notice about a place of a document."""
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return Notice("malformed_markup", f"{problem} at line {line}, column {column}; {consequence}")
