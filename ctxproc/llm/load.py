"""From the settings to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctxproc.llm.base import LLM

if TYPE_CHECKING:
    from ctxproc.config import Settings


def load_llm(settings: Settings) -> LLM:
    """The model that the settings name; only its tokenizer and configuration are read.

    Raises:
        ModelError: there is no such model, or it cannot be used.
        ConfigError: the device or dtype cannot be had.
    """
    if settings.threads:
        import torch

        torch.set_num_threads(settings.threads)
    if settings.model == "builtin":
        from ctxproc.llm.builtin import BuiltinReader

        return BuiltinReader(device=settings.device, dtype=settings.dtype, context_window=settings.context_window)
    from ctxproc.llm.local import TransformersLLM

    return TransformersLLM(
        settings.model, device=settings.device, dtype=settings.dtype, context_window=settings.context_window
    )
