"""transformers by itself: the whole prompt again (`Whole`), or a `DynamicCache` filled once (`Cached`).

Options: ``kind`` is "whole" or "cached"; ``piece`` reads a long prompt in pieces of so many tokens (0: at once);
``attention`` is sdpa or eager; ``grouped`` tells sdpa to take grouped heads as they are; ``copy`` is "deep"
(copy.deepcopy) or "shared" (a new cache over the same tensors: an update never writes into them, so nothing is copied).
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peers.protocol import First, Peer, Setup, serve
from peers.workload import MODEL

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache


class Whole(Peer):
    """Reads the whole prompt for every question."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        if setup.options.get("grouped"):
            os.environ["TRANSFORMERS_SDPA_FORCE_GQA"] = "1"
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(setup.threads)
        self.model = AutoModelForCausalLM.from_pretrained(
            Path(setup.folder) / MODEL,
            dtype=getattr(torch, setup.dtype),
            attn_implementation=setup.options.get("attention", "sdpa"),
        )
        self.cache: DynamicCache | None = None

    def facts(self) -> dict[str, Any]:
        """Versions and options."""
        import torch
        import transformers

        return {"transformers": transformers.__version__, "torch": torch.__version__, **self.setup.options}

    def prepare(self) -> None:
        """Nothing: this is the peer without a memory."""

    def ask(self, order: list[int], question: list[int]) -> First:
        """The whole prompt."""
        self.cache = self._empty() if self._piece else None
        return self._read(self.document.prompt(order, question), self.cache)

    def map(self, question: list[int]) -> list[First]:
        """One prompt per window, in turn."""
        return [self._read(self.document.prompt([i], question), None) for i in range(len(self.document.windows))]

    @property
    def _piece(self) -> int:
        return int(self.setup.options.get("piece", 0))

    def _empty(self) -> DynamicCache:
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config)

    def _read(self, ids: list[int], cache: DynamicCache | None) -> First:
        return First.of(self._logits(ids, cache))

    def _logits(self, ids: list[int], cache: DynamicCache | None) -> torch.Tensor:
        """Logits [V] after the last of ``ids``; ``cache`` grows by them."""
        import torch

        step = self._piece if self._piece and cache is not None else len(ids)
        with torch.no_grad():
            for begin in range(0, len(ids), step):
                part = torch.tensor([ids[begin : begin + step]])
                out = self.model(part, past_key_values=cache, use_cache=cache is not None, logits_to_keep=1)
        return out.logits[0, -1]


class Cached(Whole):
    """Reads the document once, and each question on top of a copy of its cache, as far as the tokens are the same."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.stored = self._empty()
        self.ids: list[int] = []
        self.parts: list[DynamicCache] = []
        self.last = 0

    def prepare(self) -> None:
        """Fills the cache."""
        self.stored, self.ids = self._empty(), self.document.prompt(list(range(len(self.document.windows))), [])
        self._logits(self.ids, self.stored)

    def prepare_map(self) -> None:
        """One cache per window."""
        self.parts = []
        for i in range(len(self.document.windows)):
            self.parts.append(self._empty())
            self._logits(self.document.prompt([i], []), self.parts[-1])

    def ask(self, order: list[int], question: list[int]) -> First:
        """Only the tokens after the common beginning are read."""
        ids = self.document.prompt(order, question)
        same = common(ids[:-1], self.ids)
        self.cache = self._copy(self.stored, len(self.ids) - same)
        first = self._read(ids[same:], self.cache)
        self.last = first.token
        return first

    def map(self, question: list[int]) -> list[First]:
        """One question per window's cache, in turn."""
        return [self._read(question, self._copy(part, 0)) for part in self.parts]

    def decode(self, count: int) -> list[int]:
        """One token at a time."""
        out, last = [], self.last
        for _ in range(count):
            last = int(self._logits([last], self.cache).argmax())
            out.append(last)
        return out

    def _copy(self, cache: DynamicCache, removed: int) -> DynamicCache:
        """A copy without the last ``removed`` tokens, to which more can be added."""
        if self.setup.options.get("copy", "shared") == "deep":
            own = copy.deepcopy(cache)
        else:
            own = copy.copy(cache)
            own.layers = [copy.copy(layer) for layer in cache.layers]
        if removed:
            own.crop(-removed)
        return own


def common(left: list[int], right: list[int]) -> int:
    """How many tokens both begin with."""
    for i, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return i
    return min(len(left), len(right))


def make(setup: Setup) -> Whole:
    """The peer that the options name."""
    return {"whole": Whole, "cached": Cached}[setup.options.get("kind", "whole")](setup)


if __name__ == "__main__":
    serve(make)
