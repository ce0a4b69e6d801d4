"""Attention registered with transformers under the name `NAME`: no model is changed, a plan says what is attended to.

Keys arrive here after the model's own rotary embedding, so cached ones are right only at the positions they were made for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from ctxproc.errors import ModelError

if TYPE_CHECKING:
    import torch

    from ctxproc.llm.kernels import Kernel

NAME = "ctxproc"
NOT_DONE = ("s_aux", "sinks", "position_bias", "indices", "block_indices", "cache", "head_mask", "layer_head_mask")
"""Arguments that models give their attention function, which change its result and are not those of `attention`."""


class Plan(Protocol):
    """What a forward pass asks: the attention of one layer."""

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
        kernel: Kernel | None = None,
    ) -> torch.Tensor:
        """As `Pass.attend`."""


_PLAN: ContextVar[Plan | None] = ContextVar("ctxproc_plan", default=None)
_WINDOWS: ContextVar[set[int] | None] = ContextVar("ctxproc_windows", default=None)


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **others: Any,  # noqa: ANN401  (transformers' interface)
) -> tuple[torch.Tensor, None]:
    """What transformers calls in place of its own attention, for the plan that `using` has set.

    A sliding window is not applied: whoever plans keeps sequences within it (see `windows_of`).

    Raises:
        ModelError: the model asks for something that this attention does not do, or no plan is set.
    """
    from ctxproc.llm.kernels import MathKernel

    plan, windows = _PLAN.get(), _WINDOWS.get()
    if plan is None or attention_mask is not None:
        raise ModelError("the model was called outside the engine, or with a mask")
    if others.get("is_causal") is False:
        raise ModelError("its attention looks ahead")
    if unknown := sorted(name for name in NOT_DONE if others.get(name) is not None):
        raise ModelError(f"its attention takes {', '.join(unknown)}")
    if windows is not None and sliding_window is not None:
        windows.add(sliding_window)
    layer: int = module.layer_idx  # type: ignore[assignment]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    kernel = MathKernel(softcap) if softcap is not None else None
    return plan.attend(layer, query, key, value, scale, kernel), None


@contextmanager
def using(plan: Plan) -> Iterator[None]:
    """Calls of the model inside attend as ``plan`` says."""
    token = _PLAN.set(plan)
    try:
        yield
    finally:
        _PLAN.reset(token)


@contextmanager
def windows_of() -> Iterator[set[int]]:
    """The lengths of the sliding windows of the layers that are called inside."""
    found: set[int] = set()
    token = _WINDOWS.set(found)
    try:
        yield found
    finally:
        _WINDOWS.reset(token)


def register() -> None:
    """Make `NAME` known to transformers; a mask of that name is left unregistered, so that none is built."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attention)
