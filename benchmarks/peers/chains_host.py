"""The benchmark's side of a chain: the one model that all programs call, counted, and the process of a library."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ctxproc.errors import LimitError, ModelError, PromptTooLongError
from ctxproc.llm.base import LLM, Generation, LogLikelihood, Sampling
from ctxproc.llm.wrapper import Wrapper
from ctxproc.prompt import Prompt, Segment
from peers.chains_wire import Request
from peers.process import started

SILENCE = 120.0  # seconds after which a process that says nothing is ended
STUBBORN = 20  # refusals after which a process that goes on calling is ended


class ProgramError(RuntimeError):
    """A library's process could not be started, or ended."""


@dataclass
class Spent:
    """What one question cost, counted where the model is.

    Attributes:
        overflows: prompts that did not fit the window with their reply; none of them was read.
        longest: tokens of the longest prompt, those that did not fit included.
        seconds: within the model.
        refused: times that it took no prompt, because one did not fit or there were too many calls.
        endless: it was called more often than the benchmark allows.
    """

    calls: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    overflows: int = 0
    longest: int = 0
    seconds: float = 0.0
    refused: int = 0
    endless: bool = False


class Counted(Wrapper):
    """A model that counts what is asked of it and takes no more than so many calls for one question."""

    def __init__(self, llm: LLM, most_calls: int) -> None:
        super().__init__(llm)
        self.spent = Spent()
        self._most = most_calls

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        """As the model does.

        Raises:
            LimitError: these calls would be too many.
            PromptTooLongError: as the model; nothing was generated.
        """
        self._admit(prompts, self._llm.reserved(sampling))
        began = time.perf_counter()
        made = self._llm.generate(prompts, sampling)
        self.spent.seconds += time.perf_counter() - began
        self._add(len(made), sum(one.prompt_tokens for one in made), sum(one.new_tokens for one in made))
        return made

    def stream(self, prompt: Prompt, sampling: Sampling) -> Generator[str, None, Generation]:
        """The text in one piece."""
        [made] = self.generate([prompt], sampling)
        yield made.text
        return made

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        """As the model does; each pair is a call.

        Raises:
            LimitError, PromptTooLongError: as in `generate`.
        """
        self._admit(prompts, max(map(self._llm.tokenizer.count, continuations), default=0))
        began = time.perf_counter()
        scores = self._llm.score(prompts, continuations)
        self.spent.seconds += time.perf_counter() - began
        tokens = sum(map(self._llm.count_tokens, prompts)) + sum(score.tokens for score in scores)
        self._add(len(scores), tokens, 0)
        return scores

    def _admit(self, prompts: Sequence[Prompt], reserved: int) -> None:
        lengths = [self._llm.count_tokens(prompt) for prompt in prompts]
        self.spent.longest = max([self.spent.longest, *lengths])
        over = [length for length in lengths if length + reserved > self.context_window]
        if self.spent.calls + len(prompts) > self._most:
            self.spent.endless, self.spent.refused = True, self.spent.refused + 1
            raise LimitError(f"cut after {self.spent.calls} calls")
        if over:
            self.spent.overflows, self.spent.refused = self.spent.overflows + len(over), self.spent.refused + 1
            raise PromptTooLongError(max(over), reserved, self.context_window)

    def _add(self, calls: int, prompt_tokens: int, new_tokens: int) -> None:
        self.spent.calls += calls
        self.spent.prompt_tokens += prompt_tokens
        self.spent.new_tokens += new_tokens


class Program:
    """A library in a process of its own.

    Args:
        module: one that calls `peers.chains_wire.serve`; found beside the benchmarks, or on PYTHONPATH.
        python: the interpreter that has the library.
        log: file for its stderr.

    Raises:
        ProgramError: it did not start.
    """

    def __init__(self, module: str, python: str, log: Path) -> None:
        self._log = log
        try:
            self._process = started(module, python, log)
        except OSError as error:
            raise ProgramError(str(error)) from error
        self.facts: dict[str, Any] = self._read()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def ask(self, request: Request, model: Counted) -> str:
        """The library's answer, its calls served by ``model``.

        Raises:
            ProgramError: the library raised, or its process ended, said nothing for too long or would not give up.
        """
        self._write(asdict(request))
        sampling = Sampling(max_new_tokens=request.new_tokens)
        while "prompts" in (message := self._read()):
            try:
                made = model.generate([Prompt((Segment(p, "task"),)) for p in message["prompts"]], sampling)
            except (LimitError, PromptTooLongError, ModelError) as error:
                if model.spent.refused > STUBBORN:
                    self.close()
                    raise ProgramError(f"goes on after {STUBBORN} refusals, the last: {error}") from error
                self._write({"refused": str(error)})
            else:
                self._write({"texts": [one.text for one in made]})
        if "error" in message:
            raise ProgramError(message["error"])
        text: str = message["answer"]
        return text

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # then nothing comes back, which says it
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready = select.select([self._process.stdout], [], [], SILENCE)[0]  # one line at a time is under way
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self.close()
            said = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise ProgramError((said or ["no message"])[-1] if ready else f"said nothing for {SILENCE:.0f} s")
        message: dict[str, Any] = json.loads(line)
        return message
