"""Whole prompts by a model's own attention: the plain path, for models that the engine does not read.

A batch is padded on the left, with an explicit mask and explicit positions, so that a row gives what it gives alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ctxproc.errors import ModelError
from ctxproc.llm.pretrained import quiet, rope_parameters

if TYPE_CHECKING:
    import torch


PLAIN_TOKENS = {"cpu": 4096, "other": 32768}
"""Tokens of a plain batch by device, padding and answers included."""


class Rows(NamedTuple):
    """Token rows padded on the left to one length: three integer tensors (rows, length)."""

    ids: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor


def pad_left(rows: Sequence[Sequence[int]], device: torch.device) -> Rows:
    """Rows of token ids as tensors; each row's first token is at position 0."""
    import torch

    length = max(map(len, rows))
    ids = torch.tensor([[0] * (length - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows], device=device)
    return Rows(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0))


def batches(lengths: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Indices of rows that run together: longest first, at most ``limit`` tokens with the padding, at least one row."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    while order:
        count = max(1, limit // max(lengths[order[0]], 1))
        yield order[:count]
        order = order[count:]


class Forward:
    """One call of a model, with those of its arguments that its class knows, and with the attention it was loaded with.

    Attributes:
        keeps: whether it keeps keys and values between calls; if not, rows must run one by one (state space models and
            other architectures without ``past_key_values``), and every token is computed again at every step.
        alone: rows must run one by one, since a longer one beside them would change them (or nothing is kept).
        generation_config: the model's; only its end tokens are used.
        vocabulary: the width of its logits.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401  (models share only Module)
        self._model = model
        self._attention: str = model.config._attn_implementation
        self._known = inspect.signature(model.forward).parameters
        self.keeps = "past_key_values" in self._known
        kinds = {rope.get("rope_type") for rope in rope_parameters(model.config.get_text_config(decoder=True))}
        self.alone = not self.keeps or bool(kinds & {"dynamic", "longrope"})
        self.generation_config: object = getattr(model, "generation_config", None)
        self.vocabulary: int = model.config.get_text_config(decoder=True).vocab_size

    @property
    def batch_tokens(self) -> int:
        """Tokens of rows that run together, for `batches`."""
        return 1 if self.alone else PLAIN_TOKENS.get(self._model.device.type, PLAIN_TOKENS["other"])

    def __call__(self, rows: Rows, last: int, cache: object = None) -> tuple[torch.Tensor, object]:
        """Logits (rows, last, vocabulary) of the last ``last`` tokens, and the cache for the next call.

        ``rows.mask`` covers the cached tokens too; ``rows.ids`` and ``rows.positions`` only the new ones.

        Raises:
            ModelError: the logits are not numbers.
        """
        wanted = {
            "attention_mask": rows.mask,
            "position_ids": rows.positions,
            "past_key_values": cache,
            "use_cache": self.keeps,
            "logits_to_keep": last,
        }
        known = {name: value for name, value in wanted.items() if name in self._known}
        with own_attention(self._model, self._attention):
            out = self._model(input_ids=rows.ids, **known)
        return checked(out.logits[:, -last:]), out.past_key_values if self.keeps else None


def checked(logits: torch.Tensor) -> torch.Tensor:
    """The logits.

    Raises:
        ModelError: they are not numbers.
    """
    if bool(logits.isnan().any()):
        raise ModelError("the model's output is not a number: its weights are damaged, or need dtype float32")
    return logits


@contextmanager
def own_attention(model: Any, name: str) -> Iterator[None]:  # noqa: ANN401
    """A model's attention is ``name`` inside; afterwards what it was."""
    before = model.config._attn_implementation
    if before == name:
        yield
        return
    with quiet():
        model.set_attn_implementation(name)
    try:
        yield
    finally:
        with quiet():
            model.set_attn_implementation(before)


class Apart:
    """Rows that must not run together, as if they did."""

    def __init__(self, rows: Sequence[PlainBatch]) -> None:
        self._rows = rows

    def extend(self, tokens: Sequence[Sequence[int]], rows: Sequence[int] | None = None) -> torch.Tensor:
        """As `PlainBatch.extend`."""
        import torch

        places = range(len(self._rows)) if rows is None else rows
        return torch.cat([self._rows[row].extend([new]) for row, new in zip(places, tokens, strict=True)])


class PlainBatch:
    """Rows that go on together; those that are done go on unseen until all are."""

    def __init__(self, forward: Forward, device: torch.device) -> None:
        self._forward = forward
        self._device = device
        self._rows: Rows | None = None
        self._cache: object = None

    def extend(self, tokens: Sequence[Sequence[int]], rows: Sequence[int] | None = None) -> torch.Tensor:
        """Append tokens to rows, and the logits (rows, vocabulary) of each one's last token.

        Args:
            tokens: the first time of any length, later one for each row.
            rows: which, ascending; None: all. The first time always all.
        """
        import torch

        if self._rows is None:
            self._rows = pad_left(tokens, self._device)
        else:
            self._append(dict(zip(range(len(self._rows.ids)) if rows is None else rows, tokens, strict=True)))
        with torch.inference_mode():
            logits, self._cache = self._forward(self._rows, 1, self._cache)
        return logits[:, -1] if rows is None else logits[list(rows), -1]

    def _append(self, tokens: dict[int, Sequence[int]]) -> None:
        import torch

        assert self._rows is not None  # extended before
        new = self._rows.ids[:, -1:].clone()
        for row, (token,) in tokens.items():
            new[row] = token
        mask = torch.cat([self._rows.mask, torch.ones_like(new)], dim=-1)
        positions = self._rows.positions[:, -1:] + 1
        if self._forward.keeps:
            self._rows = Rows(new, mask, positions)
        else:
            ids = torch.cat([self._rows.ids, new], dim=-1)
            self._rows = Rows(ids, mask, torch.cat([self._rows.positions, positions], dim=-1))
