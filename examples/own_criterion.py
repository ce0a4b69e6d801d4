"""A criterion of one's own, used beside the shipped ones: `python examples/own_criterion.py [QUESTION]`.

A question of how many is answered by a number, of which neither shared words nor embeddings know anything: this one
lowers passages that hold none.
"""
# ruff: noqa: T201

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import ctxproc
from ctxproc.memory.criteria import Hit, Scorer
from ctxproc.memory.criteria.base import weighed

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus

BOOK = Path(__file__).with_name("lighthouse.md")
QUESTION = "How many pipes does the organ in Merrowby church have?"
ASKS = re.compile(r"\bhow (many|much|long|far|old|high|deep|often)\b", re.IGNORECASE)
NUMBER = re.compile(
    r"\d|\b(two|three|four|five|six|seven|eight|nine|ten|\w+teen|\w+ty|hundred|thousand)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Numbers(Scorer):
    """Lowers the score of passages without a number, where the question asks for one.

    Attributes:
        without: factor of a passage that holds none, 0 to 1.
    """

    without: float = 0.3

    name: ClassVar[str] = "numbers"

    def score(self, corpus: Corpus, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """As the class says."""
        wanted = bool(ASKS.search(query))
        plain = [wanted and not NUMBER.search(corpus.chunks[hit.index].text) for hit in hits]
        return weighed(hits, self.name, [self.without if lacks else 1.0 for lacks in plain])


def main(question: str = QUESTION) -> None:
    """Ask without it and with it; show how many of the passages that are read hold a number."""
    for rescore in ([], [f"{__name__}:Numbers"]):
        settings, _ = ctxproc.resolve(preset="fast", flags={"retrieval.rescore": rescore, "chunk.tokens": 60})
        library = ctxproc.Library([BOOK], settings)
        corpus = library.corpus(settings.chunk.tokens)
        hits = corpus.select(question, settings.retrieval.top_k, search=["bm25"], rescore=rescore)
        held = sum(bool(NUMBER.search(corpus.chunks[hit.index].text)) for hit in hits)
        answer = library.ask(question)
        print(
            f"{'with' if rescore else 'without'} Numbers: {held} of {len(hits)} passages hold a number; answer: {answer}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
