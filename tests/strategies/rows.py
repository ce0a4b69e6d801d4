"""Slow oracles of the strategies over windows: rows of random logits, and tiny real models read by their own attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import models
import torch
from helpers import job_of
from transformers import DynamicCache

from ctxproc.job import Job
from ctxproc.llm import hardware
from ctxproc.llm.base import Sampling
from ctxproc.llm.local import TransformersLLM
from ctxproc.llm.plain import own_attention
from ctxproc.llm.tokenizer import Spelling
from ctxproc.prompt import Prompt
from ctxproc.strategies.base import Strategy
from ctxproc.trace import Called, Decoded, Event

torch.set_num_threads(1)

VOCABULARY = 40
INF = math.inf
SEEDS = range(30)
TEXTS = ["The lamp stands in the tower.", "On the shore the keeper lives, and on the rock.", "A bell", "The end. " * 5]
GREEDY = Sampling(max_new_tokens=6, logprobs=True)


def rows(count: int, seed: int, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(count, VOCABULARY, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference; infinite where one excludes what the other does not."""
    return float((one - other).abs().masked_fill(one == other, 0).max())


def logs_by_hand(logits: list[float]) -> list[float]:
    top = max(logits)
    total = math.log(sum(math.exp(x - top) for x in logits)) + top
    return [x - total for x in logits]


def nucleus_by_hand(logs: list[float], top_p: float) -> set[int]:
    """The likeliest tokens, as long as those before sum to less than ``top_p``."""
    kept: set[int] = set()
    mass = 0.0
    for token in sorted(range(len(logs)), key=lambda v: -logs[v]):
        if top_p < 1 and mass >= top_p:
            break
        if logs[token] > -INF:
            kept.add(token)
        mass += math.exp(logs[token])
    return kept


Load = Callable[[str], TransformersLLM]


def loader(folder: Path) -> Load:
    """Loads tiny models with random weights, in float64, each once: "llama" has begin-of-text and RoPE, "gpt2" neither."""
    made: dict[str, TransformersLLM] = {}

    def load(architecture: str) -> TransformersLLM:
        if architecture not in made:
            length = {"n_positions": 2048} if architecture == "gpt2" else {"max_position_embeddings": 2048}
            tokenizer = models.byte_tokenizer() if architecture == "gpt2" else None
            saved = models.build(folder / architecture, architecture, tokenizer, **length)
            with mock.patch.object(hardware, "DTYPES", (*hardware.DTYPES, "float64")):
                made[architecture] = TransformersLLM(str(saved), device="cpu", dtype="float64")
                assert model_of(made[architecture]).dtype == torch.float64
        return made[architecture]

    return load


def model_of(llm: TransformersLLM) -> Any:  # noqa: ANN401
    return llm._loaded.forward._model


@torch.inference_mode()
def forward(llm: TransformersLLM, ids: Sequence[int], **options: object) -> torch.Tensor:
    """All logits (tokens, vocabulary) of one sequence, by the model's own attention."""
    with own_attention(model_of(llm), llm._loaded.forward._attention):
        out: torch.Tensor = model_of(llm)(input_ids=torch.tensor([list(ids)]), **options).logits[0]
    return out


def ids_of(llm: TransformersLLM, prompt: Prompt) -> list[int]:
    return llm._framing.tokens(prompt).ids


def real(llm: TransformersLLM, texts: Sequence[str], **values: Any) -> Job:  # noqa: ANN401
    """A job on a real model; what random weights reply has no evidence."""
    return job_of(texts, llm, sampling=values.pop("sampling", GREEDY), require_evidence=False, **values)


def events(strategy: Strategy, job: Job) -> list[Called | Decoded]:
    """What a run tells of its calls."""
    told: list[Event] = []
    job.trace.listeners.append(told.append)
    strategy(job)
    job.trace.listeners.remove(told.append)
    return [event for event in told if isinstance(event, (Called, Decoded))]


def decoded(strategy: Strategy, job: Job) -> Decoded:
    """What a run with one merged reply tells of it."""
    [event] = events(strategy, job)
    assert isinstance(event, Decoded)
    return event


def text_of(llm: TransformersLLM, tokens: Sequence[int]) -> str:
    spelling = Spelling(llm.tokenizer)
    return "".join([*(spelling.push(token) for token in tokens if token not in llm._ends), spelling.close()])


Step = Callable[[torch.Tensor], torch.Tensor]


def slowly(llm: TransformersLLM, prompts: Sequence[Prompt], step: Step, count: int) -> list[tuple[int, float]]:
    """Tokens and log-probabilities: every row alone and whole at every step, merged by ``step``; greedy."""
    new: list[tuple[int, float]] = []
    for _ in range(count):
        ids = [token for token, _ in new]
        scores = step(torch.stack([forward(llm, ids_of(llm, prompt) + ids)[-1] for prompt in prompts]))
        token = int(scores.argmax())
        new.append((token, float(scores.log_softmax(-1)[token])))
        if token in llm._ends:
            break
    return new


def joined(llm: TransformersLLM, windows: Sequence[Sequence[int]], shared: int, starts: Sequence[int]) -> DynamicCache:
    """PCW's cache as its source makes it: each window read alone from its start, the longest whole and then the others.

    The others lose their first ``shared`` tokens, which all windows begin with.
    """
    first = max(range(len(windows)), key=lambda i: len(windows[i]))
    parts: list[Any] = []
    for window, start in zip(windows, starts, strict=True):
        cache = DynamicCache(config=model_of(llm).config)
        positions = torch.arange(start, start + len(window))[None]
        forward(llm, window, position_ids=positions, past_key_values=cache, use_cache=True)
        parts.append(cache.layers)
    order = [first, *(i for i in range(len(windows)) if i != first)]
    whole = DynamicCache(config=model_of(llm).config)
    for layer in range(len(parts[0])):
        keys = [parts[i][layer].keys[:, :, 0 if i == first else shared :] for i in order]
        values = [parts[i][layer].values[:, :, 0 if i == first else shared :] for i in order]
        whole.update(torch.cat(keys, 2), torch.cat(values, 2), layer)
    return whole
