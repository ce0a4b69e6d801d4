"""A model with its weights: read by the engine where that is right, plainly where it is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ctxproc.errors import ModelError
from ctxproc.llm.base import Indent, Warmed
from ctxproc.llm.engine import Chain, Tokens
from ctxproc.llm.framing import TokenPrompt
from ctxproc.llm.plain import Apart, Forward, PlainBatch, batches

if TYPE_CHECKING:
    import torch

    from ctxproc.config import Grade, ReuseSettings
    from ctxproc.llm.batch import Batch
    from ctxproc.llm.decoding import Rows
    from ctxproc.llm.engine import Engine
    from ctxproc.llm.kv import KVStore
    from ctxproc.llm.link import Rotation
    from ctxproc.llm.tokenizer import HfTokenizer

ROWS = 64
"""Rows of an engine's batch at most."""


class Opened(NamedTuple):
    """Rows ready to go on, the tokens that each begins with, how much of each was reused, and in which grade."""

    rows: Rows
    tails: list[Tokens]
    reused: list[int]
    grades: list[Grade]


class Loaded:
    """A model ready to run.

    Args:
        name: for messages.
        model: of transformers, on its device.
        tokenizer: its own.
        reuse: whether and how keys and values are reused.
        make_store: makes the store for them, on the model's device.

    Attributes:
        engine: reads for the model, or None; `refusal` says why then.
        reach: the longest sequence in tokens that the engine reads; None: any.

    Raises:
        ModelError: an approximate grade was asked for and the engine does not read this model.
    """

    def __init__(
        self,
        name: str,
        model: Any,  # noqa: ANN401  (models share only Module)
        tokenizer: HfTokenizer,
        reuse: ReuseSettings,
        make_store: Callable[[torch.device], KVStore],
    ) -> None:
        self.name = name
        self.forward = Forward(model)
        self.device: torch.device = model.device
        self.engine: Engine | None = None
        self.refusal = ""
        self.reach: int | None = None
        self._model = model
        self._reuse = reuse
        self._rotation: Rotation | None = None
        if reuse.grade == "full":
            self.refusal = "reuse.grade is full"
        else:
            self._admit(model, tokenizer, make_store)
        from ctxproc.llm.packed import pack

        if self.engine is not None:  # other models may read a layer's weight themselves
            pack(model)  # after the weights' fingerprint

    def _admit(
        self,
        model: Any,  # noqa: ANN401
        tokenizer: HfTokenizer,
        make_store: Callable[[torch.device], KVStore],
    ) -> None:
        from ctxproc.llm import gate
        from ctxproc.llm.engine import Engine
        from ctxproc.llm.kv_key import fingerprint

        try:
            admission = gate.admit(model)
        except gate.Refused as refused:
            self.refusal = str(refused)
            if self._reuse.grade != "exact":
                raise ModelError(self.refused(f"reuse.grade {self._reuse.grade}")) from refused
            return
        self.reach = admission.reach
        root = fingerprint(model, tokenizer.inner, admission.layout.dtype)
        store = make_store(self.device)
        self.engine = Engine(model, admission.layout, admission.kernel, store, root, admission.ragged)
        if self._reuse.grade == "link-k":
            try:
                self._rotation = self._checked_rotation()
            except ModelError as error:
                raise ModelError(f"model {self.name} cannot do reuse.grade link-k: {error}") from error

    def _checked_rotation(self) -> Rotation:
        from ctxproc.llm.link import Rotation

        assert self.engine is not None  # its keys are to be moved
        rotation = Rotation(self._model, self._reuse.link_tokens)
        rotation.check(self.engine)
        return rotation

    @cached_property
    def _movement(self) -> Rotation | None:
        """Moves keys for windows that end together; None where this model's cannot be moved."""
        try:
            return self._checked_rotation()
        except ModelError:
            return None

    def warm(self, prompts: Sequence[TokenPrompt]) -> Warmed:
        """Read all chains of the prompts into the store.

        Raises:
            ModelError: the engine does not read this model.
        """
        if self.engine is None:
            raise ModelError(self.refused("reuse"))
        total = Warmed()
        prompts = [prompt for prompt in prompts if self.reads(len(prompt.ids))]
        for batch in self.batches(prompts, [0] * len(prompts)):
            chains = {chain for i in batch for chain in chains_of(prompts[i], self._reuse.grade)}
            nodes = {node.key: node for chain in sorted(chains) for node in self.engine.path(chain)}
            _, computed = self.engine.read(list(nodes.values()))
            tokens = sum(len(nodes[key].ids) for key in computed)
            total += Warmed(len(computed), len(nodes) - len(computed), tokens)
        return total

    def refused(self, what: str) -> str:
        """One line: why the engine does not do something for this model."""
        return f"model {self.name} cannot do {what}: {self.refusal}"

    def reads(self, tokens: int) -> bool:
        """Whether the engine reads sequences of so many tokens."""
        return self.engine is not None and (self.reach is None or tokens <= self.reach)

    def batches(self, prompts: Sequence[TokenPrompt], new_tokens: Sequence[int]) -> list[list[int]]:
        """Places of prompts that run together; prompts that share segments are neighbours.

        Args:
            prompts: in any order.
            new_tokens: how many may follow each.
        """
        lengths = [len(prompt.ids) + new for prompt, new in zip(prompts, new_tokens, strict=True)]
        plain = [i for i, length in enumerate(lengths) if not self.reads(length)]
        limit = self.forward.batch_tokens
        found = [[plain[j] for j in batch] for batch in batches([lengths[i] for i in plain], limit)]
        rest = sorted(set(range(len(prompts))) - set(plain), key=lambda i: (prompts[i].chain, i))
        if self.engine is None:
            return found
        budget = self._reuse.ram_bytes if self.device.type == "cpu" else self._reuse.device_bytes
        room = budget // self.engine.layout.token_bytes
        own = [len(prompt.tail) + new for prompt, new in zip(prompts, new_tokens, strict=True)]
        batch: list[int] = []
        cached = longest = 0  # of the batch; each of its rows has room for the longest tail
        for i in rest:
            cached += lengths[i] - own[i]
            longest = max(longest, own[i])
            if not batch or len(batch) == ROWS or cached + longest * (len(batch) + 1) > room:
                batch = []
                found.append(batch)
                cached, longest = lengths[i] - own[i], own[i]
            batch.append(i)
        return found

    def open(
        self,
        prompts: Sequence[TokenPrompt],
        new_tokens: int,
        grade: Grade | None = None,
        indent: Indent = "left",
    ) -> Opened:
        """Rows for the prompts of one batch, nothing of their tails read yet; with a grade the engine must read them."""
        if grade is None and not all(self.reads(len(prompt.ids) + new_tokens) for prompt in prompts):
            apart = len(prompts) > 1 and self.forward.alone
            single = [PlainBatch(self.forward, self.device) for _ in (prompts if apart else prompts[:1])]
            rows: Rows = Apart(single) if apart else single[0]
            return Opened(rows, [tuple(p.ids) for p in prompts], [0] * len(prompts), ["full"] * len(prompts))
        batch, grades = self._open(prompts, new_tokens, grade or self._reuse.grade, indent)
        return Opened(batch, [prompt.tail for prompt in prompts], batch.reused, grades)

    def open_batch(self, prompts: Sequence[TokenPrompt], new_tokens: int) -> tuple[Batch, list[Grade]]:
        """The rows of `open` where the engine reads them all, and their grades."""
        return self._open(prompts, new_tokens, self._reuse.grade)

    def _open(
        self, prompts: Sequence[TokenPrompt], new_tokens: int, grade: Grade, indent: Indent = "left"
    ) -> tuple[Batch, list[Grade]]:
        from ctxproc.llm.batch import Row, open_batch
        from ctxproc.llm.packing import Blend

        assert self.engine is not None  # it reads them all
        grades: list[Grade] = ["exact" if len(prompt.contexts) < 2 else grade for prompt in prompts]
        rows = []
        for prompt, its in zip(prompts, grades, strict=True):
            chains = chains_of(prompt, its)
            rows.append(Row(chains, prompt.tail, prompt.joints if its == "link-k" else None, indent))
        blend = Blend(self._reuse.temperature, self._reuse.scale) if "parallel+ape" in grades else None
        rotation = self._movement if indent == "right" else self._rotation
        return open_batch(self.engine, rows, new_tokens, blend, rotation), grades


def chains_of(prompt: TokenPrompt, grade: Grade) -> tuple[Chain, ...]:
    """What a row for this prompt sees: one chain if exact, else one for each context."""
    return (prompt.chain,) if grade == "exact" else prompt.side_by_side
