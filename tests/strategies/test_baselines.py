"""The baselines read the window that they say they read: the first, the last, a drawn one, everything."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from helpers import job_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc import ScriptedLLM
from ctxproc.job import Job
from ctxproc.llm.base import Sampling
from ctxproc.llm.meter import Limits
from ctxproc.strategies import Strategy
from ctxproc.strategies.full import Full
from ctxproc.strategies.random import Random
from ctxproc.strategies.tail import Tail
from ctxproc.strategies.truncate import Truncate
from ctxproc.trace import Noted, Trace

SHORT = Sampling(max_new_tokens=4)


def read(strategy: Strategy, job: Job) -> list[str]:
    """The contexts of the one prompt; nothing where there is no call."""
    assert isinstance(job.llm, ScriptedLLM)
    job.llm.prompts.clear()
    strategy(job)
    assert len(job.llm.prompts) <= 1
    return [text for prompt in job.llm.prompts for text in prompt.contexts]


def fits(texts: Sequence[str], strategy: Strategy, job: Job) -> bool:
    """Whether these texts, joined as a prompt joins them, fit the room of a prompt: counted on the prompt itself."""
    return job.llm.count_tokens(job.prompt("answer", texts)) + SHORT.max_new_tokens <= job.llm.context_window


@settings(deadline=None, max_examples=60)
@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=12), spare=st.integers(12, 60))
def test_truncate_reads_the_longest_beginning_that_fits_and_tail_the_longest_end(
    sizes: Sequence[int], spare: int
) -> None:
    texts = [f"c{i}{' w' * (size - 1)}. " for i, size in enumerate(sizes)]
    bare = job_of([""], sampling=SHORT)
    window = bare.llm.count_tokens(bare.prompt("answer", [])) + SHORT.max_new_tokens + spare
    job = job_of(texts, ScriptedLLM(context_window=window), sampling=SHORT, relevance=[1.0, *[0.0] * (len(texts) - 1)])
    beginnings = [texts[:n] for n in range(len(texts) + 1)]
    ends = [texts[n:] for n in range(len(texts) + 1)]
    assert read(Truncate(), job) == max((b for b in beginnings if fits(b, Truncate(), job)), key=len)
    assert read(Tail(), job) == max((e for e in ends if fits(e, Tail(), job)), key=len)


def test_a_random_window_is_seeded_in_document_order_and_fills_the_window() -> None:
    texts = [f"Chunk {i} is here. " for i in range(40)]
    job = job_of(texts, ScriptedLLM(context_window=160), sampling=SHORT)
    samples = [read(Random(seed), job) for seed in range(20)]
    assert samples[0] == read(Random(0), job)
    assert len({tuple(sample) for sample in samples}) == 20
    for sample in samples:
        assert sample == sorted(sample, key=texts.index)
        left = [text for text in texts if text not in sample]
        assert fits(sample, Random(), job) and not fits([*sample, left[0]], Random(), job)


def test_a_random_window_holds_every_chunk_equally_often() -> None:
    texts = [f"Chunk {i} is here. " for i in range(10)]
    job = job_of(texts, ScriptedLLM(context_window=110), sampling=SHORT)
    seen = Counter(text for seed in range(400) for text in read(Random(seed), job))
    size = len(read(Random(0), job))
    assert 0 < size < 10
    expected, spread = 400 * size / 10, (400 * size / 10 * (1 - size / 10)) ** 0.5
    assert all(abs(seen[text] - expected) < 4 * spread for text in texts)


def test_a_limit_spares_the_chunks_that_the_baseline_is_named_after() -> None:
    texts = [f"Chunk {i} is here. " for i in range(40)]
    job = job_of(texts, sampling=SHORT, relevance=[float(i == 20) for i in range(40)], limits=Limits(tokens=120))
    first, last, drawn = (read(strategy, job) for strategy in (Truncate(), Tail(), Random()))
    assert first == texts[: len(first)] and last == texts[-len(last) :] and 0 < len(first) < 40
    ranks = Random().rank(job)
    best = sorted(range(40), key=lambda i: -ranks[i])[: len(drawn)]
    assert drawn == [texts[i] for i in sorted(best)]


def test_full_reads_everything_where_it_fits_to_the_token() -> None:
    texts = [f"Chunk {i} is here. " for i in range(9)]
    bare = job_of(texts, sampling=SHORT)
    needed = bare.llm.count_tokens(bare.prompt("answer", texts)) + SHORT.max_new_tokens
    assert read(Full(), replace(bare, llm=ScriptedLLM(context_window=needed))) == texts
    assert read(Full(), replace(bare, llm=ScriptedLLM(context_window=needed - 1))) == []


def test_full_abstains_without_a_call_and_says_by_how_much_the_chunks_exceed_the_window() -> None:
    texts = [f"Chunk {i} is here. " for i in range(9)]
    notes: list[str] = []
    trace = Trace(listeners=[lambda event: notes.append(event.text) if isinstance(event, Noted) else None])
    bare = job_of(texts, sampling=SHORT, trace=trace)
    needed = bare.llm.count_tokens(bare.prompt("answer", texts)) + SHORT.max_new_tokens
    answer = Full()(replace(bare, llm=ScriptedLLM(context_window=needed - 3)))
    assert (answer.abstained, answer.usage.calls) == (True, 0)
    assert notes == ["the 9 chunks exceed the model's window by 3 tokens"]


def test_full_never_reads_a_part_where_a_limit_forbids_the_whole() -> None:
    texts = [f"Chunk {i} is here. " for i in range(40)]
    job = job_of(texts, sampling=SHORT, limits=Limits(tokens=120))
    assert read(Full(), job) == []
    assert Full()(job).stopped == "limits.run_tokens 120 reached"


@pytest.mark.parametrize("strategy", [Truncate(), Tail(), Random(), Full()], ids=lambda strategy: strategy.title)
def test_a_baseline_reads_all_chunks_whatever_a_search_would_find(strategy: Strategy) -> None:
    assert strategy.reads == "all"


def test_random_draws_leave_the_generator_of_the_process_alone() -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    Random(3).rank(job_of(["a", "b"]))
    assert random.random() == expected
