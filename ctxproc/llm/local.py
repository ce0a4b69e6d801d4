"""Any causal language model of transformers as an `LLM`: a folder or a hub name, on this machine.

Attention is the plain one of transformers. The tokenizer and the configuration are read at once, the weights at the
first `generate`, `stream` or `score`.

A prompt becomes ``[begin of text][chat head][piece]...[piece][chat tail]``. Pieces are tokenised one by one as plain
text; head and tail come from the model's chat template and are absent where it has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from ctxproc.errors import ConfigError, PromptTooLongError
from ctxproc.llm.base import LLM, Generation, LogLikelihood, Sampling
from ctxproc.llm.decoding import Forward, Reply, Sampler, batches, next_tokens, pad_left
from ctxproc.llm.hardware import check_dtype, choose_device, choose_dtype
from ctxproc.llm.pretrained import find, quiet
from ctxproc.llm.tokenizer import HfTokenizer, chat_frame
from ctxproc.prompt import Prompt

if TYPE_CHECKING:
    import torch

BATCH_TOKENS = 4096  # in one batch on a CPU, padding and answers included
BATCH_TOKENS_GPU = 32768
BATCH_LOGITS = 2**26  # numbers that `score` may hold at once


class TransformersLLM(LLM):
    """A causal language model of transformers.

    Args:
        name: a folder with ``config.json``, tokenizer and safetensors, or a hub name.
        device: "auto", or a device of torch such as "cpu" or "cuda:1".
        dtype: "auto" (measured), "float32", "bfloat16" or "float16". Greedy text is the same alone and in a batch up to
            rounding: always in float32 for all practical purposes, in 16 bits where no two tokens are that close.
        threads: of torch, for the whole process; None leaves them as they are.
        context_window: smaller than what the model can read.

    Raises:
        ModelError: no such model, not a causal language model, no tokenizer.
        ConfigError: a setting that this machine or model cannot have.
    """

    tokenizer: HfTokenizer

    def __init__(
        self,
        name: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        context_window: int | None = None,
    ) -> None:
        self.name = name
        self._source = find(name)
        self._device_setting, self._dtype_setting, self._threads = device, dtype, threads
        if device != "auto":
            choose_device(device)
        if dtype != "auto":
            check_dtype(dtype)
        _check_least("threads", threads)
        _check_least("context_window", context_window)
        config = self._source.config
        inner = self._source.tokenizer()
        with quiet():
            self.tokenizer = HfTokenizer(inner)
            self._head, self._tail, self._chats = self._frame()
        window = self._source.window(inner)
        if context_window is not None and context_window > window:
            raise ConfigError(f"context_window {context_window} is more than the {window} tokens that {name} can read")
        self.context_window = context_window or window
        ends = (config, config.get_text_config(decoder=True), inner)
        self._ends = frozenset().union(*(_ids_of(holder, "eos_token_id") for holder in ends))

    def _frame(self) -> tuple[list[int], list[int], bool]:
        """Token ids before and after the pieces, and whether a chat template made them."""
        begin = self.tokenizer.bos
        frame = chat_frame(self.tokenizer.inner)
        if frame is None:
            return begin, [], False
        head = list(self.tokenizer.inner.encode(frame[0], add_special_tokens=False)) if frame[0] else []
        if head[: len(begin)] != begin:
            head = begin + head
        return head, self.tokenizer.encode_trusted(frame[1]), True

    @property
    def wrapping_tokens(self) -> int:
        """Tokens around the pieces; with one more where the first word may cost one for its leading space."""
        extra = self.tokenizer.adds_prefix and not self._chats
        return len(self._head) + len(self._tail) + int(extra)

    def count_tokens(self, prompt: Prompt) -> int:
        """Exactly the tokens that the model reads; at most `wrapping_tokens` and those of the pieces."""
        return len(self._ids(prompt))

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        """As `LLM.generate`; a prompt's draws depend on the seed and its place in ``prompts``, not on the others."""
        rows = [self._row(prompt, sampling.max_new_tokens) for prompt in prompts]
        results: dict[int, Generation] = {}
        for batch in batches([len(row) + sampling.max_new_tokens for row in rows], self._batch_tokens):
            sampler = Sampler(sampling, batch)
            replies = [self._reply(sampling) for _ in batch]
            texts: list[list[str]] = [[] for _ in batch]
            padded = pad_left([rows[i] for i in batch], self._device)
            for tokens in next_tokens(self._forward, padded, sampler, sampling.max_new_tokens):
                for reply, text, token in zip(replies, texts, tokens, strict=True):
                    text.append(reply.push(token))
                if all(reply.done for reply in replies):
                    break
            for i, reply, text in zip(batch, replies, texts, strict=True):
                text.append(reply.close())
                results[i] = Generation("".join(text), len(rows[i]), reply.tokens, finish=reply.finish)
        return [results[i] for i in range(len(rows))]

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        """As `LLM.stream`; the prompt is checked at once, and closing the iterator ends the work."""
        return self._stream(self._row(prompt, sampling.max_new_tokens), sampling)

    def _stream(self, row: list[int], sampling: Sampling) -> Iterator[str]:
        reply, padded = self._reply(sampling), pad_left([row], self._device)
        tokens = next_tokens(self._forward, padded, Sampler(sampling, [0]), sampling.max_new_tokens)
        for piece in chain((reply.push(token) for (token,) in tokens), [None]):
            piece = reply.close() if piece is None else piece
            if piece:
                yield piece
            if reply.done:
                return

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        """As `LLM.score`; sums in float32.

        Raises:
            PromptTooLongError: a prompt and its continuation exceed the window; nothing was scored.
            ModelError: the weights cannot be loaded or used.
        """
        tails = [self.tokenizer.encode(text) for text in continuations]
        heads = [self._row(prompt, len(tail)) for prompt, tail in zip(prompts, tails, strict=True)]
        results = [LogLikelihood(0.0, 0)] * len(tails)
        wanted = [i for i, tail in enumerate(tails) if tail]
        vocabulary = self._source.config.get_text_config(decoder=True).vocab_size
        share = self._batch_tokens * vocabulary / BATCH_LOGITS  # a continuation's logits, as tokens of a batch
        costs = [max(len(heads[i]) + len(tails[i]), math.ceil((len(tails[i]) + 1) * share)) for i in wanted]
        for batch in batches(costs, self._batch_tokens):
            members = [wanted[j] for j in batch]
            totals = self._log_likelihoods([heads[i] for i in members], [tails[i] for i in members])
            for i, total in zip(members, totals, strict=True):
                results[i] = LogLikelihood(total, len(tails[i]))
        return results

    def _log_likelihoods(self, heads: list[list[int]], tails: list[list[int]]) -> list[float]:
        """The log p(tail | head) of each row of one batch, in nats."""
        import torch

        rows = pad_left([head + tail for head, tail in zip(heads, tails, strict=True)], self._device)
        totals = []
        with torch.inference_mode():
            logits, _ = self._forward(rows, max(map(len, tails)) + 1)
            for row, tail in zip(logits, tails, strict=True):
                scores = row[-len(tail) - 1 : -1].float()  # (tokens, vocabulary): each from the token before it
                targets = torch.tensor(tail, device=self._device)[:, None]
                totals.append(float((scores.gather(-1, targets)[:, 0] - scores.logsumexp(-1)).sum()))
        return totals

    def _row(self, prompt: Prompt, reserved: int) -> list[int]:
        """The token ids of a prompt that fits the window together with ``reserved`` more."""
        ids = self._ids(prompt)
        if len(ids) + reserved > self.context_window:
            raise PromptTooLongError(len(ids), reserved, self.context_window)
        return ids

    def _ids(self, prompt: Prompt) -> list[int]:
        """What the model reads. An empty prompt of a model without begin-of-text is one end-of-text token."""
        ids = list(self._head)
        for i, piece in enumerate(filter(None, prompt.pieces)):
            begins = i == 0 and not self._chats
            ids += self.tokenizer.encode_first(piece) if begins else self.tokenizer.encode(piece)
        return ids + self._tail or [min(self._ends, default=0)]

    def _reply(self, sampling: Sampling) -> Reply:
        return Reply(self.tokenizer, self._ends | self._generation_ends, sampling.stop)

    @cached_property
    def _forward(self) -> Forward:
        """The model, its weights read at the first use."""
        import torch

        if self._threads is not None:
            torch.set_num_threads(self._threads)
        return Forward(self._source.weights(choose_dtype(self._dtype_setting, self._device), self._device))

    @cached_property
    def _generation_ends(self) -> frozenset[int]:
        return _ids_of(self._forward.generation_config, "eos_token_id")

    @cached_property
    def _device(self) -> torch.device:
        return choose_device(self._device_setting)

    @property
    def _batch_tokens(self) -> int:
        if not self._forward.keeps:
            return 1  # one by one
        return BATCH_TOKENS if self._device.type == "cpu" else BATCH_TOKENS_GPU


def _ids_of(holder: object, name: str) -> frozenset[int]:
    """One id, several, or none, as configurations write them."""
    value = getattr(holder, name, None)
    if value is None:
        return frozenset()
    return frozenset([value] if isinstance(value, int) else value)


def _check_least(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ConfigError(f"{name} must be at least 1, not {value}")
