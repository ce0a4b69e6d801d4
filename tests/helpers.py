"""What several tests need: chunks of plain texts, a job on a scripted model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ctxproc import Chunk, Document, ScriptedLLM
from ctxproc.llm.base import LLM, Sampling
from ctxproc.llm.scripted import WordTokenizer
from ctxproc.strategies.base import Job

DATA = Path(__file__).parents[2] / "shared" / "data"


def chunks_of(*texts: str) -> list[Chunk]:
    """One document of these texts, and a chunk for each; token counts by words."""
    document = Document.from_text("".join(texts), source="memo.txt")
    chunks, start = [], 0
    for i, text in enumerate(texts):
        chunks.append(Chunk(document, start, start + len(text), WordTokenizer().count(text), i))
        start += len(text)
    return chunks


def job_of(texts: Sequence[str], llm: LLM | None = None, **values: object) -> Job:
    """A job over one chunk per text."""
    values.setdefault("sampling", Sampling(max_new_tokens=20))
    return Job("Who keeps the lamp?", chunks_of(*texts), llm or ScriptedLLM(), **values)  # type: ignore[arg-type]
