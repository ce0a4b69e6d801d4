"""The built-in reader behind the `LLM` seam: it answers by quoting, offline, and knows when there is nothing to quote.

It reads a prompt's segments (the contexts, and the place ``question``) and not the template's words, so every strategy
runs on it unchanged. It cannot write, summarise or join what two passages say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

from ctxproc.chunk import sentence_around
from ctxproc.llm.base import LLM, Generation, LogLikelihood, Sampling
from ctxproc.llm.several import joined
from ctxproc.llm.tokenizer import HfTokenizer
from ctxproc.llm.trunk import trunk_folder
from ctxproc.prompt import Prompt

if TYPE_CHECKING:
    from ctxproc.llm.reader import Reading
    from ctxproc.llm.reader_zh import TwoReaders

WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W\d_\u2e80-\U0003ffff]+")
"""A number with separators, or a run of letters of a script that writes words apart."""

WINDOW = 512
SPECIALS = 3  # [CLS] question [SEP] context [SEP]


class BuiltinReader(LLM):
    """A span reader on the trunk of all-MiniLM-L6-v2; see weights/reader.md for what it can and cannot do.

    ``generate`` gives the span as text, the sentence around it as quote, and a calibrated confidence; no tokens are
    generated. Its tokenizer loads at once, its weights when first needed. A question or a passage in Chinese goes to a
    reader of its own (reader_zh.py), with weights of its own.

    Raises:
        ModelError: the package that brings the trunk is not installed.
    """

    def __init__(self, *, device: str = "auto", dtype: str = "auto", context_window: int | None = None) -> None:
        self.name = "builtin"
        self.gives_confidence = True
        self.writes = False
        self.context_window = min(context_window or WINDOW, WINDOW)
        self.tokenizer = HfTokenizer.load(trunk_folder())
        self._device = device
        self._dtype = dtype

    @property
    def wrapping_tokens(self) -> int:
        """The three special tokens."""
        return SPECIALS

    def count_tokens(self, prompt: Prompt) -> int:
        """Tokens of the contexts and of the question; the template's words are not read."""
        read = (segment.text for segment in prompt.segments if segment.role == "context" or segment.field == "question")
        return SPECIALS + sum(map(self.tokenizer.count, read))

    def reserved(self, sampling: Sampling) -> int:
        """Nothing: it points and does not write."""
        return 0

    @cached_property
    def _reader(self) -> TwoReaders:
        from ctxproc.llm.hardware import choose_device, choose_dtype
        from ctxproc.llm.quantise import hushed

        with hushed():
            from ctxproc.llm.reader import SpanReader
            from ctxproc.llm.reader_zh import ChineseReader, TwoReaders

        device = choose_device(self._device)
        dtype = choose_dtype(self._dtype, device)
        return TwoReaders(
            partial(SpanReader.load, device=device, dtype=dtype),
            partial(ChineseReader.load, device=device, dtype=dtype),
        )

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        """The best span of each prompt's contexts, with a low confidence where the passage holds no answer."""
        tokens = [self.check_fits(prompt, 0) for prompt in prompts]
        contexts = [prompt.part("context") for prompt in prompts]
        readings = self._reader.read([prompt.field("question") for prompt in prompts], contexts, always=True)
        return [quoted(*item) for item in zip(readings, contexts, tokens, strict=True)]

    def stream(self, prompt: Prompt, sampling: Sampling) -> Generator[str, None, Generation]:
        """The span, in one piece."""
        [made] = self.generate([prompt], sampling)
        if made.text:
            yield made.text
        return made

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        """The log of the probability that the span is this text, wherever it stands; -inf where it does not stand.

        "" is the probability that there is no answer.
        """
        for prompt in prompts:
            self.check_fits(prompt, 0)
        questions = [prompt.field("question") for prompt in prompts]
        contexts = [prompt.part("context") for prompt in prompts]
        totals = self._reader.log_probability(questions, contexts, list(continuations))
        return [
            LogLikelihood(-math.inf if math.isnan(total) else total, self.tokenizer.count(continuation))
            for total, continuation in zip(totals, continuations, strict=True)
        ]


def quoted(reading: Reading, context: str, tokens: int) -> Generation:
    """A reading as a generation, with the sentence around its span, or the sentences around its spans, as the quote."""
    found = [whole_words(context, *span) for span in reading.members or [(reading.start, reading.end)]]
    start, end = found[0][0], found[-1][1]
    text = joined(found, context)
    if text:
        start, end = sentence_around(context, start, end)
    return Generation(text, tokens, 0, confidence=reading.confidence, quote=context[start:end])


def whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """The span, grown so that it cuts no word and no number such as 1,308 or 3.14; an empty span stays empty."""
    if start < end:
        for word in WORD.finditer(text, max(0, start - 40), end + 40):
            if word.start() < start < word.end():
                start = word.start()
            if word.start() < end < word.end():
                end = word.end()
    return start, end
