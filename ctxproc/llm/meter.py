"""A model that counts what passes through it, keeps within limits, and tells the trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from ctxproc.answer import Usage
from ctxproc.errors import LimitError
from ctxproc.llm.base import LLM, Generation, LogLikelihood, Sampling, WindowedLLM
from ctxproc.llm.wrapper import Wrapper
from ctxproc.prompt import Prompt
from ctxproc.trace import Called, Decoded, Noted, Scored, Segments, Trace

if TYPE_CHECKING:
    from ctxproc.llm.merging import Merge

Tell = Callable[[str], None]

AT_ONCE = 64
"""Prompts that are handed to the model together; progress is told between."""


CALLS = "limits.calls"
TOKENS = "limits.run_tokens"
"""The settings that limit a run."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard limits of one run; None is no limit."""

    calls: int | None = None
    tokens: int | None = None


class Meter(Wrapper):
    """Wraps a model for one run. A call that would pass a limit is not made.

    Attributes:
        reached: the limits, by the names of their settings, that kept calls from being made or chunks from being read.
    """

    def __init__(self, llm: LLM, limits: Limits, trace: Trace) -> None:
        super().__init__(llm)
        self.reached: set[str] = set()
        self._limits = limits
        self._trace = trace
        self._calls = self._prompt_tokens = self._reused_tokens = self._new_tokens = 0
        self._grades: set[str] = set()

    def affords(self, prompts: Sequence[Prompt], reserved: int) -> int:
        """How many of these prompts, from the first on, the limits still allow for."""
        calls = len(prompts) if self._limits.calls is None else max(0, self._limits.calls - self._calls)
        number, limit = min(len(prompts), calls), CALLS
        if self._limits.tokens is not None:
            left = self._limits.tokens - self._prompt_tokens - self._new_tokens
            costs = accumulate(self._llm.count_tokens(prompt) + reserved for prompt in prompts[:number])
            held = sum(1 for cost in costs if cost <= left)
            number, limit = (held, TOKENS) if held < number else (number, CALLS)
        if number < len(prompts):
            self.reached.add(limit)
        return number

    @property
    def stopped(self) -> str:
        """The limits that were reached, with their values, in one phrase; "" where none was."""
        limits = ((CALLS, self._limits.calls), (TOKENS, self._limits.tokens))
        reached = " and ".join(f"{name} {limit}" for name, limit in limits if name in self.reached)
        return f"{reached} reached" if reached else ""

    def usage(self, seconds: float) -> Usage:
        """What has been spent so far."""
        grades = ",".join(sorted(self._grades)) or "full"
        return Usage(self._calls, self._prompt_tokens, self._reused_tokens, self._new_tokens, seconds, grades)

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        """As the model does.

        Raises:
            LimitError: the calls or tokens of these prompts, answers included, would exceed the limits.
        """
        self._check(prompts, self._llm.reserved(sampling) * len(prompts))
        tell = self._trace.progress("read") if len(prompts) > 1 else None
        generations: list[Generation] = []
        for start in range(0, len(prompts), AT_ONCE):
            if tell:
                tell(start, len(prompts))
            own = replace(sampling, stream=sampling.stream + start)
            generations += self._generate(prompts[start : start + AT_ONCE], own)
        if tell:
            tell(len(prompts), len(prompts))
        return generations

    def _generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        began = time.monotonic()
        generations = self._llm.generate(prompts, sampling)
        seconds = (time.monotonic() - began) / len(prompts)
        for prompt, made in zip(prompts, generations, strict=True):
            self._called(prompt, made, seconds)
        return generations

    def _called(
        self, prompt: Prompt, made: Generation, seconds: float, way: str = "generate", finish: str = ""
    ) -> None:
        self._count(made)
        self._trace.emit(
            Called(
                prompt.step,
                segments(prompt),
                made.text,
                made.prompt_tokens,
                made.new_tokens,
                made.reused_tokens,
                made.confidence,
                made.quote,
                made.grade,
                finish or made.finish,
                seconds,
                way,
                tuple((token.text, token.logprob) for token in made.tokens),
            )
        )

    def _count(self, made: Generation, calls: int = 1) -> None:
        self._calls += calls
        self._prompt_tokens += made.prompt_tokens
        self._new_tokens += made.new_tokens
        self._reused_tokens += made.reused_tokens
        self._grades.add(made.grade)
        self._pass_on_notices()

    def stream(self, prompt: Prompt, sampling: Sampling) -> Generator[str, None, Generation]:
        """As the model does; counted when it ends, also when it is ended early."""
        self._check([prompt], self._llm.reserved(sampling))
        began = time.monotonic()
        pieces: list[str] = []
        made: Generation | None = None
        stream = self._llm.stream(prompt, sampling)
        try:
            while True:
                try:
                    pieces.append(next(stream))
                except StopIteration as end:
                    made = end.value
                    break
                yield pieces[-1]
        finally:
            stream.close()
            if made is None:
                text = "".join(pieces)
                cut = Generation(text, self._llm.count_tokens(prompt), self._llm.tokenizer.count(text))
                self._called(prompt, cut, time.monotonic() - began, "stream", "interrupted")
        self._called(prompt, made, time.monotonic() - began, "stream")
        return made

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        """As the model does; each pair is a call.

        Raises:
            LimitError: as in `generate`.
        """
        self._check(prompts, sum(map(self._llm.tokenizer.count, continuations)))
        began = time.monotonic()
        scores = self._llm.score(prompts, continuations)
        seconds = (time.monotonic() - began) / max(1, len(prompts))
        for prompt, continuation, score in zip(prompts, continuations, scores, strict=True):
            read = self._llm.count_tokens(prompt) + score.tokens
            self._count(Generation("", read, 0, score.reused_tokens, grade=score.grade))
            self._trace.emit(
                Scored(
                    prompt.step,
                    segments(prompt),
                    continuation,
                    score.total,
                    score.tokens,
                    score.reused_tokens,
                    score.grade,
                    seconds,
                )
            )
        return scores

    def _pass_on_notices(self) -> None:
        for notice in self._llm.notices():
            self._trace.emit(Noted(notice))

    def _check(self, prompts: Sequence[Prompt], extra_tokens: int) -> None:
        calls = self._calls + len(prompts)
        if self._limits.calls is not None and calls > self._limits.calls:
            raise LimitError(f"the run needs {calls} model calls, limits.calls is {self._limits.calls}")
        if self._limits.tokens is None:
            return
        tokens = self._prompt_tokens + self._new_tokens + extra_tokens + sum(map(self._llm.count_tokens, prompts))
        if tokens > self._limits.tokens:
            raise LimitError(f"the run needs up to {tokens} tokens, limits.run_tokens is {self._limits.tokens}")


class WindowedMeter(Meter, WindowedLLM):
    """A `Meter` of a model that shows its logits."""

    _llm: WindowedLLM

    def decode_windows(
        self, prompts: Sequence[Prompt], merge: Merge, sampling: Sampling, tell: Tell | None = None
    ) -> Generation:
        """As the model does; each window is a call, and the text is counted once.

        Raises:
            LimitError: as in `generate`.
        """
        self._check(prompts, self._llm.reserved(sampling))
        began = time.monotonic()
        made = self._llm.decode_windows(prompts, merge, replace(sampling, logprobs=True), tell)
        self._count(made, len(prompts))
        self._trace.emit(
            Decoded(
                prompts[0].step,
                tuple(map(segments, prompts)),
                repr(merge),
                made.text,
                tuple((token.text, token.logprob) for token in made.tokens),
                made.weights,
                made.entropies,
                made.prompt_tokens,
                made.new_tokens,
                made.reused_tokens,
                made.grade,
                made.finish,
                time.monotonic() - began,
                made.confidence,
                made.quote,
            )
        )
        return made

    def decode_parallel(
        self, prompt: Prompt, sampling: Sampling, tell: Tell | None = None, indent: Literal["left", "right"] = "left"
    ) -> Generation:
        """As the model does; one call.

        Raises:
            LimitError: as in `generate`.
        """
        self._check([prompt], self._llm.reserved(sampling))
        began = time.monotonic()
        made = self._llm.decode_parallel(prompt, sampling, tell, indent)
        self._called(prompt, made, time.monotonic() - began, f"parallel, {indent}")
        return made


def metered(llm: LLM, limits: Limits, trace: Trace) -> Meter:
    """A meter that can do what the model can; a model that is metered already is taken as it is."""
    if isinstance(llm, Meter):
        return llm
    return (WindowedMeter if isinstance(llm, WindowedLLM) else Meter)(llm, limits, trace)


def segments(prompt: Prompt) -> Segments:
    """A prompt's segments as the trace keeps them."""
    return tuple((segment.role, segment.field, segment.text) for segment in prompt.segments)
