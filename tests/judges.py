"""A judge small enough to be checked by hand."""

from __future__ import annotations

import torch
from transformers import BertConfig, BertModel

from ctxproc.llm.judge_model import JudgeModel


def tiny_judge() -> JudgeModel:
    """A random judge of two layers, 16 wide, that knows 60 tokens and has no dropout; the same at every call."""
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=60, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **size)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = JudgeModel(BertModel(config, add_pooling_layer=False)).eval()
        for weight in (model.whole.weight, model.weigh.weight, model.lead):
            torch.nn.init.normal_(weight)
    return model
