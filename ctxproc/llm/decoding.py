"""Decoding: the next-token loop over rows that go on together, sampling, stop strings.

No global random state is read or changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from ctxproc.errors import ConfigError
from ctxproc.llm.base import Sampling, Token
from ctxproc.llm.likelihood import nats
from ctxproc.llm.tokenizer import HfTokenizer, Spelling

if TYPE_CHECKING:
    import torch

    from ctxproc.llm.grammar import Guide
    from ctxproc.llm.merging import Merger


class Rows(Protocol):
    """Rows that go on together: `batch.Batch`, or `plain.PlainBatch`."""

    def extend(self, tokens: Sequence[Sequence[int]], rows: Sequence[int] | None = None) -> torch.Tensor:
        """Append tokens to rows (None: all), and the logits (rows, vocabulary) of each one's last token."""


def decode(
    rows: Rows,
    tails: Sequence[Sequence[int]],
    replies: Sequence[Reply],
    sampler: Sampler,
    guides: Sequence[Guide] | None,
    count: int,
) -> Iterator[str]:
    """Up to ``count`` tokens for every row; the pieces of text, none empty, as they become certain, of all rows.

    The replies take the tokens. A row that is done is left out; the loop ends with the last of them. Drop the iterator to
    stop earlier.
    """
    live = list(range(len(tails)))
    new: Sequence[Sequence[int]] = tails
    for step in range(count):
        logits = rows.extend(new, live if step else None)
        if guides:
            logits = guided(logits, [guides[row] for row in live])
        tokens = sampler(logits, live)
        logprobs = sampler.logprobs(logits, tokens)
        pushed = zip(live, tokens, logprobs, strict=True)
        pieces = [replies[row].push(token, logprob) for row, token, logprob in pushed]
        if guides:
            pieces += completed(live, tokens, replies, guides)
        yield from filter(None, pieces)
        going = [(row, [token]) for row, token in zip(live, tokens, strict=True) if not replies[row].done]
        if not going:
            break
        live, new = [row for row, _ in going], [token for _, token in going]
    yield from filter(None, [reply.close() for reply in replies])


class MergedRows:
    """Several rows as one: what is appended goes to all of them, and their logits are merged.

    Args:
        rows: the windows.
        tails: what each window begins with.
        merger: makes logits (windows, vocabulary) into scores (vocabulary,).
        guide: the one that `decode` has: it forbids tokens before the merge, which would not bring back what it had
            excluded itself.

    Attributes:
        weights: of each step, how much each window counted.
        entropies: of each step, as `Merged.entropies`; empty where the merge does not look at them.
    """

    def __init__(self, rows: Rows, tails: Sequence[Sequence[int]], merger: Merger, guide: Guide | None) -> None:
        self._rows = rows
        self._tails = tails
        self._merger = merger
        self._guide = guide
        self.weights: list[tuple[float, ...]] = []
        self.entropies: list[tuple[float, ...]] = []

    def extend(self, tokens: Sequence[Sequence[int]], rows: Sequence[int] | None = None) -> torch.Tensor:
        """As `Rows.extend` for one row, whose first tokens are the tails."""
        begun = bool(self.weights)
        logits = self._rows.extend([tokens[0]] * len(self._tails) if begun else self._tails).float()
        scores = self._merger(self._guide.mask(logits) if self._guide else logits)
        self.weights.append(tuple(self._merger.weights))
        if self._merger.entropies:
            self.entropies.append(self._merger.entropies)
        return scores[None]


def completed(
    live: Sequence[int], tokens: Sequence[int], replies: Sequence[Reply], guides: Sequence[Guide]
) -> list[str]:
    """Tell the guides of new tokens, and the rest of the text of rows that can only end now."""
    rest = []
    for row, token in zip(live, tokens, strict=True):
        guides[row].accept(token)
        if guides[row].done and not replies[row].done:
            rest.append(replies[row].end())
    return rest


def guided(logits: torch.Tensor, guides: Sequence[Guide]) -> torch.Tensor:
    """The logits (rows, vocabulary) with the tokens that each row's grammar forbids at -inf."""
    import torch

    return torch.stack([guide.mask(row) for guide, row in zip(guides, logits, strict=True)])


class Sampler:
    """The next token of each row from its logits, by `Sampling` alone.

    Args:
        sampling: temperature, top_k, then top_p of what top_k left, seed.
        streams: one number per row; a row's draws depend on the seed and its number, never on other rows.

    Raises:
        ConfigError: a value is out of its range.
    """

    def __init__(self, sampling: Sampling, streams: Sequence[int]) -> None:
        import torch

        if sampling.temperature < 0 or not 0 < sampling.top_p <= 1 or sampling.top_k < 0:
            raise ConfigError("sampling needs temperature >= 0, 0 < top_p <= 1 and top_k >= 0")
        self._sampling = sampling
        seeds = [(sampling.seed * 1_000_003 + sampling.stream + stream) % 2**63 for stream in streams]
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, logits: torch.Tensor, rows: Sequence[int] | None = None) -> list[int]:
        """One token id per row of ``logits`` (rows, vocabulary), which belong to the streams ``rows`` (None: all)."""
        import torch

        if self._sampling.temperature == 0:
            return [int(token) for token in logits.argmax(-1)]
        size = logits.shape[-1]
        count = min(self._sampling.top_k or size, size)
        values, order = (logits.float() / self._sampling.temperature).topk(count)
        probabilities = values.softmax(-1)
        before = probabilities.cumsum(-1) - probabilities
        kept = before < self._sampling.top_p
        kept[:, 0] = True
        mass = (probabilities * kept).cumsum(-1)
        generators = [self._generators[row] for row in (range(len(self._generators)) if rows is None else rows)]
        draws = torch.stack([torch.rand(1, generator=generator) for generator in generators]).to(logits.device)
        chosen = (mass <= draws * mass[:, -1:]).sum(-1, keepdim=True).clamp(max=kept.sum(-1, keepdim=True) - 1)
        return [int(token) for token in order.gather(-1, chosen)[:, 0]]

    def logprobs(self, logits: torch.Tensor, tokens: Sequence[int]) -> list[float]:
        """The log-probabilities in nats of ``tokens``, one per row of ``logits``; NaN where `Sampling` does not ask."""
        import torch

        if not self._sampling.logprobs:
            return [math.nan] * len(tokens)
        return [float(value) for value in nats(logits, torch.tensor(tokens, device=logits.device))]


class Reply:
    """The text of one row as its tokens come: ended by an end token, a stop string, or the caller.

    Attributes:
        tokens: those that came, an end token included, each with the text that it made certain.
        done: nothing more is wanted.
    """

    def __init__(self, tokenizer: HfTokenizer, ends: frozenset[int], stop: Sequence[str]) -> None:
        self._spelling = Spelling(tokenizer)
        self._ends = ends
        self._stop = tuple(string for string in stop if string)
        self._held = ""  # text that may turn out to begin a stop string
        self.tokens: list[Token] = []
        self.done = False

    @property
    def finish(self) -> Literal["stop", "length"]:
        """Why it ended, as `Generation.finish`."""
        return "stop" if self.done else "length"

    @property
    def text(self) -> str:
        """All that is certain."""
        return "".join(token.text for token in self.tokens)

    def push(self, token: int, logprob: float = math.nan) -> str:
        """The text that is certain after one more token; "" once done."""
        if self.done:
            return ""
        last = token in self._ends
        text = self._said(self._spelling.close() if last else self._spelling.push(token), last)
        self.tokens.append(Token(text, logprob))
        return text

    def close(self) -> str:
        """The rest of the text, when no more tokens come."""
        if self.done:
            return ""
        rest = self._cut(self._spelling.close())
        return self._owed(rest if self.done else rest + self._release())

    def end(self) -> str:
        """The rest of the text, which is whole without an end token."""
        return self._owed(self._said(self._spelling.close(), last=True))

    def _owed(self, text: str) -> str:
        """``text``, as the last token's."""
        if text:
            text_before, logprob = self.tokens[-1]
            self.tokens[-1] = Token(text_before + text, logprob)
        return text

    def _said(self, text: str, last: bool = False) -> str:
        out = self._cut(text)
        if last and not self.done:
            out += self._release()
            self.done = True
        return out

    def _cut(self, text: str) -> str:
        """What of the held text and ``text`` is certain; stops before the first stop string."""
        text = self._held + text
        found = [at for at in (text.find(string) for string in self._stop) if at >= 0]
        if found:
            self.done, self._held = True, ""
            return text[: min(found)]
        keep = max((_overlap(text, string) for string in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _release(self) -> str:
        held, self._held = self._held, ""
        return held


def _overlap(text: str, string: str) -> int:
    """The length of the longest end of ``text`` that begins ``string``."""
    return next((n for n in range(min(len(string) - 1, len(text)), 0, -1) if text.endswith(string[:n])), 0)
