"""Adapters of live rows side by side in tensors that stay where they are, for operations that are recorded.

A layer computes all slots for all rows, and zeros leave each row its own adapter's part: two small products, whichever
rows have which adapters (`lora` computes each adapter's rows alone, which is less work, and other work in every step).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pipelines.engine.footprint import power_of_two
from pipelines.engine.linear import Linear
from pipelines.engine.lora import Adapter, L, LayerKey, LowRank, Rescale
from pipelines.engine.weights import LINEARS, DecoderLayer, EncoderLayer, Weights

_LEAST_SLOTS = 4
_LEAST_RANK = 8


@dataclass(slots=True)
class _Layer:
    """One linear layer's slots; the modules that are fused in it have their own ranks.

    Attributes:
        down: `[modules, slots, rank, in_features]`.
        up: `[modules, slots, rank, out_features]`.
        rescale: `[slots + 1, out_features]` each, DoRA's; None if no adapter has it. The last row is of no adapter.
    """

    down: Tensor
    up: Tensor
    rescale: Rescale | None = None


class AdapterSlots:
    """Holds adapters in slots, and gives layers that add to each line what its slot says."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._dtype = weights.positions.dtype
        self._device = weights.embedding.device
        self._num_slots = _LEAST_SLOTS
        self._rank = _LEAST_RANK
        self._slot_of: dict[Adapter, int] = {}  # the one that was needed last comes last
        self._held: dict[LayerKey, _Layer] = {}
        self.generation = 0
        """Changes when `encoder` or `decoder` would return other operations or read other tensors."""

    def place(self, adapters: Sequence[Adapter | None]) -> list[int]:
        """Have adapters in slots, and return each one's, or the number of slots for None."""
        needed = list({adapter: None for adapter in adapters if adapter is not None})
        if any(adapter not in self._slot_of for adapter in needed):
            self._take_in(needed)
        for adapter in needed:
            self._slot_of[adapter] = self._slot_of.pop(adapter)
        return [self._num_slots if adapter is None else self._slot_of[adapter] for adapter in adapters]

    def encoder(self, slots: Tensor | None) -> Sequence[EncoderLayer]:
        """Return layers that treat each line by its slot, `slots [lines]`; None is the layers themselves."""
        return self._weights.encoder if slots is None else self._adapt(self._weights.encoder, "encoder", slots)

    def decoder(self, slots: Tensor | None) -> Sequence[DecoderLayer]:
        """See `encoder`."""
        return self._weights.decoder if slots is None else self._adapt(self._weights.decoder, "decoder", slots)

    def _adapt(self, layers: Sequence[L], side: str, slots: Tensor) -> list[L]:
        others = slots[:, None] != torch.arange(self._num_slots, device=slots.device).repeat_interleave(self._rank)
        of_others = {modules: others.repeat(1, modules) for modules in {len(held.down) for held in self._held.values()}}
        adapted = []
        for index, layer in enumerate(layers):
            changed: dict[str, Any] = {}
            for name in LINEARS[side]:
                held = self._held.get((side, index, name))
                if held is not None:
                    changed[name] = _SlottedLinear(getattr(layer, name), held, of_others[len(held.down)], slots)
            adapted.append(replace(layer, **changed))
        return adapted

    def _take_in(self, needed: list[Adapter]) -> None:
        """Give each adapter a slot, in place of ones not needed; rebuild all slots if they are too few or small."""
        num_slots = max(self._num_slots, power_of_two(len(needed)))
        rank = max(self._rank, *(power_of_two(adapter.rank) for adapter in needed))
        if (num_slots, rank) != (self._num_slots, self._rank):
            self._num_slots, self._rank = num_slots, rank
            self._slot_of, self._held = {}, {}
            self.generation += 1
        for adapter in needed:
            if adapter not in self._slot_of:
                self._fill(self._free_slot(needed), adapter)

    def _free_slot(self, needed: list[Adapter]) -> int:
        taken = set(self._slot_of.values())
        free = [slot for slot in range(self._num_slots) if slot not in taken]
        if free:
            return free[0]
        idle = next(adapter for adapter in self._slot_of if adapter not in needed)
        return self._slot_of.pop(idle)

    def _fill(self, slot: int, adapter: Adapter) -> None:
        for held in self._held.values():
            _clear(held, slot)
        for key, low_rank in adapter.layers.items():
            self._write(key, slot, low_rank)
        self._slot_of[adapter] = slot

    def _write(self, key: LayerKey, slot: int, low_rank: LowRank) -> None:
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = self._new_layer(key, low_rank)
            self.generation += 1
        if held.rescale is None and any(up.rescale is not None for up in low_rank.ups):
            shift = held.up.new_zeros(self._num_slots + 1, held.up.shape[-1])
            held.rescale = Rescale(factor=torch.ones_like(shift), shift=shift)
            self.generation += 1
        for up in low_rank.ups:
            rank, width = up.weight.shape
            module = up.columns.start // width
            held.down[module, slot, :rank] = low_rank.down[up.ranks]
            held.up[module, slot, :rank, up.columns] = up.weight
            if up.rescale is not None and held.rescale is not None:
                held.rescale.factor[slot, up.columns] = up.rescale.factor
                held.rescale.shift[slot, up.columns] = up.rescale.shift

    def _new_layer(self, key: LayerKey, low_rank: LowRank) -> _Layer:
        side, _, name = key
        modules = len(LINEARS[side][name])
        in_features, out_features = low_rank.down.shape[1], modules * low_rank.ups[0].weight.shape[1]
        down, up = (
            torch.zeros(modules, self._num_slots, self._rank, features, dtype=self._dtype, device=self._device)
            for features in (in_features, out_features)
        )
        return _Layer(down, up)


class _SlottedLinear:
    """A `Linear` that adds what each row's slot holds."""

    def __init__(self, base: Linear, held: _Layer, of_others: Tensor, slots: Tensor) -> None:
        self._base = base
        self._down = held.down.flatten(0, 2).t()
        self._up = held.up.flatten(0, 2)
        self._rescale = held.rescale
        self._of_others = of_others
        self._slots = slots

    def __call__(self, x: Tensor) -> Tensor:
        """See `Linear`."""
        y = self._base(x)
        if self._rescale is not None:
            factor = self._rescale.factor.index_select(0, self._slots)
            y = torch.addcmul(self._rescale.shift.index_select(0, self._slots), y, factor)
        return y.addmm_(torch.mm(x, self._down).masked_fill_(self._of_others, 0), self._up)


def _clear(held: _Layer, slot: int) -> None:
    held.down[:, slot] = 0
    held.up[:, slot] = 0
    if held.rescale is not None:
        held.rescale.factor[slot] = 1
        held.rescale.shift[slot] = 0
