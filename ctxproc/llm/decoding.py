"""Decoding with plain attention: batches, the next-token loop, sampling, stop strings.

A batch is padded on the left, with an explicit mask and explicit positions, so that a row gives what it gives alone.
All rows of a batch run until the last is done. No global random state is read or changed.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm.base import Sampling
from ctxproc.llm.tokenizer import HfTokenizer, Spelling

if TYPE_CHECKING:
    import torch


class Rows(NamedTuple):
    """Token rows padded on the left to one length: three integer tensors (rows, length)."""

    ids: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor


def pad_left(rows: Sequence[Sequence[int]], device: torch.device) -> Rows:
    """Rows of token ids as tensors; each row's first token is at position 0."""
    import torch

    length = max(map(len, rows))
    ids = torch.tensor([[0] * (length - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows], device=device)
    return Rows(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0))


def batches(lengths: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Indices of rows that run together: longest first, at most ``limit`` tokens with the padding, at least one row."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    while order:
        count = max(1, limit // max(lengths[order[0]], 1))
        yield order[:count]
        order = order[count:]


class Forward:
    """One call of a model, with those of its arguments that its class knows.

    Attributes:
        keeps: whether it keeps keys and values between calls; if not, rows must run one by one (state space models and
            other architectures without ``past_key_values``), and every token is computed again at every step.
        generation_config: the model's; only its end tokens are used.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401  (models share only Module)
        self._model = model
        self._known = inspect.signature(model.forward).parameters
        self.keeps = "past_key_values" in self._known
        self.generation_config: object = getattr(model, "generation_config", None)

    def __call__(self, rows: Rows, last: int, cache: object = None) -> tuple[torch.Tensor, object]:
        """Logits (rows, last, vocabulary) of the last ``last`` tokens, and the cache for the next call.

        ``rows.mask`` covers the cached tokens too; ``rows.ids`` and ``rows.positions`` only the new ones.

        Raises:
            ModelError: the logits are not numbers.
        """
        wanted = {
            "attention_mask": rows.mask,
            "position_ids": rows.positions,
            "past_key_values": cache,
            "use_cache": self.keeps,
            "logits_to_keep": last,
        }
        out = self._model(input_ids=rows.ids, **{name: value for name, value in wanted.items() if name in self._known})
        logits: torch.Tensor = out.logits[:, -last:]
        if bool(logits.isnan().any()):
            raise ModelError("the model's output is not a number: its weights are damaged, or need dtype float32")
        return logits, out.past_key_values if self.keeps else None


def next_tokens(forward: Forward, rows: Rows, sampler: Sampler, count: int) -> Iterator[list[int]]:
    """``count`` times the next token of every row; the caller stops early by dropping the iterator."""
    import torch

    cache: object = None
    for _ in range(count):
        with torch.inference_mode():
            logits, cache = forward(rows, 1, cache)
            tokens = sampler(logits[:, -1])
        yield tokens
        new = torch.tensor(tokens, device=rows.ids.device)[:, None]
        mask = torch.cat([rows.mask, torch.ones_like(new)], dim=-1)
        positions = rows.positions[:, -1:] + 1
        if forward.keeps:
            rows = Rows(new, mask, positions)
        else:
            rows = Rows(torch.cat([rows.ids, new], dim=-1), mask, torch.cat([rows.positions, positions], dim=-1))


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
        seeds = [(sampling.seed * 1_000_003 + stream) % 2**63 for stream in streams]
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, logits: torch.Tensor) -> list[int]:
        """One token id per row of ``logits`` (rows, vocabulary)."""
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
        draws = torch.stack([torch.rand(1, generator=generator) for generator in self._generators]).to(logits.device)
        chosen = (mass <= draws * mass[:, -1:]).sum(-1, keepdim=True).clamp(max=kept.sum(-1, keepdim=True) - 1)
        return [int(token) for token in order.gather(-1, chosen)[:, 0]]


class Reply:
    """The text of one row as its tokens come: ended by an end token, a stop string, or the caller.

    Attributes:
        tokens: how many came, an end token included.
        done: nothing more is wanted.
    """

    def __init__(self, tokenizer: HfTokenizer, ends: frozenset[int], stop: Sequence[str]) -> None:
        self._spelling = Spelling(tokenizer)
        self._ends = ends
        self._stop = tuple(string for string in stop if string)
        self._held = ""  # text that may turn out to begin a stop string
        self.tokens = 0
        self.done = False

    @property
    def finish(self) -> Literal["stop", "length"]:
        """Why it ended, as `Generation.finish`."""
        return "stop" if self.done else "length"

    def push(self, token: int) -> str:
        """The text that is certain after one more token; "" once done."""
        if self.done:
            return ""
        self.tokens += 1
        if token in self._ends:
            return self._said(self._spelling.close(), last=True)
        return self._said(self._spelling.push(token))

    def close(self) -> str:
        """The rest of the text, when no more tokens come."""
        if self.done:
            return ""
        rest = self._cut(self._spelling.close())
        return rest if self.done else rest + self._release()

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
