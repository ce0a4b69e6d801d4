"""What the tokens of one forward pass attend to.

A pass of the model reads one packed row of tokens: the *spans*, each the next tokens of some sequences. A token sees the
earlier tokens of its own sequence, causally, and any number of cached blocks, wholly. Each part is one call of a fused
kernel that also gives its log-sum-exp; the parts are then merged by these, which is exact (Dao et al. 2023, Flash-Decoding).
No mask is built. A block that several rows see is read once for all of them (cascade inference; Ye et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import torch

    from ctxproc.llm.kernels import Kernel
    from ctxproc.llm.triton_kernel import Reads

    Ragged: TypeAlias = Callable[[Sequence[tuple[int, int, torch.Tensor]], int, int], Reads]
    """`triton_kernel.plan`: reads many blocks in one launch."""


@dataclass(frozen=True, slots=True)
class Span:
    """New tokens of neighbouring rows of one buffer, equally many per row, lying one row after the other in the pack.

    Attributes:
        start: where they begin in the pack.
        length: new tokens per row.
        past: tokens that each row has in the buffer already; they are seen, and the new ones are written after them.
        buffer: keys and values (layers, 2, rows, kv heads, capacity, head dimension).
    """

    start: int
    length: int
    past: int
    buffer: torch.Tensor

    @property
    def rows(self) -> int:
        """How many rows."""
        return int(self.buffer.shape[2])

    @property
    def stop(self) -> int:
        """Where they end in the pack."""
        return self.start + self.rows * self.length


@dataclass(frozen=True, slots=True)
class Block:
    """Cached keys and values that a row sees.

    Attributes:
        name: tells it from every other block of the row; equal names are the same block for several rows.
        entry: (layers, 2, kv heads, tokens, head dimension).
        context: whether `Blend` weighs it.
        after: the row's own tokens before this many do not see it.
    """

    name: str
    entry: torch.Tensor
    context: bool = False
    after: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """A cached block, seen as a whole by the tokens ``start`` to ``stop`` of the pack.

    Attributes:
        start: first token of the pack that sees it.
        stop: the one after the last.
        block: keys and values (layers, 2, kv heads, tokens, head dimension).
        context: whether it is context, as against what all windows share; only `Blend` tells them apart.
    """

    start: int
    stop: int
    block: torch.Tensor
    context: bool = True


@dataclass(frozen=True, slots=True)
class Blend:
    """Adaptive parallel encoding (APE; Yang et al. 2025): how attention to parallel contexts is brought near that to one.

    Attributes:
        temperature: of the attention to context tokens; below 1 sharpens it.
        scale: factor of the log-sum-exp of all context tokens; below 1 lowers their weight.
    """

    temperature: float = 1.0
    scale: float = 1.0

    def warmed(self, scale: float) -> float:
        """The factor of the scores of context tokens, where that of others is ``scale``."""
        return scale / self.temperature

    def shift(self, context: torch.Tensor) -> torch.Tensor:
        """What is added to the log-sum-exp of every part of the context, whose own as a whole is ``context``."""
        return (self.scale - 1) * context.nan_to_num(neginf=0.0)


@dataclass
class Pass:
    """What the tokens of one forward pass see.

    Attributes:
        spans: cover the pack from 0, without holes.
        reads: the blocks, each with its range of the pack.
        kernel: computes one part.
        blend: how context is weighed; None: as one softmax, exactly.
        ragged: reads the blocks, where there are several; None: ``kernel`` does, one after the other.
    """

    spans: Sequence[Span]
    reads: Sequence[Read]
    kernel: Kernel
    blend: Blend | None = None
    ragged: Ragged | None = None
    _fresh: bool = field(init=False)
    _own_slots: int = field(init=False)
    _all_slots: int = field(init=False)
    _slots: list[int] = field(init=False)
    _first_context: int = field(init=False)
    _parts: tuple[torch.Tensor, torch.Tensor] | None = field(init=False, default=None)
    _tables: list[tuple[bool, Reads]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._fresh = all(span.rows == 1 and not span.past for span in self.spans)
        self._own_slots = own = 1 + any(span.past and span.length > 1 for span in self.spans)
        shared = place(((r.start, r.stop) for r in self.reads if not r.context), own)
        self._first_context = max([own - 1, *shared]) + 1
        context = place(((r.start, r.stop) for r in self.reads if r.context), self._first_context)
        each = {False: iter(shared), True: iter(context)}
        self._slots = [next(each[read.context]) for read in self.reads]
        self._all_slots = max([self._first_context - 1, *self._slots]) + 1

    @property
    def tokens(self) -> int:
        """Tokens of the pack."""
        return self.spans[-1].stop

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
        kernel: Kernel | None = None,
    ) -> torch.Tensor:
        """The attention output (1, tokens, heads, head dimension) of one layer; writes its keys and values.

        Args:
            layer: from 0.
            query: (1, heads, tokens, head dimension).
            key: (1, kv heads, tokens, head dimension).
            value: as ``key``.
            scale: factor of the scores.
            kernel: instead of the pass's own, and of ``ragged``.
        """
        ragged = self.ragged if kernel is None and len(self.reads) > 1 else None
        kernel = kernel or self.kernel
        for span in self.spans:
            self._write(span, layer, key, value)
        if self._fresh:
            own = self._begun(query, key, value, kernel, scale)
            if not self.reads:
                return own[0].transpose(1, 2).contiguous()
        outs, lses = self._room(query, self._own_slots if ragged else self._all_slots)
        if self._fresh:
            outs[0], lses[0] = own[0][0], own[1][0]
        else:
            for span in self.spans:
                self._own(span, layer, query, kernel, scale, outs, lses)
        if ragged:
            out = self._with_cached(layer, query, ragged, scale, outs, lses)
        else:
            self._cached(layer, query, key.shape[1], kernel, scale, outs, lses)
            out = self._merged(outs, lses)
        return out.to(query.dtype).transpose(0, 1)[None].contiguous()

    def _room(self, query: torch.Tensor, slots: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs (slots, heads, tokens, head dimension) and log-sum-exps (slots, heads, tokens) of all parts.

        Used again by every layer; a slot that a token has no part in stays at -inf.
        """
        import torch

        if self._parts is None or len(self._parts[1]) < slots:
            _, heads, tokens, size = query.shape
            wide = torch.promote_types(query.dtype, torch.float32)
            self._parts = (
                query.new_zeros(slots, heads, tokens, size),
                torch.full((slots, heads, tokens), float("-inf"), dtype=wide, device=query.device),
            )
        return self._parts

    def _write(self, span: Span, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        into = span.buffer[layer, :, :, :, span.past : span.past + span.length]  # (2, rows, kv heads, length, dim)
        for i, new in enumerate((key, value)):
            into[i].copy_(by_row(new[0, :, span.start : span.stop], span.rows))

    def _begun(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, kernel: Kernel, scale: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the tokens see of their own sequences, all of which begin in this pass; as `Kernel.attend`."""
        if len(self.spans) == 1:
            return kernel.attend(query, key, value, causal=self.tokens > 1, scale=scale)
        return kernel.attend_packed(query, key, value, [span.length for span in self.spans], scale=scale)

    def _own(
        self,
        span: Span,
        layer: int,
        query: torch.Tensor,
        kernel: Kernel,
        scale: float,
        outs: torch.Tensor,
        lses: torch.Tensor,
    ) -> None:
        """What the span's tokens see of their own sequences."""
        q = by_row(query[0, :, span.start : span.stop], span.rows)
        k, v = span.buffer[layer, :, :, :, : span.past + span.length]
        if span.length == 1 or not span.past:
            parts = [kernel.attend(q, k, v, causal=span.length > 1, scale=scale)]
        else:
            new = kernel.attend(q, k[:, :, span.past :], v[:, :, span.past :], causal=True, scale=scale)
            parts = [new, kernel.attend(q, k[:, :, : span.past], v[:, :, : span.past], causal=False, scale=scale)]
        for slot, (out, lse) in enumerate(parts):
            by_row(outs[slot, :, span.start : span.stop], span.rows).copy_(out)
            by_row(lses[slot, :, span.start : span.stop], span.rows).copy_(lse)

    def _cached(
        self,
        layer: int,
        query: torch.Tensor,
        kv_heads: int,
        kernel: Kernel,
        scale: float,
        outs: torch.Tensor,
        lses: torch.Tensor,
    ) -> None:
        """What the tokens see of the cached blocks; the heads that share keys are laid along the query axis."""
        _, heads, _, size = query.shape
        packed: dict[tuple[int, int], torch.Tensor] = {}
        warm = self.blend.warmed(scale) if self.blend else scale
        for read, slot in zip(self.reads, self._slots, strict=True):
            at, tokens = (read.start, read.stop), read.stop - read.start
            if at not in packed:
                packed[at] = query[:, :, read.start : read.stop].reshape(1, kv_heads, -1, size)
            k, v = read.block[layer, :, None]
            out, lse = kernel.attend(packed[at], k, v, causal=False, scale=warm if read.context else scale)
            outs[slot, :, read.start : read.stop] = out.view(heads, tokens, size)
            lses[slot, :, read.start : read.stop] = lse.reshape(heads, tokens)

    def _with_cached(
        self,
        layer: int,
        query: torch.Tensor,
        ragged: Ragged,
        scale: float,
        outs: torch.Tensor,
        lses: torch.Tensor,
    ) -> torch.Tensor:
        """All parts merged (heads, tokens, head dimension): those of ``outs``, and the cached blocks by ``ragged``."""
        from ctxproc.llm.kernels import merge

        if not self._tables:
            for kind in (False, True):
                its = [(r.start, r.stop, r.block) for r in self.reads if (r.context and self.blend is not None) == kind]
                if its:
                    self._tables.append((kind, ragged(its, self.tokens, query.shape[1])))
        parts = list(zip(outs[: self._own_slots], lses[: self._own_slots], strict=True))
        for blended, table in self._tables:
            blend = self.blend if blended else None
            warm = blend.warmed(scale) if blend else scale
            out, lse = table.attend(query[0].transpose(0, 1), layer=layer, scale=warm)
            lse = lse + blend.shift(lse) if blend else lse
            parts.append((out.transpose(0, 1), lse.T))
        return merge([out for out, _ in parts], [lse for _, lse in parts])[0]

    def _merged(self, outs: torch.Tensor, lses: torch.Tensor) -> torch.Tensor:
        from ctxproc.llm.kernels import merge

        if self.blend and self._first_context < len(lses):
            lses = lses.clone()
            context = lses[self._first_context :]
            context += self.blend.shift(context.logsumexp(0))
        return merge(outs, lses)[0]


def by_row(tokens: torch.Tensor, rows: int) -> torch.Tensor:
    """(heads, rows x length, ...) as a view (rows, heads, length, ...)."""
    heads, _, *rest = tokens.shape
    return tokens.view(heads, rows, -1, *rest).transpose(0, 1)


def place(ranges: Iterable[tuple[int, int]], first: int) -> list[int]:
    """A slot from ``first`` on for each range, such that ranges in one slot do not overlap."""
    taken: list[list[tuple[int, int]]] = []
    slots = []
    for start, stop in ranges:
        free = (i for i, others in enumerate(taken) if all(stop <= low or high <= start for low, high in others))
        slot = next(free, len(taken))
        if slot == len(taken):
            taken.append([])
        taken[slot].append((start, stop))
        slots.append(first + slot)
    return slots


def joined(seen: Iterable[tuple[int, int, Block]]) -> list[Read]:
    """The reads of a pack from (start, stop, block): a block that neighbouring rows see is read once for them."""
    found: dict[tuple[str, bool, int], Read] = {}
    for start, stop, block in seen:
        before = found.pop((block.name, block.context, start), None)
        found[block.name, block.context, stop] = Read(
            before.start if before else start, stop, block.entry, block.context
        )
    return list(found.values())
