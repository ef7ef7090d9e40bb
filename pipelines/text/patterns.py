"""Regular expressions of a caller: what they find in a text, without the harm that some can do.

An expression may take exponential time (`(a|aa)+$`), so all of one caller's share a few hundred milliseconds of the
processor, and other threads go on while they are matched.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import regex

from pipelines.errors import UnsupportedOptionError

_MAX_CHARS = 1000  # what is longer can take the compiler's time and memory
_TIME_S = 0.2


class Patterns:
    """Expressions for the parts of one document, with one share of time.

    Args:
        patterns: See the module.
        field: The request's field that they came from, for the error.

    Raises:
        UnsupportedOptionError: One of them is not a regular expression, or is too long.
    """

    def __init__(self, patterns: Sequence[str], field: str = "patterns") -> None:
        self._field = field
        self._patterns = [(pattern, self._compiled(pattern)) for pattern in patterns]
        self._left_s = _TIME_S

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of all that they match.

        Raises:
            UnsupportedOptionError: They take too long.
        """
        for pattern, compiled in self._patterns:
            started_s = time.thread_time()
            try:
                # The module refuses a timeout that is not positive.
                found = compiled.finditer(text, concurrent=True, timeout=max(self._left_s, 1e-6))
                yield from [each.span() for each in found]
            except TimeoutError:
                raise UnsupportedOptionError(
                    f"{self._field}: the regular expression {pattern!r} takes too long; simplify it", field=self._field
                ) from None
            self._left_s -= time.thread_time() - started_s

    def _compiled(self, pattern: str) -> regex.Pattern[str]:
        if len(pattern) > _MAX_CHARS:
            raise UnsupportedOptionError(
                f"{self._field}: a regular expression has {len(pattern)} characters; at most {_MAX_CHARS} are accepted",
                field=self._field,
            )
        try:
            return regex.compile(pattern)
        except (regex.error, RecursionError, OverflowError) as error:
            raise UnsupportedOptionError(
                f"{self._field}: {pattern!r} is not a regular expression: {error}", field=self._field
            ) from None
