"""A model whose words are taken from the trace of an earlier run: to show the run again, or to go on with it."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ctxproc.errors import ReplayError
from ctxproc.llm.base import LLM, Generation, LogLikelihood, Sampling, Token, WindowedLLM
from ctxproc.llm.meter import segments
from ctxproc.llm.wrapper import Wrapper
from ctxproc.prompt import Prompt

if TYPE_CHECKING:
    from ctxproc.llm.merging import Merge

INTERRUPTED = "interrupted"
"""How a reply ended that its reader did not let come to its end; it is not used again."""


class Recorded(Wrapper):
    """``llm`` for counting, and the recorded words of its trace for every prompt that stands there, each used once.

    Args:
        llm: the model of the run; its weights are not loaded as long as every prompt was recorded.
        events: of the run's trace, as `ctxproc.trace.read` gives them.
        live: let ``llm`` speak to prompts that were not recorded.

    Raises:
        ReplayError: (when called) a prompt was not recorded, and ``live`` is False.
    """

    def __init__(self, llm: LLM, events: Sequence[Mapping[str, Any]], live: bool) -> None:
        super().__init__(llm)
        self._live = live
        self._scored = any(event["event"] == "Scored" for event in events)
        self._kept: dict[str, deque[Mapping[str, Any]]] = defaultdict(deque)
        for event in events:
            if event["event"] in ("Called", "Scored", "Decoded") and event.get("finish") != INTERRUPTED:
                self._kept[key_of(event)].append(event)

    def notices(self) -> list[str]:
        """The model's own, where it speaks."""
        return self._llm.notices() if self._live else []

    def check_scores(self) -> None:
        """As the model; it is not asked where the recorded words are all there is and hold a log-likelihood."""
        if self._live or not self._scored:
            self._llm.check_scores()

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        """The recorded replies; the model's own where there is none, drawn as if all had been asked together."""
        found = [self._take("generate", prompt.step, segments(prompt)) for prompt in prompts]
        if prompts and all(event is None for event in found):
            return self._asked().generate(prompts, sampling)
        return [
            generation(event)
            if event
            else self._asked().generate([prompt], replace(sampling, stream=sampling.stream + i))[0]
            for i, (prompt, event) in enumerate(zip(prompts, found, strict=True))
        ]

    def stream(self, prompt: Prompt, sampling: Sampling) -> Generator[str, None, Generation]:
        """The recorded reply in one piece."""
        event = self._take("generate", prompt.step, segments(prompt))
        if event is None:
            return (yield from self._asked().stream(prompt, sampling))
        made = generation(event)
        if made.text:
            yield made.text
        return made

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        """The recorded log-likelihoods."""
        wanted = list(zip(prompts, continuations, strict=True))
        found = [self._take("score", prompt.step, segments(prompt), words) for prompt, words in wanted]
        missing = [pair for pair, event in zip(wanted, found, strict=True) if event is None]
        new = iter(self._asked().score([p for p, _ in missing], [c for _, c in missing]) if missing else [])
        return [
            LogLikelihood(event["total"], event["tokens"], event["reused_tokens"], event["grade"])
            if event
            else next(new)
            for event in found
        ]

    def _take(self, *key: object) -> Mapping[str, Any] | None:
        kept = self._kept.get(json.dumps(key))
        return kept.popleft() if kept else None

    def _asked(self) -> LLM:
        """The model itself."""
        if not self._live:
            raise ReplayError("the run would ask what its trace does not hold: the program has changed since")
        return self._llm


class WindowedRecorded(Recorded, WindowedLLM):
    """`Recorded` of a model that shows its logits."""

    def decode_windows(
        self,
        prompts: Sequence[Prompt],
        merge: Merge,
        sampling: Sampling,
        tell: Callable[[str], None] | None = None,
    ) -> Generation:
        """The recorded text with its weights."""
        event = self._take("windows", prompts[0].step, tuple(map(segments, prompts)), repr(merge))
        if event is None:
            return self._windowed().decode_windows(prompts, merge, sampling, tell)
        return told(generation(event), tell)

    def decode_parallel(
        self,
        prompt: Prompt,
        sampling: Sampling,
        tell: Callable[[str], None] | None = None,
        indent: Literal["left", "right"] = "left",
    ) -> Generation:
        """The recorded text."""
        event = self._take(f"parallel, {indent}", prompt.step, segments(prompt))
        if event is None:
            return self._windowed().decode_parallel(prompt, sampling, tell, indent)
        return told(generation(event), tell)

    def _windowed(self) -> WindowedLLM:
        model = self._asked()
        assert isinstance(model, WindowedLLM)
        return model


def recorded(llm: LLM, events: Sequence[Mapping[str, Any]], live: bool) -> Recorded:
    """A `Recorded` that can do what the model can."""
    return (WindowedRecorded if isinstance(llm, WindowedLLM) else Recorded)(llm, events, live)


def key_of(event: Mapping[str, Any]) -> str:
    """What was asked, as text: equal for equal questions to the model."""
    match event["event"]:
        case "Scored":
            return json.dumps(["score", event["step"], event["segments"], event["continuation"]])
        case "Decoded":
            return json.dumps(["windows", event["step"], event["windows"], event["merge"]])
        case _:
            way = "generate" if event["way"] == "stream" else event["way"]
            return json.dumps([way, event["step"], event["segments"]])


def generation(event: Mapping[str, Any]) -> Generation:
    """What the model gave, from its event."""
    return Generation(
        event["text"],
        event["prompt_tokens"],
        event["new_tokens"],
        event["reused_tokens"],
        event["finish"],
        event.get("confidence"),
        event.get("quote"),
        event["grade"],
        tuple(map(tuple, event.get("weights", ()))),
        tokens=tuple(Token(*token) for token in event["tokens"]),
        entropies=tuple(map(tuple, event.get("entropies", ()))),
    )


def told(made: Generation, tell: Callable[[str], None] | None) -> Generation:
    """The generation, told in one piece."""
    if tell and made.text:
        tell(made.text)
    return made
