"""A network whose joins and steps are recorded once for each size and replayed, for devices with slow launches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.engine.adapter_slots import AdapterSlots
from pipelines.engine.fixed_join import FixedJoin, JoinSizes
from pipelines.engine.fixed_step import FixedStep, StepSizes
from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.lora import Adapter
from pipelines.engine.network import Network, Stepped
from pipelines.engine.shape import ModelShape
from pipelines.engine.transfer import Inputs
from pipelines.engine.weights import Weights

_LOGGER = logging.getLogger(__name__)
_MOST_RECORDINGS = 512  # each keeps its launches, and what it computes in between shares one memory
_MOST_LINES = 8192  # of a recorded join; a larger one keeps a GPU busy while it is launched, and pads in vain

Outputs = tuple[Tensor, ...]
Recorder = Callable[[Callable[[], Outputs]], Callable[[], Outputs]]
"""Returns what does the same as a function, each time it is called, on what the same tensors hold then."""


@dataclass(frozen=True, slots=True)
class _Recording:
    inputs: Inputs
    replay: Callable[[], Outputs]


class RecordedNetwork(Network):
    """Gives what `Network` gives.

    Args:
        weights: Of the model.
        shape: Of the model.
        record: How operations are recorded.
    """

    def __init__(self, weights: Weights, shape: ModelShape, record: Recorder) -> None:
        super().__init__(weights, shape)
        self._shape = shape
        self._record = record
        self._device = weights.embedding.device
        self._dtype = weights.positions.dtype
        self._slots = AdapterSlots(weights)
        self._recordings: dict[JoinSizes | StepSizes, _Recording] = {}  # the one that was replayed last comes last
        self._read: tuple[Tensor, Tensor, int] | None = None  # what the recordings read: two memories, and the slots

    def join(
        self,
        sources: Sequence[Sequence[int]],
        adapters: Sequence[Adapter | None],
        widths: Sequence[int],
        cache: KeyValueCache,
    ) -> None:
        """See `Network`."""
        sizes = JoinSizes.of(sources, adapted=any(adapters))
        if sizes.num_lines > _MOST_LINES:
            super().join(sources, adapters, widths, cache)
            return
        lengths = [len(source) for source in sources]
        cache.make_room(lengths, widths)
        inputs = sizes.inputs(sources, self._slots.place(adapters), cache, self._shape)
        self._replay(sizes, inputs, cache, lambda tensor: self._join(tensor, sizes, cache))
        cache.append(lengths, widths)

    def step(
        self, tokens: Sequence[int], cache: KeyValueCache, adapters: Sequence[Adapter | None], *, align: bool = False
    ) -> Stepped:
        """See `Network`."""
        sizes = StepSizes.of(cache, align=align, adapted=any(adapters))
        cache.make_space(sizes.rows)
        inputs = sizes.inputs(tokens, self._slots.place(adapters), cache, self._shape)
        hidden, *attended = self._replay(sizes, inputs, cache, lambda tensor: self._step(tensor, sizes, cache))
        return hidden[: len(tokens)], attended[0][: len(tokens)] if align else None

    def _replay(
        self,
        sizes: JoinSizes | StepSizes,
        inputs: Sequence[int],
        cache: KeyValueCache,
        run: Callable[[Tensor], Outputs],
    ) -> Outputs:
        """Do what `run` does with the inputs."""
        self._forget_what_moved(cache)
        recording = self._recordings.pop(sizes, None)
        if recording is None:
            first = Inputs(inputs, self._device)
            recording = _Recording(first, self._recorded(lambda: run(first.tensor)))
        else:
            recording.inputs.write(inputs)
        self._recordings[sizes] = recording
        if len(self._recordings) > _MOST_RECORDINGS:
            del self._recordings[next(iter(self._recordings))]
        return recording.replay()

    def _forget_what_moved(self, cache: KeyValueCache) -> None:
        """Recordings read addresses."""
        now = (cache.self_kv, cache.cross_kv, self._slots.generation)
        then = self._read
        if then is None or then[0] is not now[0] or then[1] is not now[1] or then[2] != now[2]:
            self._recordings.clear()
            self._read = now

    def _recorded(self, run: Callable[[], Outputs]) -> Callable[[], Outputs]:
        try:
            return self._record(run)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            _LOGGER.exception("nothing can be recorded on %s; from now on steps are slower", self._device)
            self._record = _as_it_comes
            return run

    def _join(self, inputs: Tensor, sizes: JoinSizes, cache: KeyValueCache) -> Outputs:
        join = FixedJoin(inputs, sizes, self._shape, self._dtype)
        slots = join.slots if sizes.adapted else None
        encoded = self._encoder.run(join.ids, join.positions, join.sources, self._slots.encoder(slots))
        for memory, layer in zip(cache.cross_kv, self._slots.decoder(slots), strict=True):
            join.write(memory, layer.cross_kv(encoded).view(len(encoded), 2, self._shape.num_decoder_heads, -1))
        return ()

    def _step(self, inputs: Tensor, sizes: StepSizes, cache: KeyValueCache) -> Outputs:
        step = FixedStep(inputs, sizes, cache, self._shape, self._dtype)
        hidden, attended = self._decoder.run(step, self._slots.decoder(step.slots if sizes.adapted else None))
        return (hidden,) if attended is None else (hidden, attended)


def _as_it_comes(run: Callable[[], Outputs]) -> Callable[[], Outputs]:
    return run
