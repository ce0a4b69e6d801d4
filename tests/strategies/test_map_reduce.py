"""Notes: every round makes progress, and limits leave the best there is; proofs of ALGORITHMS.md, section 4.

Here are those on calls, prompts that fit and a model that echoes, the first two for all chains; that of refine's order is
in `test_refine.py`, those on winners and score strings in `test_map_rerank.py`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from helpers import job_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc import ScriptedLLM
from ctxproc.errors import PromptTooLongError
from ctxproc.job import Job
from ctxproc.llm.base import Generation, Sampling
from ctxproc.llm.meter import Limits, metered
from ctxproc.prompt import Prompt
from ctxproc.strategies import Strategy
from ctxproc.strategies._notes import COLLAPSE, MAP, Budget, grouped, merged, most_groups, reduced
from ctxproc.strategies.base import NOTES
from ctxproc.strategies.map_reduce import MapReduce
from ctxproc.strategies.map_rerank import MapRerank
from ctxproc.strategies.refine import Refine
from ctxproc.strategies.stuff import Stuff
from ctxproc.strategies.tree import Tree
from ctxproc.task import Answering, Choosing, Extracting, Reply, Summarising, Task
from ctxproc.trace import Trace

sizes = st.lists(st.integers(0, 20), max_size=30)


def limited(job: Job, limits: Limits) -> Job:
    """A job as another strategy would hand it on when part of the limits is spent."""
    return replace(job, llm=metered(job.llm, limits, Trace()))


@given(sizes, st.integers(20, 60), st.integers(0, 3), st.none() | st.integers(1, 5))
def test_groups_are_neighbours_that_fit_and_none_could_take_one_more(
    tokens: Sequence[int], room: int, joint: int, most: int | None
) -> None:
    groups = grouped(tokens, room, joint, most)
    assert [i for group in groups for i in group] == list(range(len(tokens)))

    def fits(group: Sequence[int]) -> bool:
        used = sum(tokens[i] for i in group) + joint * (len(group) - 1)
        return used <= room and (most is None or len(group) <= most)

    assert all(map(fits, groups))
    assert not any(fits([*group, after[0]]) for group, after in pairwise(groups))


@given(st.data(), sizes, st.integers(20, 60), st.integers(0, 3), st.none() | st.integers(1, 5))
def test_the_bound_of_groups_holds_for_every_order_and_for_fewer_and_smaller_items(
    data: st.DataObject, tokens: Sequence[int], room: int, joint: int, most: int | None
) -> None:
    bound = most_groups(tokens, room, joint, most)
    order = data.draw(st.permutations(tokens))
    kept = [data.draw(st.integers(0, size)) for size in order[: data.draw(st.integers(0, len(order)))]]
    assert len(grouped(order, room, joint, most)) <= bound
    assert len(grouped(kept, room, joint, most)) <= most_groups(kept, room, joint, most) <= bound


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_proof_each_chain_makes_the_calls_that_its_definition_counts_for_n_chunks(n: int) -> None:
    llm = ScriptedLLM(lambda p: "note\nQuote: word", context_window=4096)
    counts = {Stuff(): 1, Refine(): n, MapRerank(score="number"): 2 * n, MapRerank(score="likelihood"): 3 * n}
    counts |= {MapReduce(): n + (n > 1), Tree(): 1, Tree(fan_in=n + 1): 1}
    for strategy, calls in counts.items():
        assert strategy(job_of([f"word {i}. " for i in range(n)], llm)).usage.calls == calls


def test_it_makes_as_many_calls_as_notes_and_groups_need() -> None:
    llm = ScriptedLLM(lambda p: "note\nQuote: word" if p.step != NOTES else "end\nQuote: word", context_window=4096)
    answer = MapReduce()(job_of([f"word {i}. " for i in range(7)], llm))
    assert (answer.text, answer.usage.calls) == ("end", 8)
    assert [prompt.step for prompt in llm.prompts] == [MAP] * 7 + [NOTES]


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=25), window=st.integers(180, 320), new=st.integers(1, 40)
)
def test_proof_the_calls_are_those_of_a_slow_count_for_notes_of_known_lengths(
    lengths: Sequence[int], window: int, new: int
) -> None:
    texts = [f"c{i} " + "w " * length for i, length in enumerate(lengths)]
    llm = ScriptedLLM(lambda p: "n " * lengths[int(p.contexts[0].split()[0][1:])] if p.step == MAP else "m " * new)
    llm.context_window = window
    strategy, job = MapReduce(), job_of(texts, llm, sampling=Sampling(max_new_tokens=40), task=Summarising())
    if any(chunk.tokens > strategy.room_of(job) for chunk in job.chunks):
        return
    room, joint = strategy.room_of(job), 1
    longest = min(40, (room - joint) // 2)
    notes, calls = [min(longest, length) for length in lengths], len(lengths)
    while sum(notes) + joint * (len(notes) - 1) > room:
        groups: list[list[int]] = [[]]
        for note in notes:
            if groups[-1] and sum(groups[-1]) + note + joint * len(groups[-1]) > room:
                groups.append([])
            groups[-1].append(note)
        calls += sum(len(group) > 1 for group in groups)
        notes = [group[0] if len(group) == 1 else min(new, longest) for group in groups]
    assert strategy(job).usage.calls == calls + 1


@pytest.mark.parametrize("task", [Answering(), Summarising()], ids=["answer", "summarise"])
def test_chunks_without_a_note_are_left_out_and_with_none_it_abstains_without_a_further_call(task: Task) -> None:
    llm = ScriptedLLM(lambda p: "red\nQuote: red" if "red" in p.part("context") else "not found.")
    answer = MapReduce()(job_of(["blue. ", "red. ", "red too. "], llm, task=task))
    assert [prompt.step for prompt in llm.prompts] == [MAP] * 3 + [NOTES]
    assert len(llm.prompts[-1].contexts) == 2 and not answer.abstained
    assert MapReduce()(job_of(["blue. ", "green. "], llm, task=task)).usage.calls == 2


def test_a_single_note_that_answers_is_the_answer_and_a_single_note_of_another_task_is_read_again() -> None:
    llm = ScriptedLLM(lambda p: "red\nQuote: red" if "red" in p.part("context") else "not found.")
    texts = ["blue. ", "red. ", "green. "]
    answer = MapReduce()(job_of(texts, llm))
    assert (answer.text, answer.usage.calls) == ("red", 3)
    for task in (Choosing(("red", "blue")), Extracting({"type": "object"})):
        llm.prompts.clear()
        MapReduce()(job_of(texts, llm, task=task))
        assert [prompt.step for prompt in llm.prompts] == [MAP] * 3 + [NOTES]


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 60), length=st.integers(1, 40), window=st.integers(160, 300))
def test_proof_it_ends_on_a_model_that_only_echoes(n: int, length: int, window: int) -> None:
    llm = ScriptedLLM(lambda prompt: prompt.part("context"), context_window=window)
    job = job_of(["w " * length] * n, llm, sampling=Sampling(max_new_tokens=16))
    answer = MapReduce()(job)
    assert answer.usage.calls <= MapReduce().plan(job).calls
    assert answer.usage.calls <= 2 * n + 1


@settings(deadline=None, max_examples=60)
@given(
    notes=st.lists(st.integers(1, 60), min_size=2, max_size=30),
    reply=st.sampled_from(["", "NOT FOUND", "w " * 99, "m"]),
    window=st.integers(180, 400),
)
def test_every_round_of_merging_at_least_halves_the_notes_and_loses_none_where_the_model_gives_nothing(
    notes: Sequence[int], reply: str, window: int
) -> None:
    llm = ScriptedLLM([reply], context_window=window)
    job = job_of(["x"], llm, sampling=Sampling(max_new_tokens=40))
    budget = Budget.of(MapReduce(), job)
    texts = [budget.cut(f"n{i} " + "w " * length) for i, length in enumerate(notes)]
    after, whole = merged(job, texts, budget)
    assert whole and len(after) <= (len(texts) + 1) // 2
    assert all(0 < llm.tokenizer.count(text) <= budget.length for text in after)
    if reply in ("", "NOT FOUND"):
        groups = budget.grouped(texts)
        assert [text.split()[0] for text in after] == [f"n{group[0]}" for group in groups]
    assert all(llm.count_tokens(prompt) + 40 <= window for prompt in llm.prompts)


def test_a_round_of_merging_without_progress_is_the_last_and_the_notes_that_fit_are_concluded_from() -> None:
    rounds = itertools.count()

    class Stuck(Budget):
        """Joins no two notes."""

        def grouped(self, texts: Sequence[str]) -> list[list[int]]:
            assert next(rounds) < 9, "it goes round for ever"
            return [[i] for i in range(len(texts))]

    llm = ScriptedLLM(lambda p: f"all\nQuote: {p.contexts[0]}")
    job = job_of(["one is it. ", "two is it. "], llm)
    budget = Stuck(llm, room=50, length=20, joint=1)
    notes = [budget.note(Reply("it", chunk.text.strip()), (chunk,), 0.0) for chunk in job.chunks]
    draft = reduced(job, notes, budget)
    assert [(prompt.step, prompt.contexts) for prompt in llm.prompts] == [(NOTES, ("one is it.",))]
    assert (draft.text, draft.quotes[0].text) == ("all", "one is it.")


CHAINS = [Stuff(), MapReduce(), MapRerank(), Refine(), Tree()]


@pytest.mark.parametrize("strategy", CHAINS, ids=lambda strategy: strategy.name)
def test_proof_every_prompt_of_a_chain_fits_whatever_the_order_of_long_and_short_chunks(strategy: Strategy) -> None:
    llm = ScriptedLLM(lambda prompt: prompt.part("context"), context_window=260)
    room = strategy.room(llm, "Who keeps the lamp?", Sampling(max_new_tokens=20))
    lengths = [room, 1, room // 2, room, 3, room - 1, 2]
    draw = random.Random(0)
    for _ in range(30):
        draw.shuffle(lengths)
        strategy(job_of([("w " * length).strip() for length in lengths], llm))
    read = [len(prompt.part("context").split()) for prompt in llm.prompts]
    assert max(map(llm.count_tokens, llm.prompts)) + 20 <= 260 and max(read) == room


def test_a_window_too_small_for_two_notes_is_refused_by_name() -> None:
    llm = ScriptedLLM()
    sampling = Sampling(max_new_tokens=12)
    room = MapReduce().room(llm, "Who keeps the lamp?", sampling)
    small = ScriptedLLM(context_window=llm.context_window - room + 2)
    with pytest.raises(PromptTooLongError):
        MapReduce()(job_of(["w. "], small, sampling=sampling))


def test_a_note_keeps_its_quote_so_the_answer_is_shown_where_it_stands() -> None:
    def reply(prompt: Prompt) -> str:
        if prompt.step == MAP:
            return f"a name\nQuote: {prompt.contexts[0].strip()}"
        assert prompt.contexts == ("a name\nIt is Maren.", "a name\nIt is Oduya.")
        return "Maren Oduya\nQuote: It is Oduya."

    [item] = MapReduce()(job_of(["It is Maren. ", "It is Oduya. "], ScriptedLLM(reply))).evidence
    assert (item.quote, item.start, item.status) == ("It is Oduya.", 13, "verified")


def test_notes_that_agree_with_the_answer_add_their_quotes_scored_by_how_sure_they_were() -> None:
    def reply(prompt: Prompt) -> Generation:
        text = prompt.contexts[0]
        return Generation("Maren", 0, 0, confidence=0.9 if "first" in text else 0.4, quote=text.strip())

    answer = MapReduce()(job_of(["Maren first. ", "Maren then. "], ScriptedLLM(reply, gives_confidence=True)))
    assert [(item.quote, item.score) for item in answer.evidence] == [("Maren first.", 0.9), ("Maren then.", 0.4)]


def test_where_limits_forbid_the_last_call_the_best_note_answers() -> None:
    llm = ScriptedLLM(lambda p: f"{p.contexts[0].split()[0]}\nQuote: {p.contexts[0].strip()}")
    job = job_of(["one is it. ", "two is it. ", "three is it. "], llm, relevance=[0.1, 0.9, 0.5])
    draft = MapReduce().read(limited(job, Limits(calls=3)))
    assert (draft.text, [quote.text for quote in draft.quotes]) == ("two", ["two is it."])
    choosing = replace(job, task=Choosing(("two", "three")))
    assert MapReduce().read(limited(choosing, Limits(calls=3))).text == "two"
    extracting = replace(job, task=Extracting({"type": "object"}))
    assert MapReduce().read(limited(extracting, Limits(calls=3))).text == ""


@pytest.mark.parametrize("strategy", [MapReduce(), Tree(fan_in=2)], ids=["map_reduce", "tree"])
def test_limits_spare_the_most_relevant_chunks(strategy: Strategy) -> None:
    llm = ScriptedLLM(lambda p: f"it\nQuote: {p.contexts[0].strip()}")
    job = job_of([f"{i} is it. " for i in range(6)], llm, relevance=[0.1, 0.2, 0.3, 0.2, 0.9, 0.1])
    draft = strategy.read(limited(job, Limits(calls=1)))
    assert [prompt.contexts[0] for prompt in llm.prompts] == ["4 is it. "]
    assert [quote.text for quote in draft.quotes] == ["4 is it."]


def test_where_limits_forbid_merging_a_summary_is_all_notes_merged_as_far_as_they_are() -> None:
    llm = ScriptedLLM(lambda p: p.contexts[0].strip(), context_window=220)
    texts = [f"Part {i} came to pass. " for i in range(3)]
    job = job_of(texts, llm, task=Summarising())
    assert MapReduce().read(limited(job, Limits(calls=3))).text == "\n\n".join(text.strip() for text in texts)
    texts = [f"Part {i} came to pass. " for i in range(80)]
    many = job_of(texts, llm, task=Summarising())
    budget = Budget.of(MapReduce(), many)
    group = budget.grouped([text.strip() for text in texts])[0]
    llm.prompts.clear()
    draft = MapReduce().read(limited(many, Limits(calls=81)))
    assert [prompt.step for prompt in llm.prompts] == [MAP] * 80 + [COLLAPSE]
    assert draft.text.split("\n\n") == ["Part 0 came to pass.", *(text.strip() for text in texts[len(group) :])]


def test_a_summary_merges_the_summaries_of_the_chunks() -> None:
    llm = ScriptedLLM(lambda p: "All of it." if p.step == NOTES else p.contexts[0].strip())
    answer = MapReduce()(job_of(["All came. ", "None of it went. "], llm, task=Summarising()))
    assert answer.text == "All of it."
    assert llm.prompts[-1].contexts == ("All came.", "None of it went.")
    assert "summary" in str(llm.prompts[0]) and "NOT FOUND" not in str(llm.prompts[0])
