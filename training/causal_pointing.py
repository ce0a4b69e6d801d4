"""The loss of heads that are told where to look: at the token of the context that the reply says next.

Most replies are copied, so where their tokens stand in the context is known. Heads of the last layer are taught to attend
there (a pointer's loss, Vinyals et al. 2015, on attention that the model has anyway); what they read they copy from the
start (`causal_model`). Nothing of this is left in the model but what the heads have learnt.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from training.causal_batches import Batch

HEADS = 3  # of the layer, the first ones


class Pointing:
    """Keeps what the pointing layer is given, from one forward pass to the next."""

    def __init__(self, model: Qwen2ForCausalLM) -> None:
        self._layer = model.model.layers[-1]
        self._given: tuple[Tensor, tuple[Tensor, Tensor]] | None = None
        self._layer.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._given = (args[0], kwargs["position_embeddings"])

    def loss(self, batch: Batch) -> Tensor:
        """Minus the log of what the heads attend to the right places, a mean over targets and heads.

        Targets count as they do in the reply's loss. The batch must be the one of the last forward pass.
        """
        assert self._given is not None
        hidden, (cos, sin) = self._given
        inner, size = self._layer.self_attn, self._layer.self_attn.head_dim
        hidden = self._layer.input_layernorm(hidden)
        views = []
        for layer in (inner.q_proj, inner.k_proj):
            made = nn.functional.linear(hidden, layer.weight[: HEADS * size], layer.bias[: HEADS * size])
            views.append(made.view(*hidden.shape[:2], HEADS, size).transpose(1, 2))
        queries, keys = apply_rotary_pos_emb(*views, cos, sin)
        total, weight = torch.zeros(()), 1e-6
        for row, sources in enumerate(batch.sources):
            if not sources:
                continue
            targets = torch.tensor(list(sources))
            scores = (queries[row][:, targets - 1] @ keys[row].mT).float() * inner.scaling
            right = torch.zeros(scores.shape[1:], dtype=torch.bool)
            for k, spots in enumerate(sources.values()):
                right[k, spots] = True
            seen = batch.mask[row, 0, targets - 1]
            every = scores.masked_fill(~seen, -1e9).logsumexp(-1)
            there = scores.masked_fill(~right, -1e9).logsumexp(-1)
            weights = batch.weights[row, targets]
            total = total + ((every - there).mean(0) * weights).sum()
            weight += float(weights.sum())
        return total / weight
