"""One question of a comparison asked, and measured: seconds, memory, tokens; and what is done before, so as not to count."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ctxproc.compare_ledger import Row
from ctxproc.compare_memory import Peak
from ctxproc.strategies.base import ANSWER
from ctxproc.trace import Trace

if TYPE_CHECKING:
    from ctxproc.ask import Library
    from ctxproc.compare_questions import Question


def warm(library: Library, questions: Sequence[Question]) -> None:
    """Load the model, and search once in each set of chunks that the questions need, so that no question pays for it.

    Raises:
        ModelError: the model cannot be loaded, or made the embeddings.
    """
    from ctxproc.prompt import template
    from ctxproc.task import task_of

    seen: set[int] = set()
    strategy = library.strategy(library.settings.strategy)
    for question in questions:
        task = task_of(**question.asked)
        corpus = library.corpus(library.budget(question.text, strategy, task))
        if id(corpus) not in seen and corpus.chunks:
            seen.add(id(corpus))
            library.job(question.text, corpus.chunks[:1], [], Trace(), task, corpus).retrieve("?", 1)
    form = template(ANSWER)
    prompt = form.fill(["."], dict.fromkeys(form.places, "?"))
    library.llm.generate([prompt], replace(library.sampling, max_new_tokens=1))


def asked(library: Library, question: Question, key: str) -> Row:
    """The answer to one question, with what it took."""
    first: list[float] = []
    peak, began = Peak(), time.monotonic()

    def tell(piece: str) -> None:
        if piece and not first:
            first.append(time.monotonic() - began)

    answer = library.ask(question.text, tell=tell, **question.asked)
    measured = {
        "seconds": time.monotonic() - began,
        "first": first[0] if first else None,
        "memory": peak.memory,
        "gpu_memory": peak.gpu_memory,
        "reused_tokens": float(answer.usage.reused_tokens),
    }
    told = answer.to_json()
    usage = {"calls": answer.usage.calls, "prompt_tokens": answer.usage.prompt_tokens}
    usage |= {"new_tokens": answer.usage.new_tokens}
    told = {name: value for name, value in told.items() if name not in ("run", "usage")}
    return Row(key, {**told, "usage": usage, "grade": answer.usage.grade}, measured)
