"""The loss of sentence pairs, without ever holding the logits of a whole batch.

NLLB has 256 206 output tokens, so the logits of a few hundred target tokens outweigh all other activations. Here a
slice of tokens at a time goes through the output layer, the loss and the gradient of both, in one pass: what is kept
is the gradient with respect to the hidden states. The idea is of Liger Kernel (Hsu et al. 2024, arXiv:2410.10989).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_LOGITS_PER_SLICE = 2**24  # 64 MiB in float32
IGNORED = -100


class PairLoss(nn.Module):
    """A model of M2M100's architecture as a function from a batch of pairs to its summed loss.

    Args:
        model: `M2M100ForConditionalGeneration`, maybe with LoRA layers in it.
        label_smoothing: Share of probability spread over all tokens (Szegedy et al. 2016); evaluation has none.
    """

    def __init__(self, model: nn.Module, label_smoothing: float) -> None:
        super().__init__()
        self.model = model
        self._label_smoothing = label_smoothing

    def forward(self, source_ids: Tensor, source_mask: Tensor, decoder_ids: Tensor, labels: Tensor) -> Tensor:
        """Return the loss summed over the target tokens.

        Args:
            source_ids: `[pairs, source tokens]`.
            source_mask: Likewise; 1 where there is a token.
            decoder_ids: `[pairs, target tokens]`, beginning with `</s>` and the language.
            labels: Likewise; what follows each token, or `IGNORED`.
        """
        hidden = self.model.model(
            input_ids=source_ids, attention_mask=source_mask, decoder_input_ids=decoder_ids, use_cache=False
        ).last_hidden_state
        counted = labels.ne(IGNORED)
        smoothing = self._label_smoothing if self.training else 0.0
        return summed_cross_entropy(hidden[counted], self.model.lm_head.weight, labels[counted], smoothing)


def summed_cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy of `hidden @ weight.T` with label smoothing, summed over tokens.

    Args:
        hidden: `[tokens, width]`.
        weight: Of the output layer, `[vocabulary, width]`.
        labels: `[tokens]`, the right token of each.
        label_smoothing: See `PairLoss`.
    """
    if torch.is_autocast_enabled(hidden.device.type):
        hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
    loss: Tensor = _SlicedCrossEntropy.apply(hidden, weight, labels, label_smoothing)
    return loss


class _SlicedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
        of_hidden, of_weight = ctx.needs_input_grad[:2]
        hidden_grad = torch.empty_like(hidden) if of_hidden else None
        weight_grad = torch.zeros_like(weight) if of_weight else None
        vocabulary = len(weight)
        output_layer = weight.to(hidden.dtype)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        size = max(1, _LOGITS_PER_SLICE // vocabulary)
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(hidden), size):
                part, right = hidden[start : start + size], labels[start : start + size, None]
                logits = (part @ output_layer.T).float()
                normaliser = logits.logsumexp(-1, keepdim=True)
                total += (normaliser - (1 - label_smoothing) * logits.gather(-1, right)).sum()
                if label_smoothing:
                    total -= label_smoothing * logits.mean(-1).sum()
                if not (of_hidden or of_weight):
                    continue
                # The gradient of the logits: what the model says, less what it should say.
                error = logits.sub_(normaliser).exp_().sub_(label_smoothing / vocabulary)
                error.scatter_add_(-1, right, torch.full_like(right, label_smoothing - 1, dtype=error.dtype))
                error = error.to(hidden.dtype)
                if hidden_grad is not None:
                    torch.matmul(error, output_layer, out=hidden_grad[start : start + size])
                if weight_grad is not None:
                    weight_grad.addmm_(error.T.to(weight.dtype), part.to(weight.dtype))
        ctx.save_for_backward(*(grad for grad in (hidden_grad, weight_grad) if grad is not None))
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        grads = iter(ctx.saved_tensors)
        return *(next(grads) * outer[0] if needed else None for needed in ctx.needs_input_grad[:2]), None, None
