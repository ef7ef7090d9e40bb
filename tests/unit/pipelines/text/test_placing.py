"""Where tags go in a translation."""

from __future__ import annotations

import pytest

from pipelines.text.passage import Tag
from pipelines.text.placing import place_tags
from pipelines.types import Link

SOURCE, OUTPUT = "The red house is big.", "La casa roja es grande."
LINKS = [Link(0, 2, 0, 3), Link(3, 7, 8, 13), Link(8, 12, 4, 7), Link(13, 15, 14, 16), Link(16, 22, 17, 20)]


def placed(
    *tags: tuple[int, str],
    links: list[Link] = LINKS,
    renderings: dict[str, str] | None = None,
    source: str = SOURCE,
    output: str = OUTPUT,
) -> str | None:
    """The output with its tags, given as (offset in the source, raw)."""
    listed = [
        Tag(offset, raw, "close" if raw[1] == "/" else "single" if raw.endswith("/>") else "open", raw.strip("</>"))
        for offset, raw in tags
    ]
    places = place_tags(source, output, listed, renderings or {}, links)
    if places is None:
        return None
    written, position = "", 0
    for tag, offset in places:
        written += output[position:offset] + listed[tag].raw
        position = offset
    return written + output[position:]


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


def test_elements_that_only_end_here_are_closed_from_the_innermost() -> None:
    """Their opening tags are before the sentence: the tag that closes last is around the others."""
    assert placed((3, "</b>"), (3, "</a>"), links=[], renderings={"The": "La"}) == "La</b></a> casa roja es grande."
    whole = placed((0, "<b>"), (3, "</b>"), (3, "</a>"), links=[], renderings={"The": "La"})
    assert whole == "<b>La</b></a> casa roja es grande."


@pytest.mark.parametrize(
    ("source", "element", "output", "expected"),
    [
        ("Hi {name}", (3, 9), "{name}, HI", "<b>{name}</b>, HI"),
        ("Hi %1$s!", (3, 7), "HI %1$s!", "HI <b>%1$s</b>!"),
        ("see https://a.org/ now", (4, 18), "NOW SEE https://a.org/", "NOW SEE <b>https://a.org/</b>"),
        ("get 50% off", (4, 7), "GET 50% OFF", "GET <b>50%</b> OFF"),
        ("get 50% off", (4, 7), "GET 50 % OFF", "GET <b>50</b> % OFF"),
        ("so[1] it is", (2, 5), "SO[1] IT IS", "SO<b>[1]</b> IT IS"),
    ],
)
def test_marks_of_the_content_are_the_elements(
    source: str, element: tuple[int, int], output: str, expected: str
) -> None:
    """A placeholder, an address or a percentage is never cut by a tag; a mark that is elsewhere is left there."""
    start, end = element
    assert placed((start, "<b>"), (end, "</b>"), source=source, output=output, links=[]) == expected


@pytest.mark.parametrize(
    ("source", "element", "output", "expected"),
    [
        ("2 million on 105 km2", (19, 20), "2 MILLION ON 105 KM2", "2 MILLION ON 105 KM<b>2</b>"),
        ("2 million on 105 km2", (19, 20), "2 MILLION ON 105 KM²", None),
        ("drink H2O in 2012", (7, 8), "IN 2012 DRINK H2O", "IN 2012 DRINK H<b>2</b>O"),
        ("2024년 봄", (0, 4), "spring of 2024", "spring of <b>2024</b>"),
    ],
)
def test_a_part_of_a_word_is_found_in_a_word(
    source: str, element: tuple[int, int], output: str, expected: str | None
) -> None:
    """Or, as a word of its own, only where the source has no such word that it could be instead."""
    start, end = element
    assert placed((start, "<b>"), (end, "</b>"), source=source, output=output, links=[]) == expected


def test_a_number_goes_by_attention_to_the_same_number_alone() -> None:
    """A footnote's mark that the model left out attends to any word; a number is written otherwise at most."""
    source = "It is big.[1]"
    links = [Link(0, 2, 0, 2), Link(3, 9, 10, 13)]
    assert placed((10, "<a>"), (13, "</a>"), source=source, output="Es grande.", links=links) is None
    source, links = "It costs 1,250.50 today", [Link(0, 6, 0, 8), Link(7, 15, 9, 17), Link(16, 19, 18, 23)]
    euros = placed((9, "<b>"), (17, "</b>"), source=source, output="Cuesta 1.250,50 hoy", links=links)
    assert euros == "Cuesta <b>1.250,50</b> hoy"
