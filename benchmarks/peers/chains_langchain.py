"""LangChain's chains over documents (langchain-classic): stuff, map_reduce, refine, map_rerank, with their own prompts.

    pip install langchain-classic==1.0.8 tokenizers

``token_max`` of map_reduce is the window less the reply, the best that a careful user can set, or the library's 3,000.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from langchain_classic.chains.question_answering import load_qa_chain
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.documents import Document
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, LLMResult

from peers.chains_wire import Model, Request, serve, tokens_of


class Piped(BaseLLM):
    """The served model; it counts tokens as that model does, not with the GPT-2 tokenizer."""

    model: Any
    tokenizer: str

    @property
    def _llm_type(self) -> str:
        return "piped"

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> LLMResult:
        return LLMResult(generations=[[Generation(text=text)] for text in self.model.generate(prompts)])

    def get_num_tokens(self, text: str) -> int:
        """Tokens of a text."""
        return len(tokens_of(self.tokenizer)(text))


def answer(request: Request, model: Model) -> str:
    """The chain's answer."""
    llm = Piped(model=model, tokenizer=request.tokenizer)
    told = request.strategy == "map_reduce" and request.window is not None
    options = {"token_max": request.window - request.new_tokens} if told and request.window else {}
    chain = load_qa_chain(llm, request.strategy, **options)
    documents = [Document(page_content=text) for text in request.documents]
    said: str = chain.invoke({"input_documents": documents, "question": request.question})["output_text"]
    return said


if __name__ == "__main__":
    serve(answer, {name: version(name) for name in ("langchain-classic", "langchain-core")})
