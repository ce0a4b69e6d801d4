"""Chunks made apart, put one after another: keys are moved to their places, the first tokens of each chunk made anew.

Grade ``link-k`` (LegoLink of EPIC; Hu et al. 2024): the k first tokens of every chunk but the first, at which attention
gathers when a chunk is read alone, are computed again in their true context, and so are the tokens between chunks. The
rest keeps the values it had alone, so the result is approximate; with k as long as the chunks it is exact.

Keys are moved by the model's own rotary embedding, and only where `Rotation.check` finds that right.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ctxproc.errors import ModelError
from ctxproc.llm.batch import Sight, shared_segments
from ctxproc.llm.engine import Engine, Node, Tokens
from ctxproc.llm.packing import Block

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-3
TOLERANCE_16_BITS = 0.05
"""Largest distance of moved keys from keys made there, relative to their size."""
TRIAL = (tuple(range(1, 12)), 7)
"""Tokens whose keys are moved in the trial, and how far."""


class Rotation:
    """Moves keys along the positions.

    Args:
        model: of transformers, with rotary positions.
        link_tokens: the k of link-k.

    Raises:
        ModelError: the model has no rotary embedding that applies to all its layers.
    """

    def __init__(self, model: Any, link_tokens: int) -> None:  # noqa: ANN401  (models share only Module)
        base = model.base_model
        self.link_tokens = link_tokens
        self._rotary: Any = getattr(base, "rotary_emb", None)
        self._apply: Any = getattr(sys.modules[type(base).__module__], "apply_rotary_pos_emb", None)
        if self._rotary is None or self._apply is None:
            raise ModelError("its positions are not rotary")

    def __call__(self, keys: torch.Tensor, shift: int) -> torch.Tensor:
        """Keys (layers, kv heads, tokens, head dimension) as they would be ``shift`` positions further on."""
        import torch

        if not shift:
            return keys
        with torch.inference_mode():
            wide = keys.to(torch.promote_types(keys.dtype, torch.float32), copy=True)
            cos, sin = self._rotary(wide, torch.tensor([[shift]], device=keys.device))
            size = getattr(self._rotary, "attention_scaling", 1.0)
            turning = wide[..., : cos.shape[-1]]  # the other dimensions know no positions
            wide[..., : cos.shape[-1]] = self._apply(turning, turning, cos / size, sin / size)[1]
        return wide.to(keys.dtype)

    def check(self, engine: Engine) -> None:
        """Compare moved keys with keys made at their new places.

        Raises:
            ModelError: they differ by more than rounding explains.
        """
        try:
            distance = self._off(engine)
        except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise ModelError("its rotary embedding is not one for all layers") from error
        limit = TOLERANCE if engine.layout.dtype.itemsize > 2 else TOLERANCE_16_BITS
        if not distance <= limit:
            raise ModelError(f"its keys cannot be moved to other positions (off by {distance:.2g})")

    def _off(self, engine: Engine) -> float:
        """The relative distance of moved keys, or of values, from those made at the new places."""
        ids, shift = TRIAL
        here, there = (engine.fresh(ids, start) for start in (0, shift))
        pairs = ((self(here[:, 0], shift), there[:, 0]), (here[:, 1], there[:, 1]))
        return max(float((found - wanted).float().norm() / wanted.float().norm()) for found, wanted in pairs)


def linked(
    paths: Sequence[Sequence[Node]], joints: Sequence[Tokens], entries: Mapping[str, torch.Tensor], rotation: Rotation
) -> Sight:
    """What a row sees of chunks that stand one after another.

    Args:
        paths: one for each chunk, its last segment; what is before it is common to all.
        joints: what stands before each chunk; nothing before the first.
        entries: of all segments.
        rotation: moves their keys.
    """
    shared = shared_segments(paths)
    blocks = [Block(node.key, entries[node.key]) for node in paths[0][: shared + 1]]
    lead: list[int] = []
    positions: list[int] = []
    at = paths[0][shared].start + len(paths[0][shared].ids)
    for path, joint in zip(paths[1:], joints[1:], strict=True):
        node = path[-1]
        again = min(rotation.link_tokens, len(node.ids))
        begin = at + len(joint)
        lead += [*joint, *node.ids[:again]]
        positions += range(at, begin + again)
        at = begin + len(node.ids)
        if again < len(node.ids):
            shift = begin - node.start
            entry = moved(entries[node.key][:, :, :, again:], shift, rotation)
            blocks.append(Block(f"{node.key} moved by {shift}", entry, after=len(lead)))
    return Sight(blocks, at, tuple(lead), tuple(positions))


def moved(entry: torch.Tensor, shift: int, rotation: Rotation) -> torch.Tensor:
    """An entry (layers, 2, kv heads, tokens, head dimension) as it would be ``shift`` positions further on."""
    import torch

    keys, values = entry.unbind(1)
    return torch.stack((rotation(keys, shift), values), dim=1)
