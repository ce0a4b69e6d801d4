"""A model that says what a test or an example tells it to: shipped, public, no weights.

It keeps every promise of the seam (windows, order, stop strings, token counts), so a strategy that runs on it runs on a
real model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from ctxproc.llm.base import LLM, Generation, LogLikelihood, Sampling, Tokenizer
from ctxproc.prompt import Prompt

TOKEN = re.compile(r"\s*(?:\w+|[^\w\s]|\s+$)")


class WordTokenizer(Tokenizer):
    """A token is a word or a punctuation mark with the white space before it. Whole text is covered."""

    def count(self, text: str) -> int:
        """Words and punctuation marks; white space alone is one token."""
        return len(self.starts(text))

    def starts(self, text: str) -> list[int]:
        """Where each begins."""
        return [match.start() for match in TOKEN.finditer(text)]


class ScriptedLLM(LLM):
    """Answers each prompt with ``reply(prompt)``; scores each continuation with ``likelihood(prompt, continuation)``.

    Args:
        reply: a function of the prompt that gives a text or a whole `Generation` (its prompt_tokens are set), or a
            sequence of texts given in turn (the last one again when it runs out).
        likelihood: log p(continuation | prompt) in nats; default: -1 a token.
        context_window: tokens of a prompt and its answer.
        name: what the model is called in answers.
        gives_confidence: every reply is a `Generation` with a confidence.

    ``prompts`` holds every prompt that was generated from or scored, in order.
    """

    def __init__(
        self,
        reply: Callable[[Prompt], str | Generation] | Sequence[str] = ("",),
        *,
        likelihood: Callable[[Prompt, str], float] | None = None,
        context_window: int = 4096,
        name: str = "scripted",
        gives_confidence: bool = False,
    ) -> None:
        self.gives_confidence = gives_confidence
        self.name = name
        self.context_window = context_window
        self.tokenizer = WordTokenizer()
        self.prompts: list[Prompt] = []
        self._reply = reply if callable(reply) else in_turn(reply)
        self._likelihood = likelihood

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        """The scripted replies, cut at stop strings and at ``max_new_tokens``."""
        tokens = [self.check_fits(prompt, self.reserved(sampling)) for prompt in prompts]
        self.prompts.extend(prompts)
        return [self._generate(prompt, n, sampling) for prompt, n in zip(prompts, tokens, strict=True)]

    def _generate(self, prompt: Prompt, prompt_tokens: int, sampling: Sampling) -> Generation:
        reply = self._reply(prompt)
        if isinstance(reply, Generation):
            return replace(reply, prompt_tokens=prompt_tokens)
        for stop in sampling.stop:
            reply = reply.split(stop)[0]
        starts = self.tokenizer.starts(reply)
        if len(starts) <= sampling.max_new_tokens:
            return Generation(reply, prompt_tokens, len(starts))
        return Generation(
            reply[: starts[sampling.max_new_tokens]], prompt_tokens, sampling.max_new_tokens, finish="length"
        )

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        """The reply token by token."""
        text = self.generate([prompt], sampling)[0].text
        starts = [*self.tokenizer.starts(text), len(text)]
        yield from (text[a:b] for a, b in pairwise(starts))

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        """The scripted log-likelihoods."""
        scores = []
        for prompt, continuation in zip(prompts, continuations, strict=True):
            tokens = self.tokenizer.count(continuation)
            self.check_fits(prompt, tokens)
            total = self._likelihood(prompt, continuation) if self._likelihood else -1.0 * tokens
            if math.isnan(total):
                raise ValueError("a log-likelihood must be a number")
            scores.append(LogLikelihood(total, tokens))
        self.prompts.extend(prompts)
        return scores


def in_turn(replies: Sequence[str]) -> Callable[[Prompt], str]:
    """A function that gives the replies one after the other, and the last one ever after."""
    left = list(replies)
    return lambda _prompt: left.pop(0) if len(left) > 1 else left[0]
