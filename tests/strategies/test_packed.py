"""Windows of the strategies that decode from several: how chunks are packed into them, and which chunk is evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

import pytest
from helpers import job_of
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import decoded

from ctxproc import ScriptedLLM
from ctxproc.llm.base import Generation, Sampling
from ctxproc.llm.merging import Merge
from ctxproc.prompt import Prompt
from ctxproc.strategies._windows import credit, packed
from ctxproc.strategies.nbce import Nbce
from ctxproc.trace import Event, Noted, Trace


class Weighted(ScriptedLLM):
    """Replies with given words, and with given weights of the rows."""

    def __init__(self, words: str, weights: Sequence[tuple[float, ...]]) -> None:
        super().__init__()
        self._made = words, tuple(weights)

    def decode_windows(
        self, prompts: Sequence[Prompt], merge: Merge, sampling: Sampling, tell: Callable[[str], None] | None = None
    ) -> Generation:
        words, weights = self._made
        return Generation(words, 9, len(weights), weights=weights)


def test_evidence_is_looked_for_where_the_reply_came_from() -> None:
    texts = ["Maren came. ", "Maren keeps. ", "Maren came. "]
    weights = [(0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 0.0)]
    answer = Nbce()(job_of(texts, Weighted("Maren\nQuote: Maren came.", weights)))
    [item] = answer.evidence
    assert (item.start, item.score, item.status) == (len(texts[0] + texts[1]), 0.5, "verified")
    answer = Nbce()(job_of(texts, Weighted("Maren\nQuote: maren KEEPS.", weights)))
    [item] = answer.evidence
    assert (item.start, item.score, item.status) == (len(texts[0]), 0.25, "repaired")
    answer = Nbce()(job_of(texts, Weighted("Maren\nQuote: Maren keeps.", weights)))
    [item] = answer.evidence
    assert (item.start, item.score, item.status) == (len(texts[0]), 0.25, "verified")
    answer = Nbce()(job_of(texts, Weighted("Maren\nQuote: nowhere", weights), require_evidence=False))
    [item] = answer.evidence
    assert (item.start, item.score, item.status) == (len(texts[0] + texts[1]), 0.5, "unverified")


def test_a_quote_to_the_letter_goes_before_one_that_needs_repair() -> None:
    texts = ["Maren CAME. ", "Maren came. "]
    [item] = Nbce()(job_of(texts, Weighted("Maren\nQuote: Maren came.", [(0.0, 0.8, 0.2)]))).evidence
    assert (item.start, item.score, item.status) == (len(texts[0]), 0.2, "verified")


def test_equal_windows_are_searched_by_relevance() -> None:
    texts = ["Maren came. ", "Maren came. "]
    llm = Weighted("Maren\nQuote: Maren came.", [(0.0, 0.5, 0.5)])
    for relevance, start in [((0.1, 0.9), len(texts[0])), ((0.9, 0.1), 0), ((), 0)]:
        [item] = Nbce()(job_of(texts, llm, relevance=relevance)).evidence
        assert (item.start, item.score) == (start, 0.5)


def test_credit_is_the_mean_weight_over_tokens() -> None:
    assert credit([(0.5, 0.5), (1.0, 0.0), (0.3, 0.7)], 2) == pytest.approx([0.6, 0.4])
    assert credit([], 4) == [0.25] * 4


def partitions(places: Sequence[int], most: int) -> list[list[list[int]]]:
    """Every way to cut a row of chunks into at most so many windows."""
    found = []
    for cuts in (cut for n in range(most) for cut in combinations(range(1, len(places)), n)):
        bounds = [0, *cuts, len(places)]
        found.append([list(places[a:b]) for a, b in pairwise(bounds)])
    return found


@settings(deadline=None, max_examples=150)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    most=st.integers(1, 4),
    room=st.integers(9, 30),
    data=st.data(),
)
def test_chunks_are_packed_with_their_neighbours_as_evenly_as_can_be(
    sizes: list[int], most: int, room: int, data: st.DataObject
) -> None:
    relevance = data.draw(st.lists(st.sampled_from([0.1, 0.5, 0.9]), min_size=len(sizes), max_size=len(sizes)))
    job = job_of(["a " * (size - 1) + "a. "[: 2 if size == 1 else 1] for size in sizes], relevance=relevance)
    tokens = [chunk.tokens for chunk in job.chunks]

    def length(window: Sequence[int]) -> int:
        return sum(tokens[i] for i in window) + len(window) - 1  # a blank line is one token

    def shortest(places: Sequence[int]) -> int:
        """The longest window of the best partition."""
        return min(max(map(length, cut)) for cut in partitions(places, most))

    found = packed(job, most, room)
    if len(sizes) <= most:
        assert found == [[i] for i in range(len(sizes))]
        return
    ranked = sorted(range(len(sizes)), key=lambda i: -relevance[i])
    held = max(n for n in range(1, len(sizes) + 1) if shortest(sorted(ranked[:n])) <= room)
    assert [i for window in found for i in window] == sorted(ranked[:held])
    assert len(found) <= most and all(found)
    assert max(map(length, found)) == shortest(sorted(ranked[:held]))


def test_what_does_not_fit_the_windows_is_left_out_and_told() -> None:
    told: list[Event] = []
    llm = ScriptedLLM(["Maren\nQuote: w0 w0"], context_window=120)
    texts = [f"w{i} " * 20 for i in range(7)]
    job = job_of(texts, llm, relevance=[0.9, 0.8, 0.1, 0.7, 0.6, 0.2, 0.5], trace=Trace(listeners=[told.append]))
    assert 20 <= Nbce().room_of(job) < 41
    event = decoded(Nbce(windows=3), job)
    assert [event.text for event in told if isinstance(event, Noted)] == ["4 of 7 chunks do not fit 3 windows"]
    read = [[text for role, _, text in segments if role == "context"] for segments in event.windows[1:]]
    assert read == [[texts[0]], [texts[1]], [texts[3]]]
