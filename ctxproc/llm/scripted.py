"""A model that says what a test or an example tells it to: shipped, public, no weights.

It keeps every promise of the seam (windows, order, stop strings, token counts), so a strategy that runs on it runs on a
real model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from ctxproc.errors import ConfigError
from ctxproc.llm.base import Generation, Indent, LogLikelihood, Sampling, Token, Tokenizer, WindowedLLM
from ctxproc.prompt import Prompt, Segment

if TYPE_CHECKING:
    from ctxproc.llm.merging import Merge

NOTHING = "NOT FOUND"
TOKEN = re.compile(r"\s*(?:\w+|[^\w\s]|\s+$)")


class WordTokenizer(Tokenizer):
    """A token is a word or a punctuation mark with the white space before it. Whole text is covered."""

    def count(self, text: str) -> int:
        """Words and punctuation marks; white space alone is one token."""
        return len(self.starts(text))

    def starts(self, text: str) -> list[int]:
        """Where each begins."""
        return [match.start() for match in TOKEN.finditer(text)]


class ScriptedLLM(WindowedLLM):
    """Answers each prompt with ``reply(prompt)``; scores each continuation with ``likelihood(prompt, continuation)``.

    It has no logits: of several windows, the first that has an answer speaks alone.

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
        pieces = self._pieces(reply)
        kept = pieces[: sampling.max_new_tokens]
        return Generation(
            "".join(kept),
            prompt_tokens,
            len(kept),
            finish="stop" if kept == pieces else "length",
            tokens=tuple(Token(piece, 0.0) for piece in kept) if sampling.logprobs else (),
        )

    def _pieces(self, text: str) -> list[str]:
        """The tokens of a text."""
        return [text[a:b] for a, b in pairwise([*self.tokenizer.starts(text), len(text)])]

    def stream(self, prompt: Prompt, sampling: Sampling) -> Generator[str, None, Generation]:
        """The reply token by token."""
        [made] = self.generate([prompt], sampling)
        yield from self._pieces(made.text)
        return made

    def decode_windows(
        self,
        prompts: Sequence[Prompt],
        merge: Merge,
        sampling: Sampling,
        tell: Callable[[str], None] | None = None,
    ) -> Generation:
        """The first reply in the order of ``prompts`` that is not empty and does not begin with "NOT FOUND", else the first.

        ``merge`` plays no part. Every prompt is asked. Those without a context are priors: they are asked last and their
        replies are taken only where there is no other window. The window whose reply it is has all the weight.
        """
        if not prompts:
            raise ConfigError("windows: there is none to decode from")
        order = sorted(range(len(prompts)), key=lambda i: not prompts[i].contexts)
        replies = dict(zip(order, self.generate([prompts[i] for i in order], sampling), strict=True))
        windows = [i for i in order if prompts[i].contexts] or order
        speaks = next((i for i in windows if _answers(replies[i].text)), windows[0])
        made = replies[speaks]
        self._tell(made, tell)
        return replace(
            made,
            prompt_tokens=sum(reply.prompt_tokens for reply in replies.values()),
            reused_tokens=sum(reply.reused_tokens for reply in replies.values()),
            weights=(tuple(float(i == speaks) for i in range(len(prompts))),) * made.new_tokens,
        )

    def decode_parallel(
        self,
        prompt: Prompt,
        sampling: Sampling,
        tell: Callable[[str], None] | None = None,
        indent: Indent = "left",
    ) -> Generation:
        """``reply(prompt)``, if every context fits the window with the prefix and the task; ``indent`` plays no part."""
        reserved = self.reserved(sampling)
        for context in prompt.contexts:
            self.check_fits(_alone(prompt, context), reserved)
        if not prompt.contexts:
            self.check_fits(prompt, reserved)
        self.prompts.append(prompt)
        made = self._generate(prompt, self.count_tokens(prompt), sampling)
        self._tell(made, tell)
        return made

    def _tell(self, made: Generation, tell: Callable[[str], None] | None) -> None:
        if tell is not None:
            for piece in self._pieces(made.text):
                tell(piece)

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


def _answers(reply: str) -> bool:
    return bool(reply.strip()) and not reply.strip().upper().startswith(NOTHING)


def _alone(prompt: Prompt, context: str) -> Prompt:
    """The prompt with this context only."""
    before, after = ([s for s in prompt.segments if s.role == role] for role in ("prefix", "task"))
    return Prompt((*before, Segment(context, "context", "context"), *after), prompt.step)


def in_turn(replies: Sequence[str]) -> Callable[[Prompt], str]:
    """A function that gives the replies one after the other, and the last one ever after."""
    left = list(replies)
    return lambda _prompt: left.pop(0) if len(left) > 1 else left[0]
