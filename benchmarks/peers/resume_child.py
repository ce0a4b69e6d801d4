"""Sources into a memory file, in a process that may be killed; it says in a file what it has read and embedded."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctxproc.config import resolve
from ctxproc.llm.scripted import WordTokenizer
from ctxproc.memory.embed import Embedder
from ctxproc.memory.intake import add
from ctxproc.memory.memory import Memory
from ctxproc.trace import Event, Loaded
from peers.crash_memory import Drawn

TOKENS = 100
"""Words of a chunk, at most."""

Say = Callable[[str, int], object]


def counted(kind: type[Embedder], name: str, say: Say) -> Embedder:
    """An embedder that says how many passages it embeds, once it has, and before they are kept."""

    class Counted(kind):  # type: ignore[misc, valid-type]
        """As its parent."""

        def embed(self, texts: Sequence[str], query: bool = False) -> NDArray[np.float32]:
            """Shape (texts, dimensions)."""
            vectors: NDArray[np.float32] = super().embed(texts, query)
            if not query:
                say("embed", len(texts))
            return vectors

    return Counted(name)


def opened(path: Path, embedder: str, say: Say = lambda what, number: None) -> Memory:
    """The memory, whose embedder is a model, or for "drawn" one without a model, whose vectors follow from the texts."""
    settings, _ = resolve(sets=[f"chunk.tokens={TOKENS}", "limits.files=100000", "retrieval.search=[cosine,bm25]"])
    made = counted(Drawn if embedder == "drawn" else Embedder, embedder, say)

    def listen(event: Event) -> None:
        if isinstance(event, Loaded):
            say("load", 1)

    return Memory(path, "ann", settings=settings, embedder=made, listeners=[listen])


def main(store: str, folder: str, embedder: str, log: str) -> int:
    """Add the folder; 130 where it was interrupted, which it can be also where a shell began this in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(log, "a", encoding="utf-8", buffering=1) as file:
        try:
            with opened(Path(store), embedder, lambda what, number: file.write(f"{what} {number}\n")) as memory:
                add(memory.library, [folder], WordTokenizer())
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
