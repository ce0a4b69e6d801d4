"""What a model that stands before another one has in common with it."""

from __future__ import annotations

from ctxproc.llm.base import LLM, Sampling
from ctxproc.prompt import Prompt


class Wrapper(LLM):
    """A model that counts, reserves and refuses as another one does; how it generates and scores its kind says.

    Args:
        llm: the other one.
    """

    _llm: LLM

    def __init__(self, llm: LLM) -> None:
        self.name = llm.name
        self.context_window = llm.context_window
        self.tokenizer = llm.tokenizer
        self.gives_confidence = llm.gives_confidence
        self.writes = llm.writes
        self._llm = llm

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
