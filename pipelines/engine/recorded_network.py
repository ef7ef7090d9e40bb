"""A decoder whose steps are recorded once for every size and replayed after that, for devices with slow launches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.engine.adapter_slots import AdapterSlots
from pipelines.engine.decoder import Decoder
from pipelines.engine.device import integers
from pipelines.engine.fixed_step import FixedStep, Sizes
from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.lora import Adapter
from pipelines.engine.shape import ModelShape
from pipelines.engine.weights import Weights

_LOGGER = logging.getLogger(__name__)
_MOST_RECORDINGS = 256

Stepped = tuple[Tensor, Tensor | None]
Recorder = Callable[[Callable[[], Stepped]], Callable[[], Stepped]]
"""Returns what does the same as a function, anew each time, on what the same tensors hold then."""


@dataclass(frozen=True, slots=True)
class _Recording:
    inputs: Tensor
    replay: Callable[[], Stepped]


class RecordedDecoder:
    """Does what a `Decoder` does.

    Args:
        weights: Of the model.
        shape: Of the model.
        record: How a step is recorded.
    """

    def __init__(self, weights: Weights, shape: ModelShape, record: Recorder) -> None:
        self._decoder = Decoder(weights, shape)
        self._weights = weights
        self._shape = shape
        self._record = record
        self._device = weights.embedding.device
        self._dtype = weights.positions.dtype
        self._slots = AdapterSlots(weights.decoder, shape, self._dtype, self._device)
        self._recordings: dict[Sizes, _Recording] = {}
        self._read: tuple[Tensor, Tensor, int] | None = None  # what the recordings read: two memories, and the slots

    def cross_keys_values(
        self, encoded: Tensor, adapters: Sequence[Adapter | None], source_lengths: Sequence[int]
    ) -> Iterator[Tensor]:
        """See `Decoder.cross_keys_values`."""
        return self._decoder.cross_keys_values(encoded, adapters, source_lengths)

    def step(
        self, tokens: Sequence[int], cache: KeyValueCache, adapters: Sequence[Adapter | None], *, align: bool = False
    ) -> Stepped:
        """See `Decoder.step`; what is returned is overwritten by the next step of the same size."""
        sizes = Sizes.of(cache, align=align, adapted=any(adapters))
        cache.make_space(sizes.rows)
        slots = self._slots.place(adapters)
        self._forget_what_moved(cache)
        recording = self._recordings.get(sizes)
        inputs = integers(sizes.inputs(tokens, slots, cache, self._shape), self._device)
        if recording is None:
            recording = self._recordings[sizes] = self._new_recording(sizes, cache, inputs)
        else:
            recording.inputs.copy_(inputs)
        hidden, attended = recording.replay()
        return hidden[: len(tokens)], None if attended is None else attended[: len(tokens)]

    def _forget_what_moved(self, cache: KeyValueCache) -> None:
        """Recordings read addresses."""
        now = (cache.self_kv, cache.cross_kv, self._slots.generation)
        then = self._read
        moved = then is None or then[0] is not now[0] or then[1] is not now[1] or then[2] != now[2]
        if moved or len(self._recordings) >= _MOST_RECORDINGS:
            self._recordings.clear()
            self._read = now

    def _new_recording(self, sizes: Sizes, cache: KeyValueCache, inputs: Tensor) -> _Recording:
        def run() -> Stepped:
            step = FixedStep(inputs, sizes, cache, self._shape, self._dtype)
            layers = self._slots.layers(step.slots) if sizes.adapted else self._weights.decoder
            return self._decoder.run(step, layers)

        try:
            return _Recording(inputs, self._record(run))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            _LOGGER.exception("a step cannot be recorded on %s; from now on steps are slower", self._device)
            self._record = _as_it_comes
            return _Recording(inputs, run)


def _as_it_comes(run: Callable[[], Stepped]) -> Callable[[], Stepped]:
    return run
