"""From the configuration to a warm engine. The one place of the engine that reads settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from configs.schema import Settings
from pipelines.engine.checkpoint import Checkpoint, locate_checkpoint
from pipelines.engine.vocabulary import vocabulary_revision
from pipelines.errors import StartupError
from pipelines.protocols import Engine
from pipelines.types import Segment

if TYPE_CHECKING:
    from pipelines.engine.warmup import WarmupReport


def resolve_revision(settings: Settings) -> str:
    """Return what names the model's outputs in cache keys: checkpoint, engine, number format and vocabulary.

    Raises:
        StartupError: The checkpoint cannot be found; the message says what to do.
    """
    return _revision(settings, _locate(settings))


def load_configured_engine(settings: Settings, *, expected_revision: str | None = None) -> Engine:
    """Load the model that the settings name.

    Args:
        settings: The whole configuration.
        expected_revision: What `resolve_revision` said elsewhere; None takes whatever is found.

    Raises:
        StartupError: The model cannot be loaded, or is not the expected one.
    """
    from pipelines.engine.loading import load_engine

    _refuse_unsupported(settings)
    checkpoint = _locate(settings)
    revision = _revision(settings, checkpoint)
    if expected_revision not in {None, revision}:
        raise StartupError(
            f"{settings.model.name} is {revision} on this node and {expected_revision} where the application was "
            "built: give every node the same files",
            field="model.name",
        )
    return load_engine(
        checkpoint,
        engine=settings.model.engine,
        device=settings.model.device,
        dtype=settings.model.dtype,
        max_rows=settings.batching.max_rows,
        num_threads=settings.model.num_threads,
        max_length_ratio=settings.decoding.max_length_ratio,
        max_length_extra_tokens=settings.decoding.max_length_extra_tokens,
        memory_bound_bytes=settings.batching.memory_bound_bytes,
        vocabulary=settings.model.vocabulary,
        shortlist_file=settings.model.shortlist_file,
    )


def warm_up_configured(engine: Engine, settings: Settings) -> WarmupReport | None:
    """Translate the built-in and the configured samples and choose a token budget; None if switched off.

    Raises:
        StartupError: No translation came back.
    """
    if not settings.warmup.enabled:
        return None
    from pipelines.engine.warmup import warm_up

    samples = [Segment(each.text, each.source_lang, each.target_lang) for each in settings.warmup.samples]
    return warm_up(
        engine,
        samples,
        memory_bound_bytes=settings.batching.memory_bound_bytes,
        padded_token_budget=settings.batching.padded_token_budget,
    )


def _refuse_unsupported(settings: Settings) -> None:
    if settings.model.vocabulary != "full" and settings.model.engine != "inflight":
        raise StartupError(
            f"model.vocabulary is {settings.model.vocabulary!r}; the engine {settings.model.engine} accepts 'full', "
            "inflight accepts all",
            field="model.vocabulary",
        )
    if settings.model.default_adapters and settings.adapters.registry is None:
        raise StartupError(
            "model.default_adapters is set and adapters.registry is null: there is nothing to take them from",
            field="model.default_adapters",
        )
    if settings.model.default_adapters and settings.model.engine == "transformers":
        raise StartupError(
            "model.default_adapters needs model.engine 'inflight', not 'transformers'", field="model.default_adapters"
        )


def _locate(settings: Settings) -> Checkpoint | None:
    model = settings.model
    if model.engine == "identity":
        return None
    return locate_checkpoint(model.name, revision=model.revision, offline=model.offline)


def _revision(settings: Settings, checkpoint: Checkpoint | None) -> str:
    model = settings.model
    if checkpoint is None:
        return "identity"
    return ":".join(
        (checkpoint.revision, model.engine, model.dtype, vocabulary_revision(model.vocabulary, model.shortlist_file))
    )
