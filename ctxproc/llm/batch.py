"""Rows that an `Engine` continues together, behind what they see of the cache."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ctxproc.llm.base import Indent
from ctxproc.llm.engine import Chain, Engine, Node, Tokens, packs
from ctxproc.llm.packing import Blend, Block, Pass, Span, joined

if TYPE_CHECKING:
    import torch

    from ctxproc.llm.link import Rotation


@dataclass(frozen=True, slots=True)
class Row:
    """A sequence: the chains it sees, then its own tokens.

    With one chain it is an ordinary sequence, and what follows is exact. With several it sees them side by side, and its
    tail follows the longest (parallel context windows; Ratner et al. 2023).

    Attributes:
        chains: of segments; what they have in common at the beginning is seen once.
        tail: its own first tokens, at least one.
        joints: if given, the last segments of the chains stand one after another with these tokens before each, their
            keys moved there and their first tokens computed again (link.py).
        indent: whether the chains begin together, at position 0, or end together, before the tail. What they have in
            common is seen as it stands in the longest.
    """

    chains: tuple[Chain, ...]
    tail: Tokens
    joints: tuple[Tokens, ...] | None = None
    indent: Indent = "left"

    @property
    def start(self) -> int:
        """The position of the tail: behind the longest chain."""
        return max((sum(map(len, chain)) for chain in self.chains), default=0)

    @property
    def shifts(self) -> list[int]:
        """The position of each chain's first token."""
        return [self.start - sum(map(len, chain)) if self.indent == "right" else 0 for chain in self.chains]


@dataclass(frozen=True, slots=True)
class Sight:
    """What a row sees of the cache.

    Attributes:
        blocks: the entries.
        start: the position of its tail.
        lead: tokens of its context that are computed again, before its tail.
        positions: of those.
    """

    blocks: Sequence[Block]
    start: int
    lead: Tokens = ()
    positions: Tokens = ()


def open_batch(
    engine: Engine, rows: Sequence[Row], new_tokens: int, blend: Blend | None = None, rotation: Rotation | None = None
) -> Batch:
    """Rows whose chains are read and whose tails are not; each has room for its tail and ``new_tokens`` more.

    Args:
        engine: reads them.
        rows: neighbours that share segments read these together.
        new_tokens: that may follow each tail.
        blend: weighs the segments that are not common to all chains of a row.
        rotation: moves keys, for rows with joints, and for those indented right; without it the latter's chains are read
            at their own positions.
    """
    from ctxproc.llm.link import linked

    paths = [
        [engine.path(chain, 0 if rotation else shift) for chain, shift in zip(row.chains, row.shifts, strict=True)]
        for row in rows
    ]
    entries, computed = engine.read([node for row in paths for path in row for node in path])
    reused, sights = [], []
    for row, its in zip(rows, paths, strict=True):
        shared, shifts = shared_segments(its), row.shifts
        seen = (path[shared if shift else 0 :] for path, shift in zip(its, shifts, strict=True))
        nodes = {node.key: node for path in seen for node in path}
        again: dict[str, int] = {}
        if row.joints is not None and rotation is not None:
            sights.append(linked(its, row.joints, entries, rotation))
            again = {path[-1].key: rotation.link_tokens for path in its[1:]}
        else:
            sights.append(Sight(in_sight(its, entries, shifts, rotation), row.start))
        kept = (max(0, len(node.ids) - again.get(key, 0)) for key, node in nodes.items() if key not in computed)
        reused.append(sum(kept))
        computed.difference_update(nodes)
    longest = max((len(sight.lead) + len(row.tail) for sight, row in zip(sights, rows, strict=True)), default=0)
    return Batch(engine, sights, longest + new_tokens, blend, reused)


def in_sight(
    paths: Sequence[Sequence[Node]],
    entries: Mapping[str, torch.Tensor],
    shifts: Sequence[int],
    rotation: Rotation | None,
) -> list[Block]:
    """The blocks of a row: what all its chains begin with once, then the rest of every chain, also where two are equal.

    Args:
        paths: of the chains.
        entries: of all segments.
        shifts: the position at which each chain begins; one of them is 0.
        rotation: moves the keys there; None if they stand there already.
    """
    from ctxproc.llm.link import moved

    shared = shared_segments(paths)
    first = paths[shifts.index(0)][:shared] if shared else []
    found = [Block(node.key, entries[node.key]) for node in first]
    for i, (path, shift) in enumerate(zip(paths, shifts, strict=True)):
        for node in path[shared:]:
            name = f"{node.key} {i}" if i else node.key
            entry = entries[node.key]
            if shift and rotation is not None:
                name, entry = f"{name} moved by {shift}", moved(entry, shift, rotation)
            found.append(Block(name, entry, context=len(paths) > 1))
    return found


def shared_segments(paths: Sequence[Sequence[Node]]) -> int:
    """How many segments all chains begin with; the last one of a chain is never shared, and with one chain none is."""
    if len(paths) < 2:
        return 0
    common = itertools.takewhile(lambda nodes: len({node.ids for node in nodes}) == 1, zip(*paths, strict=False))
    return min(sum(1 for _ in common), min(map(len, paths)) - 1)


class Batch:
    """Rows of an `Engine` that go on together. Made by `open_batch`.

    Attributes:
        reused: of each row, the tokens of its chains that were not computed for it.
        filled: of each row, its own tokens so far.
    """

    def __init__(
        self, engine: Engine, sights: Sequence[Sight], capacity: int, blend: Blend | None, reused: Sequence[int]
    ) -> None:
        self._engine = engine
        self._sights = sights
        self._buffer = engine.layout.buffer(len(sights), capacity)
        self._blend = blend
        self.reused = list(reused)
        self.filled = [0] * len(sights)

    def extend(self, tokens: Sequence[Sequence[int]], rows: Sequence[int] | None = None) -> torch.Tensor:
        """Append tokens to rows, and the logits (rows, vocabulary) of each one's last token.

        Args:
            tokens: for each row at least one.
            rows: which, ascending; None: all.
        """
        import torch

        return torch.cat([logits for logits, _ in self._passes(tokens, rows, [1] * len(tokens))])

    def extend_all(self, tokens: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """`extend` of all rows, and for each the logits (its tokens, vocabulary) of every token."""
        import torch

        made = self._passes(tokens, None, [len(ids) for ids in tokens])
        return [own for logits, kept in made for own in torch.split(logits, kept)]

    def _passes(
        self, tokens: Sequence[Sequence[int]], rows: Sequence[int] | None, kept: Sequence[int]
    ) -> list[tuple[torch.Tensor, list[int]]]:
        """Append tokens in as many passes as they need; of each its logits, and how many of them are of each row.

        Args:
            tokens: as in `extend`.
            rows: as in `extend`.
            kept: of each row, the last tokens whose logits are wanted.
        """
        rows = range(len(self._sights)) if rows is None else rows
        leads = [() if self.filled[row] else self._sights[row].lead for row in rows]
        new = [(*lead, *ids) for lead, ids in zip(leads, tokens, strict=True)]
        out = []
        for pack in packs([len(ids) for ids in new], self._engine.pack):
            its = [kept[i] for i in pack]
            out.append((self._pass([new[i] for i in pack], [rows[i] for i in pack], its), its))
        return out

    def _pass(self, tokens: Sequence[Sequence[int]], rows: Sequence[int], kept: Sequence[int]) -> torch.Tensor:
        """One pass of the model over some rows, and the logits of the last ``kept`` tokens of each."""
        spans: list[Span] = []
        seen: list[tuple[int, int, Block]] = []
        positions: list[int] = []
        keep: list[int] = []
        at = 0
        kinds = [(len(ids), self.filled[row]) for ids, row in zip(tokens, rows, strict=True)]
        for (first, after), (length, past) in runs(rows, kinds):
            spans.append(Span(at, length, past, self._buffer[:, :, rows[first] : rows[after - 1] + 1]))
            for row, last in zip(rows[first:after], kept[first:after], strict=True):
                stop = at + length
                for block in self._sights[row].blocks:
                    seen.append((at + max(0, block.after - past), stop, block))
                positions += self._positions(row, past, past + length)
                keep += range(stop - last, stop)
                self.filled[row] += length
                at = stop
        plan = Pass(spans, joined(seen), self._engine.kernel, self._blend, self._engine.ragged)
        logits = self._engine.forward([token for ids in tokens for token in ids], positions, plan, keep)
        assert logits is not None  # some are kept
        return logits

    def _positions(self, row: int, first: int, after: int) -> list[int]:
        """The positions of a row's own tokens from ``first`` to ``after``."""
        sight = self._sights[row]
        lead = len(sight.positions)
        return [*sight.positions[first:after], *(sight.start + i - lead for i in range(max(first, lead), after))]

    def fork(self, parents: Sequence[int], capacity: int) -> Batch:
        """New rows that continue rows of this batch, whose tokens so far they see and do not change."""
        sights = []
        for parent in parents:
            filled = self.filled[parent]
            own = Block(f"row {parent}", self._buffer[:, :, parent, :, :filled])
            blocks = [Block(b.name, b.entry, b.context) for b in self._sights[parent].blocks]
            sights.append(Sight([*blocks, own], self._positions(parent, filled, filled + 1)[0]))
        return Batch(self._engine, sights, capacity, self._blend, [0] * len(parents))


def runs(rows: Sequence[int], kinds: Sequence[tuple[int, int]]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The ranges of places whose rows follow each other and are of one kind, each with its kind."""
    found: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for i, kind in enumerate(kinds):
        if i and found[-1][1] == kind and rows[i] == rows[i - 1] + 1:
            found[-1] = ((found[-1][0][0], i + 1), kind)
        else:
            found.append(((i, i + 1), kind))
    return found
