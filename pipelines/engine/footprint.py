"""How much memory do a batch's keys and values take? Arithmetic alone.

The cache allocates by it, and the scheduler asks it before it lets a request in, so that both mean the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LEAST_LENGTH = 16
"""Positions that there is memory for, at least; from there on they double."""


def power_of_two(number: int) -> int:
    """Return the least one that is not less."""
    return 1 << max(number - 1, 0).bit_length()


def rounded(num_sequences: int, length: int) -> tuple[int, int]:
    """Return for how many sequences, and of what length, memory is allocated that so much fits into."""
    return power_of_two(num_sequences), power_of_two(max(length, LEAST_LENGTH))


@dataclass(frozen=True, slots=True)
class Footprint:
    """Groups that are decoded together: one source each, and one or more rows.

    Attributes:
        num_groups: By the number of rows that a group has.
        longest_source: Tokens.
        longest_target: Tokens, of any row.
    """

    num_groups: dict[int, int] = field(default_factory=dict)
    longest_source: int = 0
    longest_target: int = 0

    def plus(self, num_rows: int, num_source_tokens: int, num_target_tokens: int) -> Footprint:
        """Return that of these groups and one more."""
        return Footprint(
            self.num_groups | {num_rows: self.num_groups.get(num_rows, 0) + 1},
            max(self.longest_source, num_source_tokens),
            max(self.longest_target, num_target_tokens),
        )

    @property
    def num_tokens(self) -> int:
        """The most that is allocated for them, whichever of them leave first: every sequence is as long as the longest.

        A recorded step (`StepSizes`) of groups that are equally wide computes a power of two of them.
        """
        num_rows = sum(width * number for width, number in self.num_groups.items())
        computed = [width * power_of_two(number) for width, number in self.num_groups.items()]
        own_rows, own_length = rounded(max([num_rows, *computed]), self.longest_target)
        groups, cross_length = rounded(sum(self.num_groups.values()), self.longest_source)
        return own_rows * own_length + groups * cross_length
