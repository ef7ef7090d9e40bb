"""Where tags go in a translation."""

from __future__ import annotations

import pytest

from pipelines.text.passage import Tag
from pipelines.text.placing import place_tags
from pipelines.types import Link

SOURCE, OUTPUT = "The red house is big.", "La casa roja es grande."
LINKS = [Link(0, 2, 0, 3), Link(3, 7, 8, 13), Link(8, 12, 4, 7), Link(13, 15, 14, 16), Link(16, 22, 17, 20)]


def placed(*tags: tuple[int, str], links: list[Link] = LINKS, renderings: dict[str, str] | None = None) -> str | None:
    """The output with its tags, given as (offset in the source, raw)."""
    listed = [
        Tag(offset, raw, "close" if raw[1] == "/" else "single" if raw.endswith("/>") else "open", raw.strip("</>"))
        for offset, raw in tags
    ]
    places = place_tags(SOURCE, OUTPUT, listed, renderings or {}, links)
    if places is None:
        return None
    written, position = "", 0
    for tag, offset in places:
        written += OUTPUT[position:offset] + listed[tag].raw
        position = offset
    return written + OUTPUT[position:]


@pytest.mark.parametrize(
    "known", [{"links": LINKS}, {"links": [], "renderings": {"red": "Roja.", "red house": "casa roja"}}]
)
def test_tags_follow_their_words(known: dict[str, object]) -> None:
    """By the words that attended to the content, or by its translation; nested as in the source."""
    assert placed((4, "<b>"), (7, "</b>"), **known) == "La casa <b>roja</b> es grande."  # type: ignore[arg-type]
    nested = placed((4, "<a>"), (4, "<b>"), (7, "</b>"), (13, "</a>"), **known)  # type: ignore[arg-type]
    assert nested == "La <a>casa <b>roja</b></a> es grande."


def test_marks_stay_outside() -> None:
    """The full stop behind an element's last word is not the element's."""
    assert placed((17, "<b>"), (20, "</b>")) == "La casa roja es <b>grande</b>."


def test_elements_that_meet_are_closed_before_the_next_opens() -> None:
    """Word order changes, nesting does not."""
    assert placed((4, "<b>"), (7, "</b>"), (8, "<i>"), (13, "</i>")) == "La <i>casa</i> <b>roja</b> es grande."


def test_words_that_were_torn_apart_have_no_place() -> None:
    """Another word between the element's words: not placed rather than wrong."""
    torn = [Link(0, 2, 0, 3), Link(3, 7, 4, 7), Link(8, 12, 17, 20), Link(13, 15, 4, 7)]
    assert placed((4, "<b>"), (7, "</b>"), links=torn) is None
    assert placed((4, "<b>"), (7, "</b>"), links=[]) is None


def test_what_has_no_words_stays_in_its_element() -> None:
    """An icon at an end of a link is still inside it, whatever else begins or ends there."""
    assert placed((4, "<a>"), (7, "<x/>"), (7, "</a>")) == "La casa <a>roja<x/></a> es grande."
    assert placed((4, "<a>"), (4, "<i>"), (4, "</i>"), (7, "</a>")) == "La casa <a><i></i>roja</a> es grande."
    nested = placed((4, "<a>"), (4, "<x/>"), (4, "<b>"), (7, "</b>"), (7, "<y/>"), (7, "</a>"))
    assert nested == "La casa <a><x/><b>roja</b><y/></a> es grande."
    assert placed((17, "<a>"), (17, "<x/>")) == "La casa roja es <a><x/>grande."


def test_what_has_no_words_keeps_its_share_of_the_way() -> None:
    """A single tag and an empty element stand between words, together."""
    assert placed((8, "<x/>")) == "La casa <x/>roja es grande."
    assert "<b></b>" in str(placed((8, "<b>"), (8, "</b>")))
