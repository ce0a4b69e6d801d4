"""Log-likelihoods of continuations: by the engine, which reads a prompt once for all its continuations, or plainly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ctxproc.llm.base import LogLikelihood
from ctxproc.llm.engine import Tokens, packs
from ctxproc.llm.framing import TokenPrompt
from ctxproc.llm.plain import Forward, batches, pad_left

if TYPE_CHECKING:
    import torch

    from ctxproc.llm.loaded import Loaded

LOGITS = 2**26
"""Numbers of logits that are held at once."""


def score(loaded: Loaded, prompts: Sequence[TokenPrompt], tails: Sequence[Tokens]) -> list[LogLikelihood]:
    """The likelihood of each tail behind its prompt; no tail is empty."""
    totals: dict[int, LogLikelihood] = {}
    plain = [i for i, prompt in enumerate(prompts) if not loaded.reads(len(prompt.ids) + len(tails[i]))]
    if plain:
        found = plainly(loaded.forward, [prompts[i] for i in plain], [tails[i] for i in plain], loaded.device)
        totals.update((i, LogLikelihood(total, len(tails[i]))) for i, total in zip(plain, found, strict=True))
    rest = [i for i in range(len(prompts)) if i not in totals]
    for batch in loaded.batches([prompts[i] for i in rest], [len(tails[i]) for i in rest]) if rest else []:
        members = [rest[j] for j in batch]
        totals.update(
            zip(members, by_engine(loaded, [prompts[i] for i in members], [tails[i] for i in members]), strict=True)
        )
    return [totals[i] for i in range(len(prompts))]


def by_engine(loaded: Loaded, prompts: Sequence[TokenPrompt], tails: Sequence[Tokens]) -> list[LogLikelihood]:
    """One batch of `score`: each prompt is read once, and what follows a tail's first token is forked from it."""
    import torch

    places = {prompt: row for row, prompt in enumerate(dict.fromkeys(prompts))}
    batch, grades = loaded.open_batch(list(places), 0)
    parents = [places[prompt] for prompt in prompts]
    after = batch.extend([prompt.tail for prompt in places])
    totals = [float(nats(after[row], tail[0])) for row, tail in zip(parents, tails, strict=True)]
    longer = [i for i, tail in enumerate(tails) if len(tail) > 1]
    for pack in packs([len(tails[i]) - 1 for i in longer], max(1, LOGITS // after.shape[-1])):
        members = [longer[j] for j in pack]
        fork = batch.fork([parents[i] for i in members], max(len(tails[i]) for i in members) - 1)
        logits = fork.extend_all([tails[i][:-1] for i in members])
        for i, own in zip(members, logits, strict=True):
            totals[i] += float(nats(own, torch.tensor(tails[i][1:], device=own.device)).sum())
    first = {row: i for i, row in reversed(list(enumerate(parents)))}
    reused = [
        batch.reused[row] if first[row] == i else len(prompt.ids)
        for i, (row, prompt) in enumerate(zip(parents, prompts, strict=True))
    ]
    return [
        LogLikelihood(total, len(tail), its, grades[row])
        for total, tail, its, row in zip(totals, tails, reused, parents, strict=True)
    ]


def plainly(
    forward: Forward, prompts: Sequence[TokenPrompt], tails: Sequence[Tokens], device: torch.device
) -> list[float]:
    """The log-likelihoods by whole sequences."""
    import torch

    totals: dict[int, float] = {}
    limit = forward.batch_tokens
    share = limit * forward.vocabulary / LOGITS  # a tail's logits, as tokens of a batch
    costs = [
        max(len(prompt.ids) + len(tail), math.ceil((len(tail) + 1) * share))
        for prompt, tail in zip(prompts, tails, strict=True)
    ]
    for batch in batches(costs, limit):
        rows = pad_left([prompts[i].ids + list(tails[i]) for i in batch], device)
        with torch.inference_mode():
            logits, _ = forward(rows, max(len(tails[i]) for i in batch) + 1)
        for row, i in zip(logits, batch, strict=True):
            own = row[-len(tails[i]) - 1 : -1]  # each from the token before it
            totals[i] = float(nats(own, torch.tensor(tails[i], device=device)).sum())
    return [totals[i] for i in range(len(prompts))]


def nats(logits: torch.Tensor, targets: torch.Tensor | int) -> torch.Tensor:
    """Log p of the targets (tokens,) under logits (tokens, vocabulary), or of one target under (vocabulary,)."""
    scores = logits.float()
    if isinstance(targets, int):
        return scores[targets] - scores.logsumexp(-1)
    return scores.gather(-1, targets[:, None])[:, 0] - scores.logsumexp(-1)
