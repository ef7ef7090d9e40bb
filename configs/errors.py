"""The one error of this package. It is raised before anything starts, so it names every problem at once."""

from __future__ import annotations


class ConfigError(ValueError):
    """The configuration cannot be used.

    Attributes:
        problems: One line each: where the value stands (file and line, or variable), its dotted key, the
            value (masked if secret), and what is accepted.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)
