"""LlamaIndex's response synthesizers: refine, compact (and refine), tree_summarize, with their own prompts.

    pip install llama-index-core==0.14.25 tokenizers

The window and the reply's length are told by the model's metadata, as an integration does; without them the library takes
3,900 and 256.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from llama_index.core import Settings
from llama_index.core.llms import CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.schema import NodeWithScore, TextNode

from peers.chains_wire import Model, Request, serve, tokens_of


class Piped(CustomLLM):
    """The served model."""

    model: Any
    window: int | None
    new_tokens: int

    @property
    def metadata(self) -> LLMMetadata:
        """Window and reply, where they are told."""
        return LLMMetadata(context_window=self.window, num_output=self.new_tokens) if self.window else LLMMetadata()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: object) -> CompletionResponse:
        """What the model writes."""
        return CompletionResponse(text=self.model.generate([prompt])[0])

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: object) -> CompletionResponseGen:
        """Not asked for here."""
        raise NotImplementedError


def answer(request: Request, model: Model) -> str:
    """The synthesizer's answer."""
    Settings.tokenizer = tokens_of(request.tokenizer)
    llm = Piped(model=model, window=request.window, new_tokens=request.new_tokens)
    synthesizer = get_response_synthesizer(llm=llm, response_mode=ResponseMode(request.strategy))
    nodes = [NodeWithScore(node=TextNode(text=text), score=1.0) for text in request.documents]
    return str(synthesizer.synthesize(request.question, nodes))


if __name__ == "__main__":
    serve(answer, {"llama-index-core": version("llama-index-core")})
