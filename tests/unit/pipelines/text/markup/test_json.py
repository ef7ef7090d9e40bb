"""Which strings of a JSON document are language, however it was written; and that nothing else changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import UnsupportedOptionError
from pipelines.text.markup.json_values import find_values
from pipelines.translate import TranslationPipeline
from pipelines.types import TranslationRequest
from tests.fakes_text import DictionaryStation, shout
from tests.markup_texts import DOCUMENTS


async def test_string_values_are_translated() -> None:
    """Keys, numbers, spacing and escapes stay."""
    source = '{ "key one": "word", "n": 1.50, "list": ["a b", true, {"x": "li\\nne \\u00e9"}] }'
    result = await shout(source, "json")
    assert result.text == '{ "key one": "WORD", "n": 1.50, "list": ["A B", true, {"x": "LI\\nNE \\u00c9"}] }'
    assert result.notices == ()


@pytest.mark.parametrize(
    ("pointers", "expected"),
    [
        ({"json_include": ("/a",)}, '{"a": "ONE", "b": {"a": "two", "c/d": ["three"]}}'),
        ({"json_include": ("/b",), "json_exclude": ("/b/a",)}, '{"a": "one", "b": {"a": "two", "c/d": ["THREE"]}}'),
        ({"json_include": ("/b/c~1d/0",)}, '{"a": "one", "b": {"a": "two", "c/d": ["THREE"]}}'),
        ({"json_include": ("/*/a",)}, '{"a": "one", "b": {"a": "TWO", "c/d": ["three"]}}'),
        ({"json_exclude": ("",)}, '{"a": "one", "b": {"a": "two", "c/d": ["three"]}}'),
    ],
)
async def test_pointers(pointers: dict[str, tuple[str, ...]], expected: str) -> None:
    """Pointers choose values with all that is inside them; excluding wins."""
    result = await shout('{"a": "one", "b": {"a": "two", "c/d": ["three"]}}', "json", **pointers)
    assert (result.text, result.notices) == (expected, ())


async def test_a_pointer_that_leads_nowhere_is_told() -> None:
    """A misspelt pointer is not silence: a warning names each."""
    result = await shout('{"title": "one", "n": 1}', "json", json_include=("/titel", "/title"), json_exclude=("/n",))
    assert result.text == '{"title": "ONE", "n": 1}'
    assert [(each.code, each.message.partition(" leads")[0]) for each in result.notices] == [
        ("unmatched_pointer", "json_include: '/titel'"),
        ("unmatched_pointer", "json_exclude: '/n'"),
    ]


@pytest.mark.parametrize("pointer", ["a", "/a~", "/a~2b", "#/a", "$.a"])
async def test_what_is_no_pointer_is_refused(pointer: str) -> None:
    """It would choose the whole document, or nothing."""
    with pytest.raises(UnsupportedOptionError, match="is not a JSON pointer") as refused:
        await shout('{"a": "one"}', "json", json_include=(pointer,))
    assert refused.value.field == "json_include"


@pytest.mark.parametrize(
    ("source", "expected", "says"),
    [
        ('{"a": "one", // "b"\n /* "c" */ "d": "two"}', '{"a": "ONE", // "b"\n /* "c" */ "d": "TWO"}',
         "a comment at line 1, column 14"),
        ('{\n "a": ["one", ],\n}', '{\n "a": ["ONE", ],\n}', "a comma before an end at line 2, column 15"),
        ("{a: 'it\\'s \"one\"', $b: +1, 'c': .5}", "{a: 'IT\\'S \"ONE\"', $b: +1, 'c': .5}",
         "a bare word at line 1, column 2"),
        ('{"a": NaN, "b": "one"}', '{"a": NaN, "b": "ONE"}', "a bare word at line 1, column 7"),
        ('{"a": "one"}\n{"a": "two"}\n', '{"a": "ONE"}\n{"a": "TWO"}\n', "another document at line 2, column 1"),
        ('["tab\there"]', '["TAB\tHERE"]', "a string that JSON does not allow at line 1, column 2"),
        ('{"a": "one", "b": {"c": "two', '{"a": "ONE", "b": {"c": "two', "a value at line 1, column 25"),
        ('{"a": "one"', '{"a": "ONE"', "',' or an end at line 1, column 12"),
        ('{"a": "one",\n "b": "she said "two" to me", "c": "three"}',
         '{"a": "ONE",\n "b": "she said "two" to me", "c": "three"}', "',' or an end at line 2, column 18"),
        ('["one" "two"]', None, "',' or an end at line 1, column 8"),
        ('["one"}', None, "',' or an end at line 1, column 7"),
        ('["one": 1]', None, "',' or an end at line 1, column 7"),
        ('{"a" "one"}', None, "':' at line 1, column 6"),
        ('["C:\\dir", "one"]', '["C:\\dir", "ONE"]', "a string that JSON does not allow at line 1, column 2"),
        ("just words", None, "another document at line 1, column 6"),
        ("", None, "a value at line 1, column 1"),
        ("[" * 90_000 + '"one"', None, "a value at line 1, column 201"),
    ],
)  # fmt: skip
async def test_what_is_no_valid_json_is_never_repaired(source: str, expected: str | None, says: str) -> None:
    """Values that are certain are translated, all else comes back; a warning names the place. None: as it is."""
    result = await shout(source, "json")
    assert result.text == (source if expected is None else expected)
    assert {each.code for each in result.notices} == {"malformed_markup"}
    assert any(each.message.partition(";")[0].endswith(says) for each in result.notices), result.notices


async def test_a_byte_order_mark_is_no_fault() -> None:
    """Editors write one, parsers may ignore it (RFC 8259, section 8.1)."""
    result = await shout('\ufeff{"a": "one"}', "json")
    assert (result.text, result.notices) == ('\ufeff{"a": "ONE"}', ())


async def test_what_the_model_writes_is_escaped_as_the_string_wants_it() -> None:
    """A quote ends no string; a document in ASCII stays in ASCII."""
    station = DictionaryStation({"one": 'say "é" \\ it\'s'})
    for source, expected in (
        ('["one"]', '["say \\"\\u00e9\\" \\\\ it\'s"]'),
        ("['one']", "['say \"\\u00e9\" \\\\ it\\'s']"),
        ('["one", "É"]', '["say \\"é\\" \\\\ it\'s", "É"]'),
    ):
        result = await TranslationPipeline(station).translate(TranslationRequest(source, "en", "es", format="json"))
        assert result.text == expected


@given(DOCUMENTS["json"])
def test_valid_is_what_python_reads(text: str) -> None:
    """Neither departure nor fault: exactly the documents that Python's parser reads."""
    found = find_values(text)
    assert (found.departure is None and found.fault is None) == _is_valid(text)


@given(st.text('{}[],:"\\ax1 \n', max_size=12))
def test_valid_is_what_python_reads_of_marks(text: str) -> None:
    """Likewise of documents of a few marks."""
    found = find_values(text)
    assert (found.departure is None and found.fault is None) == _is_valid(text)


def _is_valid(text: str) -> bool:
    try:
        json.loads(text.removeprefix("\ufeff"), parse_constant=lambda name: [][0], parse_int=str)
    except (ValueError, IndexError):
        return False
    return True
