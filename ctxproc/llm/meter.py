"""A model that counts what passes through it, keeps within limits, and tells the trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ctxproc.answer import Usage
from ctxproc.errors import LimitError
from ctxproc.llm.base import LLM, Generation, LogLikelihood, Sampling, WindowedLLM
from ctxproc.prompt import Prompt
from ctxproc.trace import Called, Noted, Scored, Trace

if TYPE_CHECKING:
    from ctxproc.llm.merging import Merge

AT_ONCE = 64
"""Prompts that are handed to the model together; progress is told between."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard limits of one run; None is no limit."""

    calls: int | None = None
    tokens: int | None = None


class Meter(LLM):
    """Wraps a model for one run. A call that would pass a limit is not made."""

    def __init__(self, llm: LLM, limits: Limits, trace: Trace) -> None:
        self.name = llm.name
        self.context_window = llm.context_window
        self.tokenizer = llm.tokenizer
        self.gives_confidence = llm.gives_confidence
        self._llm = llm
        self._limits = limits
        self._trace = trace
        self._calls = self._prompt_tokens = self._reused_tokens = self._new_tokens = 0
        self._grades: set[str] = set()

    @property
    def wrapping_tokens(self) -> int:
        """The model's own."""
        return self._llm.wrapping_tokens

    def count_tokens(self, prompt: Prompt) -> int:
        """The model's own count."""
        return self._llm.count_tokens(prompt)

    def reserved(self, sampling: Sampling) -> int:
        """The model's own."""
        return self._llm.reserved(sampling)

    def check_scores(self) -> None:
        """As the model does."""
        self._llm.check_scores()

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
        tell = self._trace.progress("read")
        generations: list[Generation] = []
        for start in range(0, len(prompts), AT_ONCE):
            tell(start, len(prompts))
            own = replace(sampling, stream=sampling.stream + start)
            generations += self._generate(prompts[start : start + AT_ONCE], own)
        tell(len(prompts), len(prompts))
        return generations

    def _generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        generations = self._llm.generate(prompts, sampling)
        for prompt, made in zip(prompts, generations, strict=True):
            self._called(prompt, made)
        return generations

    def _called(self, prompt: Prompt, made: Generation) -> None:
        self._add(made.prompt_tokens, made.new_tokens, made.reused_tokens)
        self._grades.add(made.grade)
        self._pass_on_notices()
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
            )
        )

    def stream(self, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
        """As the model does; counted when it ends, also when it is ended early."""
        self._check([prompt], self._llm.reserved(sampling))
        pieces: list[str] = []
        try:
            for piece in self._llm.stream(prompt, sampling):
                pieces.append(piece)
                yield piece
        finally:
            text = "".join(pieces)
            spent = self._llm.count_tokens(prompt), self._llm.tokenizer.count(text), 0
            self._add(*spent)
            self._pass_on_notices()
            self._trace.emit(Called(prompt.step, segments(prompt), text, *spent))

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        """As the model does; each pair is a call.

        Raises:
            LimitError: as in `generate`.
        """
        self._check(prompts, sum(map(self._llm.tokenizer.count, continuations)))
        scores = self._llm.score(prompts, continuations)
        self._pass_on_notices()
        for prompt, continuation, score in zip(prompts, continuations, scores, strict=True):
            self._add(self._llm.count_tokens(prompt) + score.tokens, 0, score.reused_tokens)
            self._grades.add(score.grade)
            self._trace.emit(Scored(prompt.step, segments(prompt), continuation, score.total, score.tokens))
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
            raise LimitError(f"the run needs up to {tokens} tokens, limits.tokens is {self._limits.tokens}")

    def _add(self, prompt_tokens: int, new_tokens: int, reused_tokens: int) -> None:
        self._calls += 1
        self._prompt_tokens += prompt_tokens
        self._new_tokens += new_tokens
        self._reused_tokens += reused_tokens


class WindowedMeter(Meter, WindowedLLM):
    """A `Meter` of a model that shows its logits."""

    _llm: WindowedLLM

    def decode_windows(self, prompts: Sequence[Prompt], merge: Merge, sampling: Sampling) -> Generation:
        """As the model does; each window is a call, and the text is counted once.

        Raises:
            LimitError: as in `generate`.
        """
        self._check(prompts, self._llm.reserved(sampling))
        made = self._llm.decode_windows(prompts, merge, sampling)
        self._calls += len(prompts) - 1
        self._called(Prompt(tuple(s for prompt in prompts for s in prompt.segments), prompts[0].step), made)
        return made

    def decode_parallel(self, prompt: Prompt, sampling: Sampling) -> Generation:
        """As the model does; one call.

        Raises:
            LimitError: as in `generate`.
        """
        self._check([prompt], self._llm.reserved(sampling))
        made = self._llm.decode_parallel(prompt, sampling)
        self._called(prompt, made)
        return made


def metered(llm: LLM, limits: Limits, trace: Trace) -> Meter:
    """A meter that can do what the model can."""
    return (WindowedMeter if isinstance(llm, WindowedLLM) else Meter)(llm, limits, trace)


def segments(prompt: Prompt) -> tuple[tuple[str, str | None, str], ...]:
    """A prompt's segments as the trace keeps them."""
    return tuple((segment.role, segment.field, segment.text) for segment in prompt.segments)
