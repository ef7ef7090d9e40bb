"""The network whose step is one call against the one that runs operations as they come, on the same int8 weights."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipelines.engine.adapter_weights import read_adapter
from pipelines.engine.encoder import Encoder
from pipelines.engine.fused_encoder import FusedEncoder
from pipelines.engine.fused_network import FusedNetwork
from pipelines.engine.int8 import Int8Backend, has_fbgemm
from pipelines.engine.kernels.functions import Kernels
from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.lora import Adapter
from pipelines.engine.network import Network
from pipelines.engine.shape import ModelShape
from pipelines.engine.weights import Weights, assemble, prepare
from tests.tiny_adapter import ATTENTION, FEED_FORWARD, make_tiny_adapter
from tests.tiny_model import make_tiny_checkpoint
from tests.unit.pipelines.engine.needs import KERNELS
from tests.unit.pipelines.engine.reference import load_reference

CPU = torch.device("cpu")
SHAPES = (
    {"d_model": 32, "heads": 2, "layers": 2, "ffn": 16},
    {"d_model": 128, "heads": 2, "layers": 3, "ffn": 256},
    {"d_model": 128, "heads": 1, "layers": 1, "ffn": 64},
    {"d_model": 96, "heads": 2, "layers": 1, "ffn": 48},
)
EVERYWHERE = [*ATTENTION, *FEED_FORWARD]
ADAPTERS: tuple[dict[str, Any], ...] = (
    {"r": 4, "lora_alpha": 8},
    {"r": 3, "lora_alpha": 6, "use_dora": True, "target_modules": EVERYWHERE},
    {"r": 12, "lora_alpha": 20, "layers_to_transform": [0], "target_modules": ["out_proj", "fc1"]},
)
SOURCES = [[210, 7, 8, 9, 2], [211, 5, 2], [212, *range(4, 40), 2], [213, 11, 12, 2]]
# Numbers that differ in their last bit may be rounded to different integers, of which 127 are the largest magnitude.
TOLERANCE = 0.03


@dataclass
class Model:
    """A random network and adapters to it."""

    weights: Weights
    shape: ModelShape
    adapters: list[Adapter]
    kernels: Kernels

    @classmethod
    def make(cls, folder: Path, sizes: dict[str, int], kernels: Kernels) -> Model:
        """Make one in a folder."""
        checkpoint = make_tiny_checkpoint(folder / "base", **sizes)
        model = load_reference(checkpoint)
        shape, backend = ModelShape.from_config(model.config), Int8Backend(kernels)
        state = model.state_dict()
        weights = assemble(dict(prepare(state, shape, backend)), shape, backend)
        adapters = [
            read_adapter(
                make_tiny_adapter(folder / str(seed), checkpoint, seed=seed, **config),
                shape=shape,
                dtype=torch.float32,
                device=CPU,
                base=lambda: state,
            )
            for seed, config in enumerate(ADAPTERS)
        ]
        return cls(weights, shape, adapters, kernels)

    def steps(self, network: Network, widths: list[int], adapters: list[Adapter | None], dtype: torch.dtype) -> Tensor:
        """Return the outputs of four steps, the second source one step late, `[rows of all steps, d_model]`."""
        return self.aligned_steps(network, widths, adapters, dtype, align=False)[0]

    def aligned_steps(
        self,
        network: Network,
        widths: list[int],
        adapters: list[Adapter | None],
        dtype: torch.dtype,
        *,
        align: bool = True,
    ) -> tuple[Tensor, list[int]]:
        """Return what `steps` returns, and which token of its source each of these rows attends to most."""
        cache = KeyValueCache(self.shape, dtype, CPU)
        of_groups = adapters[: len(widths)]
        joined = Network(self.weights, self.shape)  # so that both read the same
        outputs, most = [], []
        for step in range(4):
            if step == 0:
                joined.join(SOURCES[:1], of_groups[:1], widths[:1], cache)
            if step == 1 and len(widths) > 1:
                joined.join(SOURCES[1 : len(widths)], of_groups[1:], widths[1:], cache)
            of_rows = [a for a, w in zip(of_groups, cache.widths, strict=False) for _ in range(w)]
            tokens = [4 + (step * 7 + row) % 90 for row in range(cache.num_rows)]
            hidden, attended = network.step(tokens, cache, of_rows, align=align)
            assert (attended is not None) == align
            cache.advance()
            outputs.append(hidden.clone())
            most += [] if attended is None else attended.tolist()
        return torch.cat(outputs), most


@pytest.fixture(scope="module", params=KERNELS, ids=lambda kernels: kernels.name)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """Return each that this machine can run."""
    of_machine: Kernels = request.param
    return of_machine


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: f"d{shape['d_model']}-{shape['heads']}")
def model(request: pytest.FixtureRequest, kernels: Kernels, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Return a random network of each shape."""
    return Model.make(tmp_path_factory.mktemp("fused"), request.param, kernels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("widths", [[1], [1, 1, 1, 1], [4, 1, 2], [9, 9]])
def test_rows_are_those_of_the_network(model: Model, widths: list[int], dtype: torch.dtype) -> None:
    """Rows of many positions, sources and widths, keys and values in every format."""
    _assert_alike(model, widths, [None] * 4, dtype)


def test_rows_of_many_adapters_and_of_none(model: Model) -> None:
    """LoRA of several ranks and targets, and DoRA, row by row."""
    one, two, three = model.adapters
    _assert_alike(model, [1, 3, 1, 2], [one, two, None, three], torch.float32)
    _assert_alike(model, [2, 1, 1, 2], [two, one, two, None], torch.float32)


@pytest.mark.parametrize("lengths", [[3], [1, 2, 40, 17], [60, 16, 4, 15]])
def test_sources_are_those_of_the_encoder(model: Model, lengths: list[int]) -> None:
    """Of all lengths, one in a batch or many, with adapters and without."""
    sources = [[4 + (5 * index + place) % 200 for place in range(length)] for index, length in enumerate(lengths)]
    one, two, three = model.adapters
    for adapters in ([None] * 4, [one, two, None, three]):
        of_sources = adapters[: len(sources)]
        expected = Encoder(model.weights, model.shape)(sources, of_sources)
        actual = _fused_encoder(model)(sources, of_sources)
        assert (actual - expected).norm(dim=1).max() < TOLERANCE * expected.norm(dim=1).mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_rows_attend_to_of_sources_is_the_networks(model: Model, dtype: torch.dtype) -> None:
    """Keys and values in every format, behind those of sources that were there before, with adapters and without."""
    one, two, three = model.adapters
    for adapters in ([None] * 4, [one, two, None, three]):
        caches = []
        for network in (Network(model.weights, model.shape), _fused(model)):
            cache = KeyValueCache(model.shape, dtype, CPU)
            network.join(SOURCES[:1], adapters[:1], [2], cache)
            network.join(SOURCES[1:], adapters[1:], [1, 1, 3], cache)
            caches.append(cache)
        expected, actual = caches
        assert actual.source_lengths == expected.source_lengths == [len(source) for source in SOURCES]
        assert actual.widths == expected.widths == [2, 1, 1, 3]
        differences = (actual.cross_kv.float() - expected.cross_kv.float()).flatten(0, 1).norm(dim=-1)
        assert differences.max() < TOLERANCE * expected.cross_kv.float().norm(dim=-1).max()


def test_a_source_is_the_same_in_any_company(model: Model) -> None:
    """To the last bit, and with any number of threads."""
    sources = [[*range(4, 60)], [7], [*range(30, 47)]]
    encoder = _fused_encoder(model)
    before = torch.get_num_threads()
    outputs = []
    for num_threads in (1, 3):
        torch.set_num_threads(num_threads)
        outputs += [encoder(sources, [None] * 3), torch.cat([encoder([source], [None]) for source in sources])]
    torch.set_num_threads(before)
    assert all(torch.equal(output, outputs[0]) for output in outputs)


def test_threads_change_nothing(model: Model) -> None:
    """To the last bit."""
    network = _fused(model)
    outputs = []
    before = torch.get_num_threads()
    for num_threads in (1, 2, 3):
        torch.set_num_threads(num_threads)
        outputs.append(model.steps(network, [4, 1, 2], [None, model.adapters[1], None], torch.bfloat16))
    torch.set_num_threads(before)
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_a_profile_names_what_it_is(model: Model) -> None:
    """Or an operator would see nothing where all the time goes."""
    with torch.profiler.profile() as profile:
        model.steps(_fused(model), [1], [None], torch.float32)
    assert "nllb::decoder_step" in {event.key for event in profile.key_averages()}
    with torch.profiler.profile() as profile:
        _fused(model).join(SOURCES, [None] * 4, [1] * 4, KeyValueCache(model.shape, torch.float32, CPU))
    assert {"nllb::encode", "nllb::cross_memory"} <= {event.key for event in profile.key_averages()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_the_rows_attend_to_is_told(model: Model, dtype: torch.dtype) -> None:
    """As the network tells it, of groups of many widths, with adapters and without."""
    one, two, _ = model.adapters
    for adapters in ([None] * 4, [one, None, two, one]):
        _, expected = model.aligned_steps(Network(model.weights, model.shape), [4, 1, 2, 1], adapters, dtype)
        _, actual = model.aligned_steps(_fused(model), [4, 1, 2, 1], adapters, dtype)
        # Where two tokens are attended to nearly alike, rounding decides.
        assert sum(a == e for a, e in zip(actual, expected, strict=True)) > 0.9 * len(expected)


def test_who_asks_what_it_attends_to_changes_no_row(model: Model) -> None:
    """To the last bit: neither its own output nor its neighbours'."""
    widths, adapters = [4, 1, 2], [None, model.adapters[1], None]
    aligned, _ = model.aligned_steps(_fused(model), widths, adapters, torch.float16)
    assert torch.equal(aligned, model.steps(_fused(model), widths, adapters, torch.float16))


def test_an_adapter_is_not_kept(model: Model) -> None:
    """Once it is unloaded its memory is free, even if no step follows."""
    adapter = Adapter(model.adapters[0].rank, model.adapters[0].layers)
    network, cache = _fused(model), KeyValueCache(model.shape, torch.float32, CPU)
    network.join(SOURCES[:1], [adapter], [1], cache)
    network.step([5], cache, [adapter])
    remembered = weakref.ref(adapter)
    del adapter
    gc.collect()
    assert remembered() is None


@pytest.mark.skipif(len(KERNELS) < 2, reason="needs a processor that runs two of the kernels")
@pytest.mark.parametrize("sizes", SHAPES)
def test_processors_give_the_same_numbers(tmp_path: Path, sizes: dict[str, int]) -> None:
    """To the last bit: replicas on other machines give the same translations."""
    models = [Model.make(tmp_path / kernels.name, sizes, kernels) for kernels in KERNELS]
    adapters = models[0].adapters[1], None, models[0].adapters[0], None
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        first, *others = [model.steps(_fused(model), [4, 1, 2, 1], [*adapters], dtype) for model in models]
        assert all(torch.equal(first, other) for other in others)
    caches = [KeyValueCache(model.shape, torch.float16, CPU) for model in models]
    for model, cache in zip(models, caches, strict=True):
        _fused(model).join(SOURCES, [*adapters], [1] * 4, cache)
    assert all(torch.equal(cache.cross_kv, caches[0].cross_kv) for cache in caches)


@pytest.mark.skipif(not has_fbgemm(), reason="needs a product that takes them")
def test_other_layers_are_not_taken(tmp_path: Path, kernels: Kernels) -> None:
    """A head of eight numbers, or inputs of eight, are not what the kernels read."""
    for sizes in ({"d_model": 32, "heads": 4, "ffn": 32}, {"d_model": 32, "heads": 1, "ffn": 40}):
        model = Model.make(tmp_path / str(sizes["heads"]), sizes, kernels)
        assert not FusedNetwork.is_possible(model.weights, model.shape)


def _fused(model: Model) -> FusedNetwork:
    assert FusedNetwork.is_possible(model.weights, model.shape)
    return FusedNetwork(model.weights, model.shape, model.kernels)


def _fused_encoder(model: Model) -> FusedEncoder:
    return FusedEncoder(model.weights, model.shape, model.kernels)


def _assert_alike(model: Model, widths: list[int], adapters: list[Adapter | None], dtype: torch.dtype) -> None:
    expected = model.steps(Network(model.weights, model.shape), widths, adapters, dtype)
    actual = model.steps(_fused(model), widths, adapters, dtype)
    # Rows have a length of sqrt(d_model): they are normalised.
    assert (actual - expected).norm(dim=1).max() < TOLERANCE * expected.norm(dim=1).mean()
