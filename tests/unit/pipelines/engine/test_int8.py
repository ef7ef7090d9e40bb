"""Linear layers in int8, by each product that this CPU has."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipelines.engine.int8 import Int8Backend, has_fbgemm
from pipelines.engine.kernels.functions import Kernels
from pipelines.engine.linear import Linear
from pipelines.errors import StartupError
from tests.unit.pipelines.engine.needs import KERNELS, with_each_kernels

PRODUCTS: list[Kernels | None] = [*([None] if has_fbgemm() else []), *KERNELS]  # FBGEMM's, and ours
with_each_product = pytest.mark.parametrize("product", PRODUCTS, ids=lambda each: each.name if each else "FBGEMM")
# Of the largest output: half a step of 127 (FBGEMM without VNNI: of 63) for each of 256 inputs, added by chance.
TOLERANCE = 0.02 if torch.cpu._is_vnni_supported() else 0.04


@with_each_product
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_layer_is_its_float_layer_rounded(product: Kernels | None, nonnegative: bool, with_bias: bool) -> None:
    """`x @ weight.T + bias`, as exact as 8 bits are, for rows of any magnitude."""
    x, weight, bias = _numbers(nonnegative)
    exact = x @ weight.T + (bias if with_bias else 0)
    rounded = _layer(product, weight, bias if with_bias else None, nonnegative)(x)
    assert rounded.dtype == torch.float32
    scale = (x @ weight.T).abs().amax(1, keepdim=True)
    assert ((rounded - exact).abs() / scale).max() < TOLERANCE


@with_each_product
def test_a_row_is_the_same_in_any_batch(product: Kernels | None) -> None:
    """But for the last bit: integer sums are exact, and no row's scale is its neighbours'."""
    x, weight, bias = _numbers(nonnegative=False)
    layer = _layer(product, weight, bias, nonnegative=False)
    together = layer(x)
    for row in range(len(x)):
        assert torch.allclose(together[row], layer(x[row : row + 1])[0], rtol=1e-6, atol=1e-6)


@with_each_product
def test_a_row_of_zeros_is_the_bias(product: Kernels | None) -> None:
    """Nothing is divided by zero."""
    _, weight, bias = _numbers(nonnegative=False)
    assert torch.allclose(_layer(product, weight, bias, nonnegative=False)(torch.zeros(2, 256)), bias)


@pytest.mark.skipif(not torch.cpu._is_vnni_supported(), reason="FBGEMM's activations have 7 bits")
@pytest.mark.parametrize("nonnegative", [False, True])
def test_all_products_round_alike(nonnegative: bool) -> None:
    """Whether a machine has the kernels changes its speed, not its translations."""
    x, weight, bias = _numbers(nonnegative)
    one, *others = [_layer(each, weight, bias, nonnegative)(x) for each in PRODUCTS]
    assert all(torch.allclose(one, other, rtol=1e-6, atol=1e-6) for other in others)


@with_each_kernels
@pytest.mark.parametrize("num_inputs", [16, 64, 80, 320])
@pytest.mark.parametrize("num_outputs", [1, 16, 37])
@pytest.mark.parametrize("num_rows", [1, 2, 7, 16, 17, 33, 50, 200])
def test_our_product_has_any_shape(kernels: Kernels, num_inputs: int, num_outputs: int, num_rows: int) -> None:
    """Blocks of outputs and parts of rows that are not full; inputs that fill the tiles of AMX, and that do not."""
    draw = torch.Generator().manual_seed(num_rows)
    weight, x = torch.randn(num_outputs, num_inputs, generator=draw), torch.randn(num_rows, num_inputs, generator=draw)
    stored, largest = Int8Backend(None).prepare(weight), x.abs().amax(1, keepdim=True)
    products = (x / largest * 127).round().double() @ stored["weight"].T.double()
    exact = products * stored["scale"] / 127 * largest
    actual = _layer(kernels, weight, None, nonnegative=False)(x).double()
    torch.testing.assert_close(actual, exact, rtol=1e-5, atol=1e-4)  # a step of the rounding is a hundred times as much


@with_each_product
def test_a_row_that_is_no_number_stays_so_and_spoils_no_other(product: Kernels | None) -> None:
    """Or a broken row would become a translation."""
    x, weight, bias = _numbers(nonnegative=False)
    layer = _layer(product, weight, bias, nonnegative=False)
    broken = x.clone()
    broken[3, 5] = torch.nan
    y = layer(broken)
    assert y[3].isnan().all()
    others = [row for row in range(len(x)) if row != 3]
    assert torch.equal(y[others], layer(x)[others])


@pytest.mark.skipif(has_fbgemm(), reason="FBGEMM takes them")
@with_each_kernels
def test_inputs_that_no_product_takes_are_refused(kernels: Kernels) -> None:
    """The setting, their number and what is accepted are named."""
    with pytest.raises(StartupError, match=r"model.dtype = 'int8': .* 40 inputs; .* multiples of 16"):
        _layer(kernels, torch.ones(2, 40), None, nonnegative=False)


def _numbers(nonnegative: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return 19 rows whose magnitudes are far apart, a weight, and a bias."""
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(19, 256, generator=draw) * torch.logspace(-3, 3, 19)[:, None]
    weight, bias = torch.randn(96, 256, generator=draw) * 0.05, torch.randn(96, generator=draw)
    return (x.relu() if nonnegative else x), weight, bias


def _layer(product: Kernels | None, weight: Tensor, bias: Tensor | None, nonnegative: bool) -> Linear:
    backend = Int8Backend(product)
    return backend.linear(backend.prepare(weight), bias, nonnegative_input=nonnegative)
