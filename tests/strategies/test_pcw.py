"""PCW: reads that are merged, and the proofs of ALGORITHMS.md, section 2, 1 to 7, by number.

They run on tiny real models in float64, with negative controls. FiD's (section 5: one passage, permuted passages) are
proofs 1 and 2 here, since PCW is what a model without an encoder has in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from helpers import job_of
from rows import (
    GREEDY,
    TEXTS,
    Load,
    distance,
    events,
    forward,
    ids_of,
    joined,
    model_of,
    real,
    text_of,
)

from ctxproc import ScriptedLLM
from ctxproc.errors import ConfigError, ModelError
from ctxproc.job import Job, Voice
from ctxproc.llm.base import Indent, Sampling
from ctxproc.llm.builtin import BuiltinReader
from ctxproc.llm.framing import TokenPrompt
from ctxproc.llm.local import TransformersLLM
from ctxproc.llm.plain import own_attention
from ctxproc.prompt import Prompt
from ctxproc.strategies.base import ANSWER, Plan
from ctxproc.strategies.pcw import Pcw
from ctxproc.strategies.stuff import Stuff
from ctxproc.task import Choosing, Summarising
from ctxproc.trace import Called, Progress, Streamed, Trace

both = pytest.mark.parametrize("architecture", ["llama", "gpt2"])
CLOSE = 1e-9


def tokens_of(llm: TransformersLLM, texts: Sequence[str]) -> TokenPrompt:
    return llm._framing.tokens(real(llm, texts).prompt(ANSWER, texts))


def ours(llm: TransformersLLM, texts: Sequence[str], new: Sequence[int] = (), indent: Indent = "left") -> torch.Tensor:
    """Logits of the task's last token, or of the last of ``new``, which are appended one by one."""
    opened = llm._loaded.open([tokens_of(llm, texts)], len(new), "parallel", indent)
    logits = opened.rows.extend(opened.tails)
    for token in new:
        logits = opened.rows.extend([[token]])
    return logits[0]


def masked(llm: TransformersLLM, texts: Sequence[str], new: Sequence[int] = ()) -> torch.Tensor:
    """The same in one pass with a 4D mask: windows see what they share and themselves, the task all; positions restart."""
    tokens = tokens_of(llm, texts)
    shared, windows, tail = tokens.prefix, tokens.contexts, [*tokens.tail, *new]
    longest = max(map(len, windows))
    ids = [*shared, *(token for window in windows for token in window), *tail]
    at = range(len(shared), len(shared) + longest + len(tail))
    positions = [*range(len(shared)), *(p for window in windows for p in at[: len(window)]), *at[longest:]]
    seen = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    start = len(shared)
    for window in windows:
        seen[start : start + len(window), len(shared) : start] = False
        start += len(window)
    mask = torch.zeros(1, 1, len(ids), len(ids), dtype=torch.float64)
    mask.masked_fill_(~seen, torch.finfo(torch.float64).min)
    return forward(llm, ids, attention_mask=mask, position_ids=torch.tensor([positions]), use_cache=False)[-1]


def source_form(
    llm: TransformersLLM, texts: Sequence[str], indent: Indent = "left", behind: bool = False
) -> tuple[list[int], dict[str, Any]]:
    """The task's tokens and what a call of the model takes beside them, as PCW's own code has it.

    ``behind``: the default positions, which go on behind all cached tokens.
    """
    tokens = tokens_of(llm, texts)
    windows = [[*tokens.prefix, *context] for context in tokens.contexts]
    longest, shared = max(map(len, windows)), len(tokens.prefix)
    starts = [0 if indent == "left" else longest - len(window) for window in windows]
    cached = sum(map(len, windows)) - shared * (len(windows) - 1)
    first = cached if behind else longest
    options = {
        "past_key_values": joined(llm, windows, shared, starts),
        "attention_mask": torch.ones(1, cached + len(tokens.tail), dtype=torch.long),
        "position_ids": torch.arange(first, first + len(tokens.tail))[None],
    }
    return list(tokens.tail), options


def source_logits(
    llm: TransformersLLM, texts: Sequence[str], indent: Indent = "left", behind: bool = False
) -> torch.Tensor:
    tail, options = source_form(llm, texts, indent, behind)
    return forward(llm, tail, use_cache=True, **options)[-1]


def greedy(llm: TransformersLLM, texts: Sequence[str], count: int) -> list[int]:
    """The manual greedy loop, the whole pass at every step."""
    new: list[int] = []
    while len(new) < count and not (new and new[-1] in llm._ends):
        new.append(int(masked(llm, texts, new).argmax()))
    return new


def called(strategy: Pcw, job: Job) -> list[Called]:
    return [event for event in events(strategy, job) if isinstance(event, Called)]


# Proofs.


@both
def test_proof_1_one_window_is_plain_concatenation(architecture: str, load: Load) -> None:
    llm = load(architecture)
    for text in TEXTS:
        plain = forward(llm, ids_of(llm, real(llm, [text]).prompt(ANSWER, [text])))[-1]
        assert distance(ours(llm, [text]), plain) < CLOSE
        assert distance(ours(llm, [text], indent="right"), plain) < CLOSE
    [made], [stuffed] = (called(s, real(llm, TEXTS[:1])) for s in (Pcw(), Stuff()))  # type: ignore[arg-type]
    assert (made.text, made.prompt_tokens) == (stuffed.text, stuffed.prompt_tokens)
    assert [p for _, p in made.tokens] == pytest.approx([p for _, p in stuffed.tokens], abs=CLOSE)


@both
def test_proof_2_the_order_of_windows_does_not_matter(architecture: str, load: Load) -> None:
    llm = load(architecture)
    wanted = ours(llm, TEXTS)
    for order in ([3, 1, 0, 2], [0, 2, 1, 3], [2, 0, 3, 1]):
        for indent in ("left", "right"):
            found = ours(llm, [TEXTS[i] for i in order], indent=indent)
            assert distance(found, wanted if indent == "left" else ours(llm, TEXTS, indent="right")) < CLOSE
    assert distance(ours(llm, TEXTS[:3]), wanted) > 1e-3


@both
@pytest.mark.parametrize("count", [1, 2, 4])
def test_proof_3_joined_caches_are_one_masked_pass(architecture: str, count: int, load: Load) -> None:
    llm, texts = load(architecture), TEXTS[:count]
    wanted = masked(llm, texts)
    assert distance(source_logits(llm, texts), wanted) < CLOSE
    assert distance(ours(llm, texts), wanted) < CLOSE


@both
@pytest.mark.parametrize("indent", ["left", "right"])
def test_proof_4_incremental_decoding_is_prefill(architecture: str, indent: Indent, load: Load) -> None:
    llm, new = load(architecture), [5, 9, 3]
    if indent == "left":
        assert distance(ours(llm, TEXTS, new), masked(llm, TEXTS, new)) < CLOSE
    opened = llm._loaded.open([tokens_of(llm, TEXTS)], len(new), "parallel", indent)
    at_once = opened.rows.extend([[*opened.tails[0], *new]])[0]
    assert distance(ours(llm, TEXTS, new, indent), at_once) < CLOSE
    assert distance(ours(llm, TEXTS, new[:2], indent), at_once) > 1e-3


@both
def test_proof_5_right_is_left_where_all_windows_are_equally_long_and_differs_otherwise(
    architecture: str, load: Load
) -> None:
    llm = load(architecture)
    even = ["bell", "tell", "sell"]
    assert len({len(context) for context in tokens_of(llm, even).contexts}) == 1
    assert distance(ours(llm, even, indent="right"), ours(llm, even)) < CLOSE
    assert distance(ours(llm, TEXTS, indent="right"), source_logits(llm, TEXTS, "right")) < 1e-4  # rotated in float32
    assert distance(ours(llm, TEXTS, indent="right"), ours(llm, TEXTS)) > 1e-2


@both
def test_proof_6_default_position_ids_must_differ(architecture: str, load: Load) -> None:
    llm = load(architecture)
    assert distance(source_logits(llm, TEXTS, behind=True), masked(llm, TEXTS)) > 1e-2
    assert distance(source_logits(llm, TEXTS[:1], behind=True), masked(llm, TEXTS[:1])) < CLOSE


@both
def test_proof_7_generate_over_joined_caches_is_the_manual_greedy_loop_and_ours(architecture: str, load: Load) -> None:
    llm, count = load(architecture), GREEDY.max_new_tokens
    new = greedy(llm, TEXTS, count)

    def generated(behind: bool) -> list[int]:
        tail, options = source_form(llm, TEXTS, behind=behind)
        cached = options["attention_mask"].shape[1] - len(tail)
        ids = torch.tensor([[0] * cached + tail])
        with own_attention(model_of(llm), llm._loaded.forward._attention):
            made = model_of(llm).generate(ids, max_new_tokens=count, do_sample=False, **options)
        tokens: list[int] = made[0, ids.shape[1] :].tolist()
        return tokens

    assert generated(behind=False) == new
    assert generated(behind=True) != new
    [event] = called(Pcw(windows=4), real(llm, TEXTS))
    assert event.text == text_of(llm, new)
    assert (event.grade, event.way) == ("parallel", "parallel, left")


@both
def test_proof_duplicating_a_window_is_not_a_no_op(architecture: str, load: Load) -> None:
    llm = load(architecture)
    doubled = [*TEXTS[:2], TEXTS[0]]
    assert distance(ours(llm, doubled), ours(llm, TEXTS[:2])) > 1e-3
    assert distance(ours(llm, doubled), masked(llm, doubled)) < CLOSE


@both
def test_no_window_loses_a_token_and_there_is_one_begin_of_text_at_most(architecture: str, load: Load) -> None:
    llm = load(architecture)
    tokens = tokens_of(llm, TEXTS)
    assert [list(context) for context in tokens.contexts] == [llm.tokenizer.encode(text) for text in TEXTS]
    begin = llm.tokenizer.inner.bos_token_id
    assert (tokens.prefix + tokens.tail).count(begin) == (architecture == "llama")
    assert not any(begin in context for context in tokens.contexts)


@both
def test_a_right_indented_reply_is_that_of_windows_read_where_they_end_together(architecture: str, load: Load) -> None:
    llm = load(architecture)
    [event] = called(Pcw(indent="right", windows=4), real(llm, TEXTS))
    assert event.way == "parallel, right"
    scores = source_logits(llm, TEXTS, "right").log_softmax(-1)
    assert event.tokens[0][1] == pytest.approx(float(scores.max()), abs=1e-4)


# Several reads, on a scripted model.


def saying(**answers: str) -> ScriptedLLM:
    """Replies what is given for the first of these words that a prompt holds."""

    def reply(prompt: Prompt) -> str:
        return next((text for word, text in answers.items() if word in prompt.part("context")), "NOT FOUND")

    return ScriptedLLM(reply)


WORDS = ["zero", "one", "two", "three", "four", "five", "six"]


def test_reads_go_by_relevance_and_stand_in_document_order() -> None:
    llm = ScriptedLLM(["NOT FOUND"])
    job = job_of([f"{word}. " for word in WORDS], llm, relevance=[0.1, 0.9, 0.3, 0.8, 0.2, 0.7, 0.6])
    stages: list[tuple[int, int]] = []
    job.trace.listeners.append(lambda e: stages.append((e.done, e.total)) if isinstance(e, Progress) else None)
    assert Pcw(windows=3)(job).usage.calls == 3
    read = [[text.strip(". ") for text in prompt.contexts] for prompt in llm.prompts]
    assert read == [["one", "three", "five"], ["two", "four", "six"], ["zero"]]
    assert stages == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("answers", "first", "last"),
    [
        ({"zero": "a", "one": "b", "two": "b"}, "b", "b"),
        ({"zero": "a", "one": "b", "two": "c"}, "a", "c"),
        ({"zero": "NOT FOUND", "one": "b", "two": "c"}, "b", "c"),
        ({"one": "B.", "three": "c", "five": "b", "six": "c"}, "B.", "c"),
        ({"two": "c"}, "c", "c"),
        ({}, "", ""),
    ],
    ids=str,
)
def test_the_answer_of_most_reads_wins_and_the_more_relevant_of_equals(
    answers: dict[str, str], first: str, last: str
) -> None:
    for relevance, wanted in [((), first), (range(7), last)]:
        job = job_of([f"{word}. " for word in WORDS], saying(**answers), require_evidence=False, relevance=relevance)
        assert Pcw(windows=1)(job).text == wanted


def test_evidence_comes_from_every_read_that_agrees() -> None:
    texts = ["zero keeps. ", "one keeps. ", "two keeps. "]
    llm = saying(zero="a\nQuote: zero keeps.", one="b\nQuote: one keeps.", two="b\nQuote: two keeps.")
    answer = Pcw(windows=1)(job_of(texts, llm))
    assert (answer.text, [item.quote for item in answer.evidence]) == ("b", ["one keeps.", "two keeps."])


def test_a_choice_is_that_of_most_reads_and_summaries_stand_one_after_the_other() -> None:
    texts = [f"{word} " for word in WORDS[:3]]
    llm = saying(zero="a", one="b", two="b")
    assert Pcw(windows=1)(job_of(texts, llm, task=Choosing(("a", "b")), require_evidence=False)).text == "b"
    assert Pcw(windows=2)(job_of(texts, llm, task=Summarising(), require_evidence=False)).text == "a\nb"


@pytest.mark.parametrize(("windows", "pieces"), [(3, True), (1, False)])
def test_the_words_of_a_lone_read_come_as_they_are_made(windows: int, pieces: bool) -> None:
    told: list[str] = []
    trace = Trace(listeners=[lambda event: told.append(event.text) if isinstance(event, Streamed) else None])
    words = "it is Maren who keeps the lamp there in the tower"
    job = job_of(["a. ", "b. "], ScriptedLLM([words]), trace=trace, voice=Voice(trace), require_evidence=False)
    assert Pcw(windows=windows)(job).text == "".join(told) == words
    assert (len(told) > 1) is pieces


def test_the_plan_counts_every_read() -> None:
    job = job_of(["a b c " for _ in range(7)], ScriptedLLM(["NOT FOUND"]))
    overhead = job.llm.count_tokens(job.prompt(ANSWER, []))
    assert Pcw()(job).usage.calls == 3
    assert Pcw().plan(job) == Plan(3, 3 * overhead + sum(chunk.tokens + 1 for chunk in job.chunks), 3 * 20)
    assert Pcw().plan(job_of([])) == Plan()


def test_models_that_cannot_are_refused_before_any_call() -> None:
    with pytest.raises(ModelError, match="pcw needs a model that shows its logits, and builtin does not"):
        Pcw()(job_of(TEXTS, BuiltinReader(), sampling=Sampling(8)))
    for options in ({"indent": "middle"}, {"windows": 0}):
        with pytest.raises(ConfigError, match="pcw needs indent left or right, and at least one window"):
            Pcw(**options)  # type: ignore[arg-type]
