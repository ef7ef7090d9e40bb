"""What text is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import InvalidTextError
from pipelines.text.validity import check_text


def test_lone_surrogate_is_refused_with_its_place() -> None:
    """The error names the field, the character and where it stands."""
    with pytest.raises(InvalidTextError, match=r"items\.3\.text .*U\+D83D at character 2") as refused:
        check_text("ab\ud83dc", "items.3.text")
    assert refused.value.field == "items.3.text"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_everything_else_is_accepted(text: str) -> None:
    """No string without surrogates is refused: not NUL, not controls, not unassigned characters."""
    check_text(text, "text")
