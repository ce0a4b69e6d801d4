"""The tree is the one that a slow construction builds; it keeps the order, and shows leaves as evidence.

Holds the proof of ALGORITHMS.md, section 4 on a model that echoes, for trees.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from helpers import job_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc import ScriptedLLM
from ctxproc.errors import ConfigError
from ctxproc.llm.base import Sampling
from ctxproc.prompt import Prompt
from ctxproc.strategies._notes import COLLAPSE, MAP
from ctxproc.strategies.base import ANSWER, NOTES
from ctxproc.strategies.tree import Tree
from ctxproc.task import Summarising


def bracketed(prompt: Prompt) -> str:
    """A model whose summary is its texts in brackets, so that a reply shows the tree under it."""
    return f"({' '.join(text.strip() for text in prompt.contexts)})"


def levels(items: Sequence[str], fan_in: int) -> str:
    """The tree over these items, built level by level; an item alone above the leaves stays as it is."""
    groups = [items[i : i + fan_in] for i in range(0, len(items), fan_in)]
    nodes = [f"({' '.join(group)})" for group in groups]
    while len(nodes) > fan_in:
        groups = [nodes[i : i + fan_in] for i in range(0, len(nodes), fan_in)]
        nodes = [group[0] if len(group) == 1 else f"({' '.join(group)})" for group in groups]
    return nodes[0] if len(groups) == 1 and len(nodes) == 1 else f"({' '.join(nodes)})"


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 70), fan_in=st.integers(2, 6))
def test_every_node_merges_the_neighbours_below_it_up_to_one_root(n: int, fan_in: int) -> None:
    llm = ScriptedLLM(bracketed, context_window=100_000)
    job = job_of([f"c{i} " for i in range(n)], llm, sampling=Sampling(max_new_tokens=2000), task=Summarising())
    answer = Tree(fan_in=fan_in)(job)
    assert answer.text == levels([f"c{i}" for i in range(n)], fan_in) or answer.abstained
    assert (llm.prompts[-1].step, len(llm.prompts)) == (ANSWER, 1) if n <= fan_in else (NOTES, answer.usage.calls)


def test_calls_and_steps_of_a_full_binary_tree() -> None:
    llm = ScriptedLLM(["note\nQuote: word"])
    answer = Tree(fan_in=2)(job_of([f"word {i}. " for i in range(16)], llm))
    assert [prompt.step for prompt in llm.prompts] == [MAP] * 8 + [COLLAPSE] * (4 + 2) + [NOTES]
    assert answer.usage.calls == 15 == Tree(fan_in=2).plan(job_of([f"word {i}. " for i in range(16)], llm)).calls


def test_chunks_that_fit_one_prompt_are_read_with_one_call() -> None:
    llm = ScriptedLLM(["Maren\nQuote: It is Maren."])
    answer = Tree()(job_of(["Salt. ", "It is Maren. ", "Rain. "], llm))
    assert (answer.text, [prompt.contexts for prompt in llm.prompts]) == (
        "Maren",
        [("Salt. ", "It is Maren. ", "Rain. ")],
    )


def test_a_leaf_holds_as_many_chunks_as_fit_and_leaves_without_a_note_are_left_out() -> None:
    llm = ScriptedLLM(lambda p: "Maren\nQuote: It is Maren." if "Maren" in p.part("context") else "NOT FOUND")
    llm.context_window = 300
    texts = ["word " * 40] * 9
    texts[6] = "It is Maren. " + "word " * 30
    job = job_of(texts, llm)
    per_leaf = (Tree().room_of(job) + 1) // 41
    assert 2 <= per_leaf <= 5
    answer = Tree()(job)
    assert [len(prompt.contexts) for prompt in llm.prompts][: 9 // per_leaf] == [per_leaf] * (9 // per_leaf)
    assert {prompt.step for prompt in llm.prompts} == {MAP}
    assert (answer.text, answer.evidence[0].start) == ("Maren", 6 * 200)


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 60), length=st.integers(1, 40), window=st.integers(180, 300), fan_in=st.none() | st.integers(2, 4)
)
def test_proof_it_ends_on_a_model_that_only_echoes(n: int, length: int, window: int, fan_in: int | None) -> None:
    llm = ScriptedLLM(lambda prompt: prompt.part("context"), context_window=window)
    job = job_of(["w " * length] * n, llm, sampling=Sampling(max_new_tokens=16))
    answer = Tree(fan_in=fan_in)(job)
    assert answer.usage.calls <= Tree(fan_in=fan_in).plan(job).calls
    assert answer.usage.calls <= 2 * n


def test_the_evidence_of_the_root_stands_in_the_leaves() -> None:
    def reply(prompt: Prompt) -> str:
        found = [word for word in prompt.part("context").split() if word.startswith("key")]
        return f"{' '.join(found)}\nQuote: {found[-1]}" if found else "NOT FOUND"

    texts = [f"text{i} is here. " for i in range(12)]
    texts[3], texts[9] = "here is key3 too. ", "and key9 there. "
    answer = Tree(fan_in=2)(job_of(texts, ScriptedLLM(reply)))
    [item] = answer.evidence
    assert answer.text == "key3 key9"
    assert (item.quote, item.status, item.start) == ("key9", "verified", "".join(texts).index("key9"))


def test_a_tree_whose_nodes_have_one_branch_is_refused() -> None:
    with pytest.raises(ConfigError, match="2 or more"):
        Tree(fan_in=1)
