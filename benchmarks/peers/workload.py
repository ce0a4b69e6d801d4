"""The reference workload: a model's shape with random weights, a document in windows, questions.

Needs no torch except to make the model, so that every peer's own Python can import it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

MODEL = "model"


@dataclass(frozen=True)
class Shape:
    """A Qwen2 model with tied embeddings.

    Attributes:
        hidden: width of the residual stream; a head has ``hidden // heads`` of it.
        initial: standard deviation of the random weights, biases included.
    """

    hidden: int = 896
    layers: int = 24
    heads: int = 14
    kv_heads: int = 2
    intermediate: int = 4864
    vocabulary: int = 151936
    initial: float = 0.02

    @property
    def head_dim(self) -> int:
        """Numbers of one head."""
        return self.hidden // self.heads

    @property
    def inner(self) -> int:
        """Parameters without the embeddings."""
        attention = 2 * self.hidden * self.hidden + 2 * self.hidden * self.kv_heads * self.head_dim
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def parameters(self) -> int:
        """All of them; the tied embeddings count once."""
        return self.inner + self.vocabulary * self.hidden

    @property
    def kv_numbers(self) -> int:
        """Numbers of one token's keys and values."""
        return 2 * self.layers * self.kv_heads * self.head_dim


@dataclass(frozen=True)
class Size:
    """A model, a document of ``windows`` times ``window`` tokens after ``prefix`` shared ones, and the question's length."""

    shape: Shape
    prefix: int = 32
    windows: int = 8
    window: int = 1024
    question: int = 32
    decoded: int = 32
    dtype: str = "bfloat16"

    @property
    def tokens(self) -> int:
        """Of the document with its prefix."""
        return self.prefix + self.windows * self.window


REFERENCE = Size(Shape())
QUICK = Size(Shape(64, 2, 4, 2, 96, 320, 0.1), prefix=4, windows=8, window=12, question=5, decoded=4, dtype="float32")


@dataclass(frozen=True)
class Document:
    """Token ids: what every prompt begins with, and the windows."""

    prefix: list[int]
    windows: list[list[int]]

    def prompt(self, order: list[int], question: list[int]) -> list[int]:
        """One sequence: prefix, the windows in this order, question."""
        return [*self.prefix, *(token for i in order for token in self.windows[i]), *question]


def document(size: Size, seed: int, windows: int | None = None) -> Document:
    """A document of random tokens; ``windows`` of them, or as many as the size says."""
    count = size.windows if windows is None else windows
    return Document(
        tokens(size, size.prefix, f"prefix {seed}"), [tokens(size, size.window, f"{seed} {i}") for i in range(count)]
    )


def tokens(size: Size, count: int, seed: str) -> list[int]:
    """Random token ids; the same for the same seed."""
    return random.Random(seed).choices(range(size.shape.vocabulary), k=count)


def make_model(size: Size, folder: Path) -> Path:
    """Writes the model as transformers saves it, unless it is there; returns its folder."""
    target = folder / MODEL
    if (target / "config.json").exists():
        return target
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    shape = size.shape
    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=131072,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        initializer_range=shape.initial,
        dtype=size.dtype,
    )
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config).to(getattr(torch, size.dtype))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=shape.initial)
    model.save_pretrained(target, max_shard_size="100GB")
    return target
