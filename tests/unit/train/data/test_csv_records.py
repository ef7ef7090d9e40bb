"""Records of CSV: several lines in quotes are one, and a quote that nobody closed costs its own line."""

from __future__ import annotations

import pytest

from train.data.csv_records import csv_records


def records(*lines: str) -> list[tuple[int, list[str] | None, str]]:
    """Read lines of two fields."""
    return list(csv_records((f"{line}\n" for line in lines), lambda fields: len(fields) == 2))


def test_a_field_may_go_over_lines() -> None:
    """The number is that of the record's last line; doubled quotes are one."""
    assert records('"a', 'b","c ""d"""', "e,f") == [(2, ["a\nb", 'c "d"'], '"a\n'), (3, ["e", "f"], "e,f\n")]


@pytest.mark.parametrize(
    "below",
    [
        ["good,1"] * 800,
        ["good,1"] * 5,
        ["good,1", '"quoted, text",2', "good,3"],
        ["good,1", 'it ends"', "good,3"],
    ],
    ids=["many", "few", "quoted", "closed-with-other-fields"],
)
def test_a_quote_that_is_not_closed_costs_one_line(below: list[str]) -> None:
    """What stands below is read, however far away the next quote is."""
    first, *others = records('"stray,0', *below)
    assert first == (1, None, '"stray,0\n')
    assert [number for number, _, _ in others] == [*range(2, 2 + len(below))]
    assert all(others[place][1] == below[place].split(",") for place in (0, -1))


def test_every_line_may_have_a_stray_quote() -> None:
    """Each is bad by itself."""
    assert [(number, fields) for number, fields, _ in records(*['"stray,0'] * 150)][:149] == [
        (number, None) for number in range(1, 150)
    ]


def test_a_quoted_beginning_is_read_as_text() -> None:
    """As other readers of CSV do."""
    assert records('"So" it goes,b') == [(1, ["So it goes", "b"], '"So" it goes,b\n')]
