"""The small causal model before its training: a Qwen2 whose heads begin as what copying needs.

With random weights, heads that look a token up and copy what follows it form late, and not at all in the time that two
cores allow. So the dimensions of the stream begin with a meaning (`KNOWN` to `AROUND`): the embeddings fill the first of
them, and the first layer's heads write the token before, the second before and the average of the last twenty into the
others. The heads of the next layers compare these and copy: an induction head (Olsson et al. 2022) by construction,
and in like company the beginning of one that copies labels. An untrained model repeats what it saw; where to look for
the answer to a question is what it has to learn. This is a start, not a constraint: every weight is trained. Starting
heads with products near the identity is mimetic initialisation (Trockman and Kolter 2023, section 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

THETA = 1e6  # of the rotary positions
SHARP = 12  # rotary pairs that tell near positions apart; the others hardly turn within a window
SLOW = [*range(SHARP, 32), *range(32 + SHARP, 64)]  # the dimensions of those others
KNOWN, OWN = range(96), range(96, 160)  # dimensions of the stream: what is known of a token, what is its own,
BACK, TWO, THREE = range(160, 224), range(224, 256), range(256, 288)  # the token before, the second and third before,
AROUND, BAG = range(288, 320), range(320, 384)  # what is known of the last twenty, which they are
FIRST = ((OWN, BACK), (OWN[:32], TWO), (OWN[:32], THREE), (OWN, BAG), (KNOWN[:32], AROUND), ((), ()))  # first heads
COPIED = (OWN, KNOWN[:64], KNOWN[32:], OWN, KNOWN[:64], KNOWN[32:])  # what each later head copies
SHARE = 0.045  # of their output in the stream, which was normalised to the square root of its width
MEAN = 0.3  # the same of an average, which is short
COPY = 0.4  # the same of a copying head
MATCH = 1.5  # scale of the queries and keys of look-ups
ALIKE = 2.0  # scale of the queries and keys that compare averages
WIDE = 3.0  # of the biases of an average: the larger, the fewer tokens


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; ``heads`` of 64 make up its width, and six are what the dimensions above are made for."""

    layers: int = 4
    heads: int = 6
    inner: int = 768
    window: int = 1024

    @property
    def width(self) -> int:
        """Of the stream."""
        return 64 * self.heads


def fresh_model(entries: int, vectors: Tensor | None, shape: Shape, begin: int, end: int) -> Qwen2ForCausalLM:
    """An untrained model.

    Args:
        entries: of the vocabulary.
        vectors: (entries, components) of length one, what is known of the tokens' meaning; None for nothing.
        shape: its sizes.
        begin: the token that begins a text.
        end: the token that ends one.
    """
    config = Qwen2Config(
        vocab_size=entries,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=shape.window,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        tie_word_embeddings=False,
        bos_token_id=begin,
        eos_token_id=end,
        pad_token_id=end,
        use_cache=False,
        attn_implementation="sdpa",
    )
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        embed(model.model.embed_tokens.weight, vectors)
        start_heads(model, shape)
    return model


def embed(weight: Tensor, vectors: Tensor | None) -> None:
    """Rows of length one before `BACK`: what is known of a token, the more the rarer it is, and what is its own."""
    entries = len(weight)
    weight.zero_()
    rare = torch.full((entries, 1), 0.0)
    if vectors is not None:
        rare = 0.7 * torch.log1p(torch.arange(entries))[:, None] / math.log(entries)
        weight[:, KNOWN] = nn.functional.normalize(vectors[:, : len(KNOWN)], dim=-1) * rare
    own = nn.functional.normalize(torch.randn(entries, 64), dim=-1)
    weight[:, OWN] = own * (1 - rare.square()).sqrt()


def start_heads(model: Qwen2ForCausalLM, shape: Shape) -> None:
    """Set queries, keys, values and outputs of all heads, and the output embeddings to turned input embeddings.

    Heads copy by the same turn, so that what they write is a token to come, and what stands in the stream is not.
    """
    width = shape.width
    turn = torch.linalg.qr(torch.randn(width, width))[0]
    model.lm_head.weight.copy_(model.model.embed_tokens.weight @ turn.T)
    for layer, block in enumerate(model.model.layers):
        attention = block.self_attn
        queries, keys = _views(attention.q_proj.weight, shape), _views(attention.k_proj.weight, shape)
        values, outputs = _views(attention.v_proj.weight, shape), attention.o_proj.weight.view(width, shape.heads, 64)
        if layer == 0:
            _look_back(attention.q_proj.bias.view(shape.heads, 64), attention.k_proj.bias.view(shape.heads, 64))
            for head, (taken, places) in enumerate(FIRST):
                queries[head] *= 0.1
                keys[head] *= 0.1
                values[head].zero_()
                outputs[:, head] *= 0.1
                for k, (mine, place) in enumerate(zip(taken, places, strict=True)):
                    share = math.sqrt(SHARE if head < 3 else MEAN)
                    values[head, k, mine], outputs[place, head, k] = share, share
        else:
            for head in range(shape.heads):
                _look_up(queries[head], keys[head], head, wide=head >= 3 or layer == shape.layers - 1)
                copied = COPIED[head]
                values[head] = torch.eye(width)[list(copied)] * math.sqrt(COPY)
                outputs[:, head] = turn @ values[head].T


def _look_up(query: Tensor, key: Tensor, head: int, wide: bool) -> None:
    """Compare this token and those before it with the three before another: what followed them is copied.

    Wide ones, half of the heads and all of the last layer's, compare the surroundings as well: a label or a value is
    found behind the same words as stand here.
    """
    query *= 0.3
    key *= 0.3
    places = iter(SLOW)
    exact = ((8, OWN, BACK), (4, BACK[:32], TWO)) if wide else ((20, OWN, BACK), (12, BACK[:32], TWO), (8, TWO, THREE))
    for size, mine, theirs in exact:
        view = torch.linalg.qr(torch.randn(len(theirs), len(theirs)))[0][:size] * MATCH
        for row in view:
            place = next(places)
            query[place, mine[0] : mine[0] + len(theirs)] += row
            key[place, theirs[0] : theirs[0] + len(theirs)] += row
    for k, place in enumerate(places):
        component = AROUND[(k + head * 8) % 32] if k < 12 else BAG[(k * 4 + head) % 64]
        query[place, component] += ALIKE
        key[place, component] += ALIKE


def _look_back(query: Tensor, key: Tensor) -> None:
    """Biases that make heads look at the token one, two and three before, and at the last twenty or so."""
    speeds = THETA ** (-torch.arange(32) / 32)
    for head in range(query.shape[0]):
        if head < 3:
            pairs, size, distance = range(SHARP), 7.0, head + 1.0
        else:
            pairs, size, distance = range(6, 12), WIDE, 0.0
        for pair in pairs:
            angle = distance * float(speeds[pair])
            key[head, pair] = size
            query[head, pair], query[head, pair + 32] = size * math.cos(angle), -size * math.sin(angle)


def _views(weight: Tensor, shape: Shape) -> Tensor:
    return weight.view(shape.heads, 64, shape.width)


def as_llama(model: Qwen2ForCausalLM) -> LlamaForCausalLM:
    """The same function as a Llama with biases, that of the output projection being zero; in the model's precision.

    transformers puts the tokenizer of Qwen in the place of a folder's own where the folder says ``qwen2``.
    """
    kept = model.config.to_dict()
    names = (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "rms_norm_eps",
    )
    names += ("num_key_value_heads", "max_position_embeddings", "rope_parameters", "tie_word_embeddings")
    names += ("bos_token_id", "eos_token_id", "pad_token_id")
    config = LlamaConfig(**{name: kept[name] for name in names}, attention_bias=True, dtype=model.dtype)
    with torch.no_grad():
        llama = LlamaForCausalLM(config).to(model.dtype)
        for block in llama.model.layers:
            block.self_attn.o_proj.bias.zero_()
        llama.load_state_dict(model.state_dict(), strict=False)
    return llama
