"""The loss in slices equals the loss in one piece, and so do its gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from train import loss as module
from train.loss import summed_cross_entropy


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("tokens_per_slice", [1, 3, 100])
def test_slices_change_nothing(monkeypatch: pytest.MonkeyPatch, label_smoothing: float, tokens_per_slice: int) -> None:
    """Loss, gradient of the hidden states and gradient of the output layer are torch's own, for any slice."""
    monkeypatch.setattr(module, "_LOGITS_PER_SLICE", 50 * tokens_per_slice)
    torch.manual_seed(0)
    hidden, weight, labels = torch.randn(8, 6), torch.randn(50, 6), torch.randint(50, (8,))
    results = []
    for function in (
        lambda h, w: cross_entropy(h @ w.T, labels, reduction="sum", label_smoothing=label_smoothing),
        lambda h, w: summed_cross_entropy(h, w, labels, label_smoothing),
    ):
        leaves = [each.clone().requires_grad_() for each in (hidden, weight)]
        loss = function(*leaves)
        (3 * loss).backward()
        results.append([loss.detach(), *(each.grad for each in leaves)])
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected)


def test_a_frozen_output_layer_gets_no_gradient() -> None:
    """And without any gradient asked for, the loss is the same."""
    torch.manual_seed(0)
    hidden, weight, labels = torch.randn(4, 6, requires_grad=True), torch.randn(50, 6), torch.randint(50, (4,))
    loss = summed_cross_entropy(hidden, weight, labels)
    loss.backward()
    assert weight.grad is None
    assert hidden.grad is not None
    with torch.no_grad():
        torch.testing.assert_close(summed_cross_entropy(hidden, weight, labels), loss.detach())
