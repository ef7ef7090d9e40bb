"""Expressions of a caller can do no harm."""

from __future__ import annotations

import pytest

from pipelines.errors import UnsupportedOptionError
from pipelines.text.patterns import Patterns
from pipelines.translate import TranslationPipeline
from pipelines.types import TranslationRequest, TranslationResult
from tests.fakes import ShoutingStation

EXPLODES = "(a|aa)+$"


@pytest.mark.parametrize("pattern", ["(", "[a", "a**", "(?P<n>a)(?P=m)", "(?<=a"])
def test_what_is_no_expression_is_refused(pattern: str) -> None:
    """The message names the field and the value."""
    with pytest.raises(UnsupportedOptionError, match="is not a regular expression") as refused:
        Patterns([pattern], "items.0.protect_patterns")
    assert refused.value.field == "items.0.protect_patterns"


def test_a_long_one_is_refused() -> None:
    """Compiling takes time and memory as well."""
    with pytest.raises(UnsupportedOptionError, match="has 1001 characters; at most 1000"):
        Patterns(["a" * 1001])


def test_one_that_explodes_is_stopped() -> None:
    """Exponential time is never spent."""
    with pytest.raises(UnsupportedOptionError, match="takes too long"):
        list(Patterns([EXPLODES]).find("a" * 5000 + "b"))


def test_all_parts_of_a_document_share_the_time() -> None:
    """What takes some milliseconds for one paragraph is stopped in a document of thousands."""
    patterns = Patterns([EXPLODES])

    def find_in_all() -> None:
        for _ in range(5000):
            list(patterns.find("a" * 24 + "b"))

    with pytest.raises(UnsupportedOptionError, match="takes too long"):
        find_in_all()


async def test_it_fails_its_item_alone() -> None:
    """Neighbours in a batch are translated."""
    bad = TranslationRequest("a" * 5000 + "b", "en", "es", keep_patterns=(EXPLODES,), field_prefix="items.0.")
    good = TranslationRequest("hello", "en", "es", keep_patterns=("h",), field_prefix="items.1.")
    refused, result = await TranslationPipeline(ShoutingStation()).translate_many([bad, good])
    assert isinstance(refused, UnsupportedOptionError)
    assert refused.field == "items.0.protect_patterns"
    assert isinstance(result, TranslationResult)
    assert result.text == "hELLO"
