"""The memory stays bounded, quotations outlive it, and replies of another form end in a defined way.

Holds RecurrentGPT's proofs of ALGORITHMS.md, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from helpers import job_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc import BuiltinReader, ScriptedLLM
from ctxproc.errors import ConfigError
from ctxproc.llm.base import Generation, Sampling
from ctxproc.llm.meter import Limits, metered
from ctxproc.prompt import Prompt
from ctxproc.strategies.base import NOTES
from ctxproc.strategies.recurrent import READ, WARMTH, Recurrent
from ctxproc.task import Choosing, Summarising
from ctxproc.trace import Event, Kept, Trace

PLANTED = "The lamp is kept by Maren."


class Noted(ScriptedLLM):
    """A scripted model that keeps how it was asked to generate."""

    def __init__(self, reply: Sequence[str]) -> None:
        super().__init__(reply)
        self.asked: list[Sampling] = []

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        self.asked.append(sampling)
        return super().generate(prompts, sampling)


class Quoting(ScriptedLLM):
    """A scripted model that does not write."""

    def __init__(self, confidences: dict[str, float]) -> None:
        def reply(prompt: Prompt) -> Generation:
            found = max((t for t in confidences if t in prompt.part("context")), key=confidences.__getitem__)
            return Generation(found.rstrip("."), 0, 0, confidence=confidences[found], quote=found)

        super().__init__(reply, gives_confidence=True)
        self.writes = False


def rambling(prompt: Prompt) -> str:
    """A model that fills its memory with words and quotes its text."""
    quote = prompt.contexts[0].strip()
    return "memory " * 200 if prompt.step == NOTES else f"{'memory ' * 40}\nQuote: {quote}"


def test_proof_the_length_of_a_prompt_is_bounded_whatever_was_read_before() -> None:
    longest = []
    for n in (5, 200):
        llm = ScriptedLLM(rambling, context_window=100_000)
        Recurrent(related=3)(job_of([f"part {i:03} . " for i in range(n)], llm, sampling=Sampling(max_new_tokens=50)))
        steps = [llm.count_tokens(prompt) for prompt in llm.prompts if prompt.step == READ]
        longest.append(max(steps))
        assert len(steps) == n
    assert longest[0] == longest[1]


def test_proof_memory_and_quotations_are_cut_so_that_no_prompt_has_more_of_them_than_a_reply_is_long() -> None:
    def verbose(prompt: Prompt) -> Generation:
        return Generation("memory " * 90, 0, 30, quote=prompt.contexts[0].strip())

    llm = ScriptedLLM(verbose, context_window=400)
    job = job_of([f"part {i} " + "word " * 25 for i in range(12)], llm, sampling=Sampling(max_new_tokens=30))
    Recurrent(related=4)(job)
    *steps, last = llm.prompts
    assert {llm.tokenizer.count(p.field("memory")) for p in steps[1:]} == {30}
    assert {llm.tokenizer.count(p.field("related")) for p in steps[2:]} == {30}
    room = Recurrent().room_of(job)
    held = 1 + (room - 30) // (27 + 1)
    assert 3 <= held == len(last.contexts) < 13
    assert llm.tokenizer.count(last.contexts[0]) == 30 and llm.count_tokens(last) + 30 <= 400


def test_proof_the_long_memory_has_a_note_for_each_step_and_the_short_one_only_the_last_reply() -> None:
    llm = ScriptedLLM(lambda p: f"memory of {p.contexts[0].strip()}\nQuote: {p.contexts[0].strip()}")
    memory = Recurrent().remember(job_of([f"part {i}. " for i in range(20)], llm))
    assert memory.text == "memory of part 19."
    assert [note.text for note in memory.notes] == [f"part {i}." for i in range(20)]
    assert [note.chunks[0].index for note in memory.notes] == list(range(20))


def test_each_step_reads_the_memory_that_the_step_before_wrote() -> None:
    llm = ScriptedLLM(lambda p: f"after {p.contexts[0].strip()}\nQuote: {p.contexts[0].strip()}")
    Recurrent()(job_of(["one. ", "two. ", "three. "], llm))
    assert [p.field("memory") for p in llm.prompts[:3]] == ["Nothing yet.", "after one.", "after two."]


@pytest.mark.parametrize("depth", [0, 7, 39])
def test_proof_a_planted_passage_is_found_again_though_the_memory_forgot_it(depth: int) -> None:
    texts = [f"Nothing of note {i}. " for i in range(40)]
    texts[depth] = PLANTED + " "

    def forgetful(prompt: Prompt) -> str:
        if prompt.step == NOTES:
            return f"Maren\nQuote: {PLANTED}" if PLANTED in prompt.contexts else "NOT FOUND"
        return f"It was long\nQuote: {prompt.contexts[0].strip()}"

    events: list[Event] = []
    llm = ScriptedLLM(forgetful, context_window=300)
    answer = Recurrent(related=1)(job_of(texts, llm, trace=Trace(listeners=[events.append])))
    assert (answer.text, answer.evidence[0].start) == ("Maren", "".join(texts).index(PLANTED))
    related = [p.field("related") for p in llm.prompts if p.step == READ]
    assert related[0] == "None yet." and set(related[depth + 1 :]) <= {PLANTED}
    assert PLANTED not in llm.prompts[-1].contexts[0]
    [kept] = [event for event in events if isinstance(event, Kept)]
    start = "".join(texts).index(PLANTED)
    assert ("memo.txt", start, start + len(texts[depth]), 1 / 2) in kept.chunks


def test_without_related_quotations_no_step_reads_one() -> None:
    llm = ScriptedLLM(rambling)
    Recurrent(related=0)(job_of([PLANTED, "Rain fell. ", "Salt came. "], llm))
    assert {p.field("related") for p in llm.prompts if p.step == READ} == {"None yet."}


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_proof_a_reply_of_another_form_is_asked_for_again_so_many_times_and_then_the_memory_stays(retries: int) -> None:
    llm = Noted(
        [f"Maren\nQuote: {PLANTED}", *["no quotation of it"] * (1 + retries), "more\nQuote: Rain fell.", "Maren"]
    )
    memory = Recurrent(retries=retries).remember(job_of([PLANTED, "Salt came. ", "Rain fell. "], llm))
    assert len(llm.asked) == 1 + (1 + retries) + 1
    assert [prompt.field("memory") for prompt in llm.prompts[1:]] == ["Maren"] * (2 + retries)
    assert (memory.text, [note.text for note in memory.notes]) == ("more", [PLANTED, "Rain fell."])
    again = llm.asked[2 : 2 + retries]
    assert [sampling.seed for sampling in again] == list(range(1, 1 + retries))
    assert {sampling.temperature for sampling in again} <= {WARMTH}
    assert {sampling.temperature for sampling in (*llm.asked[:2], llm.asked[-1])} == {0.0}


def test_a_reply_that_has_the_form_at_last_is_taken() -> None:
    llm = Noted(["no quotation", f"Maren\nQuote: {PLANTED}"])
    memory = Recurrent(retries=5).remember(job_of([PLANTED], llm))
    assert (memory.text, len(llm.asked)) == ("Maren", 2)


def test_nothing_found_is_no_other_form_and_leaves_the_memory() -> None:
    llm = Noted([f"Maren\nQuote: {PLANTED}", "NOT FOUND", "NOT FOUND"])
    memory = Recurrent().remember(job_of([PLANTED, "Salt came. ", "Rain fell. "], llm))
    assert (memory.text, len(llm.asked)) == ("Maren", 3)


def test_a_summary_is_asked_for_again_where_it_is_empty_and_needs_no_quotation() -> None:
    llm = Noted(["", "All is told.", "All is told twice.", "The end."])
    answer = Recurrent()(job_of(["All is told. ", "Twice. "], llm, task=Summarising(), require_evidence=False))
    assert (answer.text, len(llm.asked)) == ("The end.", 4)
    assert llm.prompts[-1].contexts == ("All is told twice.",)


def test_a_model_that_does_not_write_keeps_its_surest_quotations_as_many_as_fit() -> None:
    confidences = {f"Part {i} is told here.": ((i * 7) % 30 + 1) / 40 for i in range(30)}
    llm = Quoting(confidences)
    llm.context_window = 300
    job = job_of([f"{text} " for text in confidences], llm)
    answer = Recurrent()(job)
    held = (Recurrent().room_of(job) + 1) // (6 + 1)
    assert 2 <= held < 30
    best = sorted(confidences, key=lambda text: -confidences[text])[:held]
    assert llm.prompts[-1].contexts == tuple(text for text in confidences if text in best)
    assert answer.text == best[0].rstrip(".") and answer.confidence == max(confidences.values())


def test_the_built_in_reader_reads_so_too() -> None:
    texts = [f"Salt came to granary {i}, so the sacks were carried up. " for i in range(6)]
    texts[4] = "The lamp at Skerry Point is kept by Maren Oduya, who rows there each evening. "
    reader = BuiltinReader(device="cpu", dtype="float32")
    answer = Recurrent()(job_of(texts, reader, sampling=Sampling(max_new_tokens=60)))
    assert "Maren Oduya" in answer.text
    assert answer.evidence[0].quote == texts[4].strip()


def test_where_limits_end_the_reading_what_was_remembered_answers() -> None:
    llm = ScriptedLLM(lambda p: f"Maren\nQuote: {PLANTED}" if "Maren" in p.part("context") else "NOT FOUND")
    job = job_of(["Salt came. ", PLANTED, "Rain fell. "], llm)
    for calls, text in ((0, ""), (1, ""), (2, "Maren"), (3, "Maren"), (4, "Maren")):
        draft = Recurrent().read(replace(job, llm=metered(llm, Limits(calls=calls), Trace())))
        assert draft.text == text
    choosing = replace(job, task=Choosing(("Oduya", "Maren")), llm=metered(llm, Limits(calls=3), Trace()))
    assert Recurrent().read(choosing).text == "Maren"


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 20),
    length=st.integers(1, 30),
    window=st.integers(230, 330),
    per_step=st.none() | st.integers(1, 3),
)
def test_every_prompt_of_an_echoing_model_fits_and_keeps_to_the_plan(
    n: int, length: int, window: int, per_step: int | None
) -> None:
    llm = ScriptedLLM(lambda prompt: f"w\nQuote: {prompt.part('context')}", context_window=window)
    strategy, job = Recurrent(per_step=per_step), job_of(["w " * length] * n, llm, sampling=Sampling(max_new_tokens=16))
    usage, plan = strategy(job).usage, strategy.plan(job)
    assert usage.calls <= plan.calls and usage.prompt_tokens <= plan.prompt_tokens
    assert max(map(llm.count_tokens, llm.prompts)) + 16 <= window


@pytest.mark.parametrize("values", [{"related": -1}, {"retries": -1}, {"per_step": 0}])
def test_a_parameter_without_meaning_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="recurrent"):
        Recurrent(**values)
