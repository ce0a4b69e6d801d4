"""From the settings to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctxproc.errors import ConfigError
from ctxproc.llm.base import LLM

if TYPE_CHECKING:
    from ctxproc.config import Settings


def load_llm(settings: Settings) -> LLM:
    """The model that the settings name; only its tokenizer and configuration are read. Sets torch's threads.

    Raises:
        ModelError: there is no such model, or it cannot be used.
        ConfigError: the device, dtype or quantisation cannot be had.
    """
    from ctxproc.llm.hardware import use_threads

    use_threads(settings.threads)
    if settings.model.startswith(("http://", "https://")):
        from ctxproc.llm.endpoint import EndpointLLM

        return EndpointLLM(settings.model, context_window=settings.context_window, **settings.endpoint.model_dump())
    if settings.model == "builtin":
        from ctxproc.llm.builtin import BuiltinReader

        if settings.quantise != "none":
            raise ConfigError(f"the built-in reader is small and not quantised: leave out quantise {settings.quantise}")
        return BuiltinReader(device=settings.device, dtype=settings.dtype, context_window=settings.context_window)
    from ctxproc.config import cache_folder
    from ctxproc.llm.local import TransformersLLM

    return TransformersLLM(
        settings.model,
        device=settings.device,
        dtype=settings.dtype,
        quantise=settings.quantise,
        context_window=settings.context_window,
        reuse=settings.reuse,
        cache=cache_folder(settings) / "kv",
    )
