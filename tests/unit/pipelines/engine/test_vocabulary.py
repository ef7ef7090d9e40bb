"""Restricted outputs: which tokens a list has, and that a restriction is the full vocabulary under a mask, exactly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import regex
import torch
from transformers import M2M100ForConditionalGeneration

from pipelines.engine.linear import DenseBackend, Linear
from pipelines.engine.projection import Projection
from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.engine.vocabulary import (
    Vocabulary,
    load_vocabulary,
    script_token_ids,
    tokenizer_fingerprint,
    vocabulary_revision,
)
from pipelines.errors import StartupError
from pipelines.types import DecodingOptions
from tests.unit.pipelines.engine.reference import generate, load_reference, running_batch, weights_of
from tests.unit.pipelines.engine.test_batch import MANY_OPTIONS, make_requests, run_in_flight

MANY_LISTS = {
    "few": range(2, 14),  # fewer than a beam wants candidates
    "even": [2, *range(4, 190, 2)],
    "third": [2, *range(5, 190, 3)],
}


@pytest.fixture(scope="module")
def tokenizer(checkpoint_path: Path) -> SegmentTokenizer:
    """Return the tokenizer of the tiny checkpoint."""
    return SegmentTokenizer.from_checkpoint(checkpoint_path)


@pytest.fixture(scope="module")
def model(checkpoint_path: Path) -> M2M100ForConditionalGeneration:
    """Return a random network."""
    torch.set_num_threads(1)
    return load_reference(checkpoint_path)


@contextmanager
def masked(model: M2M100ForConditionalGeneration, allowed: frozenset[int]) -> Iterator[None]:
    """Let the reference score all tokens, and forbid those that are not allowed."""
    forbidden = torch.tensor([token not in allowed for token in range(model.config.vocab_size)])
    hook = model.lm_head.register_forward_hook(lambda module, inputs, logits: logits.masked_fill(forbidden, -torch.inf))
    try:
        yield
    finally:
        hook.remove()


def vocabulary_of(lists: dict[str, object]) -> Vocabulary:
    """Give each language one of the lists in turn, and one in four all tokens."""
    names = [*lists, None]
    by_language = {language: names[language % len(names)] for language in range(203, 406)}
    return Vocabulary(lists, {k: v for k, v in by_language.items() if v}, never_copied=[0, 1, 2, 3, *range(203, 406)])


@pytest.mark.parametrize("options", [MANY_OPTIONS[:1], MANY_OPTIONS], ids=["greedy", "mixed"])
def test_a_restriction_is_the_full_vocabulary_under_a_mask(
    model: M2M100ForConditionalGeneration, options: tuple[DecodingOptions, ...]
) -> None:
    """Rows of several lists and of none, in one batch: tokens and scores are those of `generate` under each's mask."""
    vocabulary = vocabulary_of(MANY_LISTS)
    requests = make_requests(24, options)
    outputs = run_in_flight(running_batch(model, vocabulary=vocabulary), requests)
    num_copying = 0
    for request in requests:
        name = vocabulary.list_name(request.target_lang_id)
        allowed = frozenset(range(model.config.vocab_size))
        if name is not None:
            allowed = vocabulary.copied(request.source) | frozenset(vocabulary.token_ids(name))
        with masked(model, allowed):
            expected = generate(model, request)
        for output, (tokens, score) in zip(outputs[request.key], expected, strict=True):
            assert output.tokens == tokens
            assert score is None or output.log_prob == pytest.approx(score, abs=1e-3)
            num_copying += name is not None and not set(tokens) <= set(vocabulary.token_ids(name))
    assert num_copying > 0, "no output copied from its source, so that was not tested"


@pytest.mark.parametrize("dtype", ["int8", "bfloat16"])
def test_a_list_of_all_tokens_changes_nothing(model: M2M100ForConditionalGeneration, dtype: str) -> None:
    """In small formats too, gathering rows of the output layer leaves every score as it was."""
    every = vocabulary_of({"all": range(model.config.vocab_size)})
    requests = make_requests(12, MANY_OPTIONS[:1])
    expected = run_in_flight(running_batch(model, dtype), requests)
    outputs = run_in_flight(running_batch(model, dtype, every), requests)
    assert {key: row[0].tokens for key, row in outputs.items()} == {key: row[0].tokens for key, row in expected.items()}


def test_a_script_has_its_letters_and_what_all_scripts_share(tokenizer: SegmentTokenizer) -> None:
    """No list has a letter of another script, a language or a special token; every one has digits and `</s>`."""
    lists = script_token_ids(tokenizer)
    texts = {token_id: piece for piece, token_id in tokenizer.pieces().items()}
    digits = set(tokenizer.encode_target(["0"])[0])
    for script, foreign in (("Deva", r"\p{Latin}"), ("Latn", r"\p{Devanagari}")):
        assert tokenizer.eos_id in lists[script]
        assert digits <= set(lists[script])
        assert not tokenizer.control_ids - {tokenizer.eos_id} & set(lists[script])
        assert not any(regex.search(foreign, texts[token_id]) for token_id in lists[script] if token_id > 3)
    assert set(tokenizer.encode_target(["नमस्ते, आप कैसे हैं?"])[0]) <= set(lists["Deva"])
    assert set(tokenizer.encode_target(["¿Dónde está?"])[0]) <= set(lists["Latn"])


def test_languages_of_one_script_share_a_list(tokenizer: SegmentTokenizer) -> None:
    """Hindi and Marathi have one list, English another; a source's own words may be copied, its language not."""
    vocabulary = load_vocabulary("script", tokenizer)
    ids = tokenizer.language_ids
    assert vocabulary.list_name(ids["hin_Deva"]) == vocabulary.list_name(ids["mar_Deva"]) == "Deva"
    assert vocabulary.list_name(ids["eng_Latn"]) == "Latn"
    assert vocabulary.copied([ids["eng_Latn"], 20, 21, 2]) == {20, 21}
    assert load_vocabulary("full", tokenizer).list_name(ids["hin_Deva"]) is None


def test_a_learned_list_is_of_its_tokenizer(tokenizer: SegmentTokenizer, tmp_path: Path) -> None:
    """A list is read with `</s>` added; of another tokenizer, or no list at all, it is refused with a way out."""
    file = tmp_path / "list.json"
    document = {"format": 1, "tokenizer": tokenizer_fingerprint(tokenizer), "tokens": {"hin_Deva": [9, 8]}}
    file.write_text(json.dumps(document))
    vocabulary = load_vocabulary("learned", tokenizer, file)
    name = vocabulary.list_name(tokenizer.language_ids["hin_Deva"])
    assert name is not None
    assert vocabulary.token_ids(name) == (2, 8, 9)
    assert vocabulary.list_name(tokenizer.language_ids["eng_Latn"]) is None
    for broken, message in (
        (json.dumps(document | {"tokenizer": "other"}), "counted with another tokenizer"),
        (json.dumps(document | {"format": 9}), "accepted is 1"),
        ("[]", "is not a shortlist"),
        ("{", "is not a shortlist"),
    ):
        file.write_text(broken)
        with pytest.raises(StartupError, match=message):
            load_vocabulary("learned", tokenizer, file)
    with pytest.raises(StartupError, match="cannot be read"):
        load_vocabulary("learned", tokenizer, tmp_path / "nothing")


def test_revisions_tell_vocabularies_apart(tmp_path: Path) -> None:
    """Outputs under another vocabulary, or another list, are no cache hits."""
    files = [tmp_path / name for name in "ab"]
    for file in files:
        file.write_text(file.name)
    revisions = [vocabulary_revision("full"), vocabulary_revision("script")]
    revisions += [vocabulary_revision("learned", file) for file in files]
    assert len(set(revisions)) == len(revisions)


def test_idle_copies_are_packed_away(model: M2M100ForConditionalGeneration) -> None:
    """Whatever sources came before, a row's output is its own."""
    vocabulary = vocabulary_of(MANY_LISTS)
    batch = running_batch(model, vocabulary=vocabulary)
    requests = [replace(request, max_new_tokens=3) for request in make_requests(60, MANY_OPTIONS[:1], seed=4)]
    first = run_in_flight(batch, requests[:1])
    run_in_flight(batch, requests)
    assert run_in_flight(batch, requests[:1]) == first


def test_copies_that_there_was_no_memory_for_are_packed_by_the_next(model: M2M100ForConditionalGeneration) -> None:
    """A failure leaves nothing half packed: rows after it have the scores that they would have had without it."""
    weights = weights_of(model, DenseBackend())
    memory = [True]

    def rows_of(tokens: torch.Tensor) -> Linear:
        if not memory[0]:
            raise torch.OutOfMemoryError
        return weights.lm_head_rows(tokens)

    hidden = torch.randn(1, model.config.d_model, generator=torch.Generator().manual_seed(0))
    vocabulary = vocabulary_of({"few": range(2, 14)})
    projection = Projection(replace(weights, lm_head_rows=rows_of), vocabulary)
    for copies in ([frozenset({20, 30})], [frozenset({40})]):
        memory[0] = False
        with pytest.raises(torch.OutOfMemoryError):
            projection("few", hidden, copies)
        memory[0] = True
        scores, columns = projection("few", hidden, copies)
        expected, expected_columns = Projection(weights, vocabulary)("few", hidden, copies)
        assert torch.equal(scores, expected)
        assert columns.of(range(50)) == expected_columns.of(range(50))
