"""Answers over anything, however long, with a local model and a short window; every answer shows its passage.

import ctxproc
answer = ctxproc.ask("Who keeps the lamp?", ["book.pdf"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctxproc.answer import Answer, Evidence, Usage
from ctxproc.ask import Library, ask
from ctxproc.errors import CtxprocError
from ctxproc.prompt import Prompt, Segment

if TYPE_CHECKING:
    from ctxproc.chat import Chat
    from ctxproc.chat_stream import Reply
    from ctxproc.chunk import Chunk
    from ctxproc.compare_run import compare
    from ctxproc.config import Settings, resolve
    from ctxproc.document import Document
    from ctxproc.llm.base import LLM, Generation, LogLikelihood, Sampling, WindowedLLM
    from ctxproc.llm.builtin import BuiltinReader
    from ctxproc.llm.constraint import Constraint
    from ctxproc.llm.endpoint import EndpointLLM
    from ctxproc.llm.local import TransformersLLM
    from ctxproc.llm.scripted import ScriptedLLM
    from ctxproc.memory.memory import Memory
    from ctxproc.strategies.base import Strategy

__all__ = [
    "LLM",
    "Answer",
    "BuiltinReader",
    "Chat",
    "Chunk",
    "Constraint",
    "CtxprocError",
    "Document",
    "EndpointLLM",
    "Evidence",
    "Generation",
    "Library",
    "LogLikelihood",
    "Memory",
    "Prompt",
    "Reply",
    "Sampling",
    "ScriptedLLM",
    "Segment",
    "Settings",
    "Strategy",
    "TransformersLLM",
    "Usage",
    "WindowedLLM",
    "ask",
    "compare",
    "resolve",
]

LAZY = {
    "Chat": "ctxproc.chat",
    "Reply": "ctxproc.chat_stream",
    "Chunk": "ctxproc.chunk",
    "compare": "ctxproc.compare_run",
    "Document": "ctxproc.document",
    "Settings": "ctxproc.config",
    "resolve": "ctxproc.config",
    "LLM": "ctxproc.llm.base",
    "Generation": "ctxproc.llm.base",
    "LogLikelihood": "ctxproc.llm.base",
    "Sampling": "ctxproc.llm.base",
    "WindowedLLM": "ctxproc.llm.base",
    "BuiltinReader": "ctxproc.llm.builtin",
    "Constraint": "ctxproc.llm.constraint",
    "EndpointLLM": "ctxproc.llm.endpoint",
    "TransformersLLM": "ctxproc.llm.local",
    "ScriptedLLM": "ctxproc.llm.scripted",
    "Memory": "ctxproc.memory.memory",
    "Strategy": "ctxproc.strategies.base",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, so that ``import ctxproc`` stays quick."""
    if name not in LAZY:
        raise AttributeError(f"module 'ctxproc' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
