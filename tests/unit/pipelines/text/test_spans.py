"""Places in a text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.spans import Span, cuts_any, merge_spans


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5))), st.integers(0, 20), st.integers(1, 10))
def test_what_cuts_a_place(places: list[tuple[int, int]], start: int, length: int) -> None:
    """A part of the text cuts a place if it has some of its characters, and not all of them."""
    spans = merge_spans([Span(first, first + num, "") for first, num in places])
    own = set(range(start, start + length))
    cut = any(own & (each := set(range(span.start, span.end))) and not each <= own for span in spans)
    assert cuts_any(start, start + length, [(span.start, span.end) for span in spans]) is cut
