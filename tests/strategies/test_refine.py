"""An answer is carried through all chunks in order, and gives way only to a better one.

Holds the proof of ALGORITHMS.md, section 4 on a model that appends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from helpers import job_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc import ScriptedLLM
from ctxproc.errors import ConfigError
from ctxproc.job import Voice
from ctxproc.llm.base import Generation, Sampling
from ctxproc.llm.meter import Limits, metered
from ctxproc.prompt import Prompt
from ctxproc.strategies.base import ANSWER
from ctxproc.strategies.refine import IMPROVE, Refine
from ctxproc.task import Choosing, Extracting, Summarising
from ctxproc.trace import Progress, Streamed, Trace

TEXTS = ["Salt came. ", "The lamp is kept by Maren. ", "Rain fell. ", "Then Oduya kept it. "]
MAREN = "Maren\nQuote: The lamp is kept by Maren."


def appending(prompt: Prompt) -> str:
    """A model that appends the first word of its text to the answer so far."""
    word = prompt.contexts[0].split()[0]
    return f"{prompt.field('answer')} {word}".strip() + f"\nQuote: {word}"


def by_text(replies: dict[str, str]) -> ScriptedLLM:
    """Replies by a word of the text."""
    return ScriptedLLM(
        lambda p: next((reply for word, reply in replies.items() if word in p.part("context")), "NOT FOUND")
    )


@settings(deadline=None, max_examples=40)
@given(st.permutations(range(6)))
def test_proof_a_model_that_appends_gives_the_chunks_in_order(ranks: Sequence[int]) -> None:
    texts = [f"c{i} is here. " for i in range(6)]
    job = job_of(texts, ScriptedLLM(appending), relevance=[rank / 6 for rank in ranks])
    answer = Refine()(job)
    assert (answer.text, answer.usage.calls) == ("c0 c1 c2 c3 c4 c5", 6)
    by_rank = sorted(range(6), key=lambda i: -ranks[i])
    assert Refine(order="relevance")(job).text == " ".join(f"c{i}" for i in by_rank)


@pytest.mark.parametrize(
    "nothing",
    ["NOT FOUND", "", "Quote:", "The text does not say who keeps the lamp.", "Zed\nQuote: Zed keeps the lamp."],
    ids=["not found", "empty", "no answer", "not here in other words", "made up"],
)
def test_a_later_reply_without_a_supported_answer_never_overwrites_one(nothing: str) -> None:
    llm = by_text({"Maren": MAREN, "Rain": nothing, "Oduya": nothing})
    answer = Refine()(job_of(TEXTS, llm))
    assert (answer.text, [item.quote for item in answer.evidence]) == ("Maren", ["The lamp is kept by Maren."])
    assert [prompt.step for prompt in llm.prompts] == [ANSWER, ANSWER, IMPROVE, IMPROVE]
    assert [prompt.field("answer") for prompt in llm.prompts] == ["", "", "Maren", "Maren"]


def test_a_later_correction_overwrites_and_its_quote_is_the_evidence() -> None:
    llm = by_text({"Maren": MAREN, "Oduya": "Oduya\nQuote: Then Oduya kept it."})
    answer = Refine()(job_of(TEXTS, llm))
    assert (answer.text, [item.quote for item in answer.evidence]) == ("Oduya", ["Then Oduya kept it."])
    assert Refine(order="relevance")(job_of(TEXTS, llm, relevance=[0, 0.2, 0.1, 0.9])).text == "Maren"


def test_an_unsupported_first_answer_gives_way_and_steps_that_agree_add_their_quotes() -> None:
    llm = by_text({"Salt": "Zed\nQuote: Zed.", "Maren": MAREN, "Oduya": "maren.\nQuote: Then Oduya kept it."})
    answer = Refine()(job_of(TEXTS, llm))
    assert answer.text == "maren."
    assert [item.quote for item in answer.evidence] == ["The lamp is kept by Maren.", "Then Oduya kept it."]


def test_a_completed_answer_may_quote_the_chunks_of_the_answer_before_it() -> None:
    llm = by_text({"Maren": MAREN, "Oduya": "Maren, then Oduya\nQuote: The lamp is kept by Maren."})
    answer = Refine()(job_of(TEXTS, llm))
    assert (answer.text, answer.evidence[0].start) == ("Maren, then Oduya", len(TEXTS[0]))


def test_where_limits_forbid_a_step_the_answer_so_far_stands() -> None:
    llm = by_text({"Maren": MAREN, "Oduya": "Oduya\nQuote: Then Oduya kept it."})
    job = job_of(TEXTS, llm)
    for calls, text in ((0, ""), (1, ""), (2, "Maren"), (3, "Maren"), (4, "Oduya")):
        assert Refine().read(replace(job, llm=metered(llm, Limits(calls=calls), Trace()))).text == text


def test_the_first_step_that_a_limit_forbids_is_the_end_though_a_shorter_one_would_be_allowed() -> None:
    texts = ["It is Maren. ", "word " * 60, "It is Oduya. "]
    llm = ScriptedLLM(lambda p: f"{p.contexts[0].split()[-1]}\nQuote: {p.contexts[0].strip()}")
    job = job_of(texts, llm)
    Refine()(job)
    first, second, third = map(llm.count_tokens, llm.prompts)
    assert third < second - 40
    tokens = first + 20 + second
    assert tokens > first + 20 + third + 20
    assert Refine().read(replace(job, llm=metered(llm, Limits(tokens=tokens), Trace()))).text == "Maren."


def test_of_answers_with_a_confidence_the_surest_stands_and_the_later_of_equals() -> None:
    def reply(prompt: Prompt) -> Generation:
        text = prompt.contexts[0].strip()
        return Generation(text, 0, 0, confidence=float(text.split()[1].rstrip(".")), quote=text)

    llm = ScriptedLLM(reply, gives_confidence=True)
    answer = Refine()(job_of(["one 0.3. ", "two 0.8. ", "three 0.5. ", "four 0.8. ", "five 0.1. "], llm))
    assert (answer.text, answer.confidence) == ("four 0.8.", 0.8)
    assert Refine()(job_of(["one 0.3. "], llm, min_confidence=0.4)).abstained


def test_a_long_answer_so_far_is_clipped_in_the_next_prompt() -> None:
    llm = ScriptedLLM(lambda _: Generation("w " * 90, 0, 7, quote="Salt"))
    Refine()(job_of(["Salt came. ", "Salt went. "], llm, sampling=Sampling(max_new_tokens=7)))
    assert [llm.tokenizer.count(prompt.field("answer")) for prompt in llm.prompts] == [0, 7]


def test_as_many_chunks_as_fit_are_read_in_one_step_where_that_is_asked() -> None:
    llm = ScriptedLLM(["NOT FOUND"], context_window=300)
    job = job_of(["w " * 30] * 10, llm)
    fitting = (Refine().room_of(job) + 1) // 31
    Refine(per_step=None)(job)
    sizes = [len(prompt.contexts) for prompt in llm.prompts]
    assert 1 < fitting < 10 and sizes == [min(fitting, 10 - i) for i in range(0, 10, fitting)]
    llm.prompts.clear()
    Refine(per_step=2)(job)
    assert [len(prompt.contexts) for prompt in llm.prompts] == [2] * 5


def test_a_summary_grows_and_its_evidence_may_stand_in_any_chunk() -> None:
    llm = ScriptedLLM(lambda p: f"{p.field('answer')} {p.contexts[0].strip()}".strip())
    answer = Refine()(job_of(TEXTS, llm, task=Summarising(), sampling=Sampling(max_new_tokens=80)))
    assert answer.text == "".join(TEXTS).strip()
    assert {item.start for item in answer.evidence} == {"".join(TEXTS).index(text) for text in TEXTS}


def test_json_without_a_value_and_a_choice_that_is_none_never_overwrite() -> None:
    llm = by_text({"Maren": '{"keeper": "Maren"}', "Rain": '{"keeper": null}', "Oduya": "{}"})
    assert Refine()(job_of(TEXTS, llm, task=Extracting({"type": "object"}))).text == '{"keeper": "Maren"}'
    llm = by_text({"Maren": "Maren", "Rain": "something else entirely"})
    assert Refine()(job_of(TEXTS, llm, task=Choosing(("Maren", "Oduya")))).text == "Maren"


def test_a_reply_is_passed_on_as_it_comes_only_where_it_must_be_the_answer() -> None:
    def pieces(texts: list[str]) -> list[str]:
        heard: list[str] = []
        trace = Trace(listeners=[lambda e: heard.append(e.text) if isinstance(e, Streamed) else None])
        words = "It is Maren who keeps the lamp"
        llm = by_text({"Maren": f"{words}\nQuote: The lamp is kept by Maren."})
        assert Refine()(job_of(texts, llm, trace=trace, voice=Voice(trace))).text == words == "".join(heard)
        return heard

    assert len(pieces(TEXTS[1:2])) > 1 and len(pieces(TEXTS[:2])) > 1
    assert len(pieces(TEXTS)) == 1


def test_progress_is_told_for_every_step() -> None:
    told: list[tuple[int, int]] = []
    trace = Trace(listeners=[lambda e: told.append((e.done, e.total)) if isinstance(e, Progress) else None])
    Refine()(job_of(TEXTS, by_text({}), trace=trace))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("values", [{"order": "random"}, {"per_step": 0}])
def test_a_parameter_without_meaning_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="refine"):
        Refine(**values)  # type: ignore[arg-type]
