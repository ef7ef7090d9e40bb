"""The cache's key: equal exactly when the output must be equal."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cache.key import segment_key
from pipelines.types import DecodingOptions, Segment

REVISION = "0f3a"
SEGMENT = Segment(text="Hello.", source_lang="eng_Latn", target_lang="fra_Latn")
# Every code point, lone surrogates included: a key is asked for before anybody knows that the text is valid.
any_text = st.text(st.characters(exclude_categories=()))
decodings = st.builds(
    DecodingOptions,
    num_beams=st.integers(1, 8),
    max_new_tokens=st.none() | st.integers(1, 512),
    length_penalty=st.floats(0, 2),
    repetition_penalty=st.floats(1, 2),
)
segments = st.builds(
    Segment,
    text=any_text,
    source_lang=any_text,
    target_lang=any_text,
    adapter=st.none() | any_text,
    decoding=decodings,
    priority=st.integers(),
    deadline_s=st.none() | st.floats(0, 2e9),
)


def _what_decides(segment: Segment, revision: str) -> tuple[object, ...]:
    return (replace(segment, priority=0, deadline_s=None), revision)


@given(segments, any_text, segments, any_text, st.sets(st.sampled_from([each.name for each in fields(Segment)])))
def test_keys_are_equal_exactly_when_all_that_decides_is(
    one: Segment, one_revision: str, another: Segment, other_revision: str, differing: set[str]
) -> None:
    """Two segments share a key if and only if nothing that decides the output differs."""
    other = replace(one, **{name: getattr(another, name) for name in differing})
    other_revision = other_revision if len(differing) % 2 else one_revision
    same = _what_decides(one, one_revision) == _what_decides(other, other_revision)
    assert (segment_key(one, one_revision) == segment_key(other, other_revision)) == same


@given(segments, st.integers(), st.none() | st.floats(0, 2e9))
def test_when_a_segment_is_translated_is_no_part_of_its_key(
    segment: Segment, priority: int, deadline: float | None
) -> None:
    """Priority and deadline leave the key as it is."""
    hurried = replace(segment, priority=priority, deadline_s=deadline)
    assert segment_key(hurried, REVISION) == segment_key(segment, REVISION)


@pytest.mark.parametrize(
    "other",
    [
        replace(SEGMENT, text="Hello"),
        replace(SEGMENT, source_lang="spa_Latn"),
        replace(SEGMENT, target_lang="spa_Latn"),
        replace(SEGMENT, source_lang="fra_Latn", target_lang="eng_Latn"),
        replace(SEGMENT, adapter="medical@3"),
        *(
            replace(SEGMENT, decoding=replace(SEGMENT.decoding, **{option.name: 7}))
            for option in fields(DecodingOptions)
        ),
    ],
)
def test_each_part_that_decides_changes_the_key(other: Segment) -> None:
    """Text, either language, adapter version and every decoding option are in the key."""
    assert segment_key(other, REVISION) != segment_key(SEGMENT, REVISION)


def test_the_base_model_changes_the_key() -> None:
    """Another revision of the base model answers nothing of this one."""
    assert segment_key(SEGMENT, "another") != segment_key(SEGMENT, REVISION)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (replace(SEGMENT, text='a","text":"b'), replace(SEGMENT, text="a")),
        (replace(SEGMENT, text="\ud83d\ude00"), replace(SEGMENT, text="\U0001f600")),
        (replace(SEGMENT, text="\\ud83d"), replace(SEGMENT, text="\ud83d")),
        (replace(SEGMENT, text="\ud83d"), replace(SEGMENT, text="?")),
        (replace(SEGMENT, adapter="null"), replace(SEGMENT, adapter=None)),
        (
            replace(SEGMENT, source_lang="a|b", target_lang="c"),
            replace(SEGMENT, source_lang="a", target_lang="b|c"),
        ),
    ],
)
def test_no_content_imitates_the_form(one: Segment, other: Segment) -> None:
    """A text cannot look like a separator, a quote, an escape or an absent value."""
    assert segment_key(one, REVISION) != segment_key(other, REVISION)


def test_the_key_is_the_same_in_every_process() -> None:
    """Replicas and restarts share entries; a value that changes without need empties every cache."""
    assert segment_key(SEGMENT, REVISION) == "1504a9d6ad25e538c43c3d0be297bdfa5bf207e6a96e529dcf9c32cd11d0e338"
