"""The seam to a local language model: what every strategy may ask of one.

Implementations: `ScriptedLLM` (scripted.py, a fake that ships), `BuiltinReader` (builtin.py, works offline),
`TransformersLLM` (local.py, any causal model of transformers), `EndpointLLM` (endpoint.py, any OpenAI-compatible server).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from ctxproc.errors import ModelError, PromptTooLongError
from ctxproc.llm.constraint import Constraint
from ctxproc.prompt import Prompt

if TYPE_CHECKING:
    from ctxproc.llm.merging import Merge

T = TypeVar("T")
Indent = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to generate.

    Attributes:
        max_new_tokens: upper bound of the answer, in tokens; reserved in the window of every prompt.
        temperature: 0 is greedy (the default); above 0 samples with ``seed``.
        top_p: nucleus, in (0, 1]; 1 keeps every token.
        top_k: 0 keeps every token.
        seed: of the sampler; the same seed, prompt and batch give the same text.
        stream: number of the first prompt's random stream; the prompts after it take the next ones.
        stop: generation ends before the first of these strings, which are not part of the text.
        constraint: what the whole text must be, unless max_new_tokens or a stop string cuts it; None for any text.
        logprobs: ask for `Generation.tokens`; the text is the same.
    """

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stream: int = 0
    stop: tuple[str, ...] = ()
    constraint: Constraint | None = None
    logprobs: bool = False


class Token(NamedTuple):
    """A generated token.

    Attributes:
        text: what it made certain; "" where it completed nothing yet, or ends the text.
        logprob: its log-probability in nats by the model, after the mask of a constraint and before temperature, top_p
            and top_k; of a text decoded from several windows, by their merged scores.
    """

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model made of one prompt.

    Attributes:
        text: the generated text, without the prompt, stop strings and special tokens; "" where a reader finds nothing.
        prompt_tokens: tokens of the prompt, chat markers included.
        new_tokens: tokens generated.
        reused_tokens: tokens of the prompt whose keys and values were not computed again.
        finish: "stop" (the model ended, or a stop string) or "length" (max_new_tokens reached).
        confidence: calibrated probability that the text is right and the context holds it; None if it has none.
        quote: the passage of the context that the text rests on, verbatim, from a model that answers by quoting.
        grade: how keys and values were reused (``reuse.grade`` in the settings); "full" where they never are.
        weights: of each token that was decoded from several windows, how much each window counted; sums to 1.
        tokens: one for each of ``new_tokens``, if `Sampling.logprobs` asked and the model shows them; their texts joined
            are ``text``.
        entropies: of each token decoded by a merge that looks at entropies (NBCE), that of each window's row in nats as
            it was compared, so the window that led before has eta less; first the prior's own, which is compared with none.
    """

    text: str
    prompt_tokens: int
    new_tokens: int
    reused_tokens: int = 0
    finish: Literal["stop", "length"] = "stop"
    confidence: float | None = None
    quote: str | None = None
    grade: str = "full"
    weights: tuple[tuple[float, ...], ...] = ()
    tokens: tuple[Token, ...] = ()
    entropies: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class LogLikelihood:
    """log p(continuation | prompt) in nats: the sum over its tokens, and how many there are.

    ``reused_tokens`` of the prompt were not computed again for it; ``grade`` as `Generation.grade`.
    """

    total: float
    tokens: int
    reused_tokens: int = 0
    grade: str = "full"

    @property
    def mean(self) -> float:
        """Per token; 0 for an empty continuation."""
        return self.total / self.tokens if self.tokens else 0.0


@dataclass(frozen=True, slots=True)
class Warmed:
    """Segments whose keys and values were computed, those that were there already, and tokens of the former."""

    entries: int = 0
    reused: int = 0
    tokens: int = 0

    def __add__(self, other: Warmed) -> Warmed:
        return Warmed(self.entries + other.entries, self.reused + other.reused, self.tokens + other.tokens)


class Tokenizer(ABC):
    """Text to tokens, as one model counts them. Text is data: the names of special tokens in it are plain text."""

    @abstractmethod
    def count(self, text: str) -> int:
        """The number of tokens of ``text`` on its own, without special tokens."""

    def count_batch(self, texts: Sequence[str]) -> list[int]:
        """``count`` of each text, in order; a tokenizer that is faster on many texts at once says how."""
        return [self.count(text) for text in texts]

    @abstractmethod
    def starts(self, text: str) -> list[int]:
        """The character at which each token of ``text`` begins: ascending, len == count(text).

        Several tokens may begin at one character (bytes of one emoji).
        """


class LLM(ABC):
    """A local language model.

    Attributes:
        name: what a user calls it, e.g. ``builtin`` or a folder.
        context_window: tokens that a prompt and its answer may have together.
        tokenizer: its own; loaded without the weights.
        gives_confidence: every generation carries a calibrated confidence.
        writes: it makes text of its own; a model that does not answers by quoting.
    """

    name: str
    context_window: int
    tokenizer: Tokenizer
    gives_confidence: bool = False
    writes: bool = True

    def count_tokens(self, prompt: Prompt) -> int:
        """Tokens of a prompt: its segments, each on its own, and what the model wraps around them."""
        return self.wrapping_tokens + sum(self.tokenizer.count(piece) for piece in prompt.pieces)

    @property
    def wrapping_tokens(self) -> int:
        """Tokens that the model adds to every prompt: begin-of-text and chat markers."""
        return 0

    def reserved(self, sampling: Sampling) -> int:
        """Tokens of the window that an answer may take; 0 for a model that answers by pointing."""
        return sampling.max_new_tokens

    def check_fits(self, prompt: Prompt, reserved: int) -> int:
        """The prompt's tokens, if they and ``reserved`` answer tokens fit the window.

        Raises:
            PromptTooLongError: they do not; says by how much.
        """
        tokens = self.count_tokens(prompt)
        if tokens + reserved > self.context_window:
            raise PromptTooLongError(tokens, reserved, self.context_window)
        return tokens

    def notices(self) -> list[str]:
        """What a user should know and has not been told yet, a line each, such as why nothing is reused."""
        return []

    def affords(self, prompts: Sequence[Prompt], reserved: int) -> int:
        """How many of these prompts, from the first on, may still be sent with ``reserved`` more tokens each.

        All of them, unless a limit of the run says otherwise (see meter.py).
        """
        return len(prompts)

    def check_scores(self) -> None:
        """Ask before the first call whether `score` can be had.

        Raises:
            ModelError: it cannot; says what to do instead.
        """
        return

    def warm(self, prompts: Sequence[Prompt]) -> Warmed:
        """Read what comes before the task of each prompt, so that later calls need not.

        Raises:
            ModelError: this model keeps nothing between calls.
        """
        raise ModelError(f"model {self.name} keeps nothing between calls: use a transformers model")

    @abstractmethod
    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        """One generation per prompt, in order; batched where that is faster, with the same result.

        Raises:
            PromptTooLongError: a prompt and ``sampling.max_new_tokens`` exceed the window; nothing was generated.
            ModelError: the weights cannot be loaded or used.
        """

    @abstractmethod
    def stream(self, prompt: Prompt, sampling: Sampling) -> Generator[str, None, Generation]:
        """The pieces of what `generate` would give for this prompt, as they come; joined they are its text.

        Returns:
            What `generate` would give; `finished` runs the pieces to their end for it.
        """

    @abstractmethod
    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        """The log-likelihoods log p(continuations[i] | prompts[i]). Both have the same length.

        The continuation's tokens are counted without the prompt's (nothing merges across the border).
        """


class WindowedLLM(LLM):
    """An `LLM` that also shows its logits: it decodes one text from several windows. See `windowed`."""

    @abstractmethod
    def decode_windows(
        self,
        prompts: Sequence[Prompt],
        merge: Merge,
        sampling: Sampling,
        tell: Callable[[str], None] | None = None,
    ) -> Generation:
        """One text from several prompts, whose next-token logits ``merge`` makes into one (NBCE, REPLUG, ensembles).

        Every prompt is a window of its own and must fit alone; each token is appended to all of them. ``tell`` is called
        with each piece of the text as it becomes certain.

        Returns:
            The text; its token counts are those of all prompts together, ``new_tokens`` of the text.

        Raises:
            PromptTooLongError: a prompt and ``sampling.max_new_tokens`` exceed the window; nothing was generated.
        """

    @abstractmethod
    def decode_parallel(
        self,
        prompt: Prompt,
        sampling: Sampling,
        tell: Callable[[str], None] | None = None,
        indent: Indent = "left",
    ) -> Generation:
        """A prompt whose contexts stand side by side and not one after the other (PCW; Ratner et al. 2023).

        Each context is read behind the prefix as if it were the only one; the task sees all of them and has the positions
        behind the longest. What joins contexts in the prompt is left out.

        Args:
            prompt: prefix, contexts, task.
            sampling: as in `generate`.
            tell: is called with each piece of the text as it becomes certain.
            indent: where windows, each the prefix and a context, stand. "left": all begin at position 0. "right": all end
                where the longest ends, so the task follows every context directly; it sees the prefix of the longest only.

        Raises:
            PromptTooLongError: prefix, longest context, task and ``sampling.max_new_tokens`` exceed the window.
            ModelError: this model's attention cannot be read so; says why.
        """


def finished(pieces: Generator[str, None, T], tell: Callable[[str], None] | None = None) -> T:
    """What a generator of pieces returns at its end; ``tell`` is called with each piece."""
    while True:
        try:
            piece = next(pieces)
        except StopIteration as end:
            result: T = end.value
            return result
        if tell is not None:
            tell(piece)


def windowed(llm: LLM, what: str) -> WindowedLLM:
    """``llm``, if it shows logits; ask before the first call.

    Args:
        llm: any model.
        what: that needs them, for the message.

    Raises:
        ModelError: it shows only text.
    """
    if not isinstance(llm, WindowedLLM):
        raise ModelError(
            f"{what} needs a model that shows its logits, and {llm.name} does not: use a transformers model"
        )
    return llm
