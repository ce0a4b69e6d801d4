"""The engine: reads segments of tokens once and keeps their keys and values; batch.py continues rows behind them.

A *chain* is a list of segments, such as ``[prefix, chunk]``; a segment's keys and values depend on the model and on the
tokens before it in its chain, and on nothing else, so a chain that is met again is not computed again.

Tokens of many segments or rows lie in one packed row of the model, so that its weights are read once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ctxproc.llm import kv_key
from ctxproc.llm.attention import Plan, using
from ctxproc.llm.packing import Block, Pass, Span, joined
from ctxproc.llm.plain import checked

if TYPE_CHECKING:
    import torch

    from ctxproc.llm.kernels import Kernel
    from ctxproc.llm.kv import KVStore
    from ctxproc.llm.packing import Ragged

Tokens = tuple[int, ...]
Chain = tuple[Tokens, ...]

PACK = {"cpu": 512, "other": 8192}
"""Most tokens of one pass, by device: larger packs only cost memory."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The shape of a model's keys and values."""

    layers: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    def buffer(self, rows: int, capacity: int) -> torch.Tensor:
        """Room for keys and values of ``rows`` sequences: (layers, 2, rows, kv heads, capacity, head dimension)."""
        import torch

        shape = (self.layers, 2, rows, self.kv_heads, capacity, self.head_dim)
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def entry(self, tokens: int) -> tuple[int, ...]:
        """The shape of a segment's entry in the store."""
        return (self.layers, 2, self.kv_heads, tokens, self.head_dim)

    @property
    def token_bytes(self) -> int:
        """Bytes of one token's keys and values."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Node:
    """A segment at its place in a chain: ``path`` are the keys up to and with its own, ``start`` its first position."""

    path: tuple[str, ...]
    ids: Tokens
    start: int

    @property
    def key(self) -> str:
        """Its own."""
        return self.path[-1]


class Engine:
    """A model whose attention is ours (see `attention`), with a store of keys and values.

    Args:
        model: a causal language model of transformers, its attention set to `attention.NAME`.
        layout: of its keys and values.
        kernel: computes attention.
        store: where entries are kept.
        root: key of the model itself: weights, configuration, tokenizer, number format.
        ragged: reads several cached blocks at once, if given.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401  (models share only Module)
        layout: Layout,
        kernel: Kernel,
        store: KVStore,
        root: str,
        ragged: Ragged | None = None,
    ) -> None:
        self.layout = layout
        self.kernel = kernel
        self.ragged = ragged
        self.store = store
        self._model = model
        self._root = root
        self.pack = PACK.get(layout.device.type, PACK["other"])

    def path(self, chain: Chain, start: int = 0) -> list[Node]:
        """The segments of a chain with their keys, the first of them at position ``start``."""
        nodes: list[Node] = []
        root = kv_key.placed(self._root, start) if start else self._root
        for ids in chain:
            before = nodes[-1].path if nodes else ()
            nodes.append(Node((*before, kv_key.key(before[-1] if before else root, ids)), ids, start))
            start += len(ids)
        return nodes

    def read(self, nodes: Sequence[Node]) -> tuple[dict[str, torch.Tensor], set[str]]:
        """The entry of every node by its key, and the keys of those that had to be computed."""
        by_key = {node.key: node for node in nodes}
        shapes = [self.layout.entry(len(node.ids)) for node in by_key.values()]
        found = self.store.get_many(list(by_key), shapes, self.layout.dtype)
        blocks = {key: entry for key, entry in zip(by_key, found, strict=True) if entry is not None}
        computed: set[str] = set()
        while len(blocks) < len(by_key):
            jobs: dict[str, list[Node]] = {}
            for node in sorted(by_key.values(), key=lambda node: -len(node.path)):
                lacking = [key for key in node.path if key not in blocks]
                if lacking and lacking[0] not in jobs:
                    jobs[lacking[0]] = self._run(node, blocks, by_key)
            new = self._prefill(list(jobs.values()), blocks)
            computed |= new.keys()
            blocks |= new
        return blocks, computed

    @staticmethod
    def _run(node: Node, blocks: dict[str, torch.Tensor], by_key: dict[str, Node]) -> list[Node]:
        """The first lacking segments of a path that follow each other without a gap."""
        first = next(i for i, key in enumerate(node.path) if key not in blocks)
        run: list[Node] = []
        for key in node.path[first:]:
            if key in blocks:
                break
            run.append(by_key[key])
        return run

    def _prefill(self, runs: Sequence[list[Node]], blocks: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Compute the entries of some runs, each as one causal sequence behind its cached blocks."""
        new: dict[str, torch.Tensor] = {}
        for pack in packs([sum(len(node.ids) for node in run) for run in runs], self.pack):
            members = [runs[i] for i in pack]
            tokens = [[token for node in run for token in node.ids] for run in members]
            behind = [[Block(key, blocks[key]) for key in run[0].path[:-1]] for run in members]
            buffers = [self.layout.buffer(1, len(ids)) for ids in tokens]
            self._fill(tokens, buffers, behind, [run[0].start for run in members])
            for run, buffer in zip(members, buffers, strict=True):
                at = 0
                for node in run:
                    entry = buffer[:, :, 0, :, at : at + len(node.ids)].contiguous()
                    self.store.put(node.key, entry)
                    new[node.key] = entry
                    at += len(node.ids)
        return new

    def fresh(self, ids: Tokens, start: int) -> torch.Tensor:
        """The entry of a segment that stands alone at position ``start``; it is not kept."""
        buffer = self.layout.buffer(1, len(ids))
        self._fill([list(ids)], [buffer], [[]], [start])
        return buffer[:, :, 0]

    def _fill(
        self,
        tokens: Sequence[list[int]],
        buffers: Sequence[torch.Tensor],
        behind: Sequence[Sequence[Block]],
        starts: Sequence[int],
    ) -> None:
        """Keys and values of some sequences into their buffers; one longer than a pass takes several."""
        for done in range(0, max(map(len, tokens)), self.pack):
            pieces = [ids[done : done + self.pack] for ids in tokens]
            live = [i for i, piece in enumerate(pieces) if piece]
            spans, at = [], 0
            for i in live:
                spans.append(Span(at, len(pieces[i]), done, buffers[i]))
                at = spans[-1].stop
            seen = [(span.start, span.stop, block) for span, i in zip(spans, live, strict=True) for block in behind[i]]
            positions = [starts[i] + done + j for i in live for j in range(len(pieces[i]))]
            plan = Pass(spans, joined(seen), self.kernel, ragged=self.ragged)
            self.forward([t for i in live for t in pieces[i]], positions, plan, keep=None)

    def forward(
        self, ids: Sequence[int], positions: Sequence[int], plan: Plan, keep: Sequence[int] | None
    ) -> torch.Tensor | None:
        """One pass of the model over packed tokens: logits (kept, vocabulary) of the tokens ``keep``, or none at all.

        Raises:
            ModelError: the logits are not numbers.
        """
        import torch

        def row(numbers: Sequence[int]) -> torch.Tensor:
            return torch.tensor(numbers, device=self.layout.device)

        with torch.inference_mode(), using(plan):
            inputs = {"input_ids": row(ids)[None], "position_ids": row(positions)[None], "use_cache": False}
            if keep is None:
                self._model.base_model(**inputs)
                return None
            logits = self._model(**inputs, logits_to_keep=row(keep)).logits[0]
        return checked(logits)


def packs(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Neighbouring places whose lengths sum up to at most ``limit``, at least one place each."""
    found: list[list[int]] = []
    total = limit
    for i, length in enumerate(lengths):
        if total + length > limit:
            found.append([])
            total = 0
        found[-1].append(i)
        total += length
    return found
