"""Retrieval where the next sentence is unsure, and only there: against a fake model whose probabilities are written down.

Holds FLARE's proofs of ALGORITHMS.md, section 5. Its "theta 0" is theta 1 here, as in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from helpers import chunks_of, job_of
from hypothesis import given, settings
from hypothesis import strategies as st
from models import build

from ctxproc import ScriptedLLM, TransformersLLM
from ctxproc.chunk import Chunk
from ctxproc.errors import ConfigError
from ctxproc.job import Found, Job, Voice
from ctxproc.llm.base import Generation, Sampling, Token
from ctxproc.llm.meter import Limits
from ctxproc.llm.scripted import WordTokenizer
from ctxproc.prompt import Prompt
from ctxproc.strategies.flare import GO_ON, Flare, Sentence, cut
from ctxproc.strategies.stuff import Stuff
from ctxproc.task import Choosing
from ctxproc.trace import Called, Event, Kept, Noted, Streamed, Trace

PLAN = "Maren keeps the lamp. Oduya came in spring. Rain fell for days. "
TEXTS = [f"Text {i} says little. " for i in range(6)]


def pieces(text: str) -> list[str]:
    starts = [*WordTokenizer().starts(text), len(text)]
    return [text[a:b] for a, b in pairwise(starts)]


class Planned(ScriptedLLM):
    """Goes on with a planned text from what is written, by what it reads; tokens as probable as their words are said to be.

    Args:
        plans: the text for a context that holds the key; "" is any.
        doubts: probabilities of words; others have 0.99.
    """

    def __init__(self, plans: Mapping[str, str], doubts: Mapping[str, float], **values: object) -> None:
        super().__init__(**values)  # type: ignore[arg-type]
        self.plans, self.doubts = plans, doubts

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        [prompt] = prompts
        tokens = self.check_fits(prompt, sampling.max_new_tokens)
        self.prompts.append(prompt)
        plan = next(plan for key, plan in self.plans.items() if key in prompt.part("context"))
        written = prompt.field("written")
        assert plan.startswith(written)
        todo = pieces(plan[len(written) :])
        made = todo[: sampling.max_new_tokens]
        probable = tuple(Token(piece, math.log(self.doubts.get(piece.strip(), 0.99))) for piece in made)
        finish = "stop" if made == todo else "length"
        return [Generation("".join(made), tokens, len(made), finish=finish, tokens=probable)]  # type: ignore[arg-type]


class Shelf:
    """A retriever that remembers what it was asked and gives the chunks that hold a word of the query's."""

    def __init__(self, chunks: Sequence[Chunk], found: Mapping[str, int] | None = None) -> None:
        self.chunks, self.found, self.queries = chunks, found or {}, list[str]()

    def __call__(self, query: str, k: int) -> list[Found]:
        self.queries.append(query)
        places = [place for word, place in self.found.items() if word in query]
        return [Found(self.chunks[place], 1.0) for place in (places or [0])[:k]]


def writing(
    plans: Mapping[str, str], doubts: Mapping[str, float], found: Mapping[str, int] | None = None, **values: object
) -> tuple[Job, Shelf]:
    """A job that reads the first text, and the shelf of all texts."""
    chunks = chunks_of(*TEXTS)
    shelf = Shelf(chunks, found)
    values.setdefault("sampling", Sampling(max_new_tokens=80))
    values.setdefault("require_evidence", False)
    job = Job("Who keeps the lamp?", chunks[:1], Planned(plans, doubts), retriever=shelf, **values)  # type: ignore[arg-type]
    return job, shelf


def prompts_of(job: Job) -> list[Prompt]:
    assert isinstance(job.llm, ScriptedLLM)
    return job.llm.prompts


def test_proof_a_model_that_is_sure_of_all_retrieves_nothing_and_gives_the_text_of_plain_generation() -> None:
    job, shelf = writing({"": PLAN}, {})
    answer = Flare()(job)
    plain = Stuff()(writing({"": PLAN}, {})[0])
    assert shelf.queries == []
    assert answer.text == plain.text == PLAN.strip()
    assert (answer.usage.calls, answer.usage.prompt_tokens) == (1, plain.usage.prompt_tokens)


def test_proof_one_token_of_probability_one_half_retrieves_once_and_is_absent_from_the_query() -> None:
    job, shelf = writing({"": PLAN}, {"Oduya": 0.5})
    answer = Flare(theta=0.8, mask=0.6)(job)
    assert shelf.queries == ["came in spring."]
    assert answer.text == PLAN.strip()


def test_one_unsure_token_retrieves_once_with_the_sentence_and_without_a_token_below_the_mask() -> None:
    job, shelf = writing({"": PLAN}, {"Oduya": 0.3, "spring": 0.5})
    Flare(theta=0.8, mask=0.4)(job)
    assert shelf.queries == ["came in spring."]


def test_a_token_between_mask_and_theta_retrieves_and_stays_in_the_query() -> None:
    job, shelf = writing({"": PLAN}, {"Oduya": 0.5})
    Flare(theta=0.8, mask=0.4)(job)
    assert shelf.queries == ["Oduya came in spring."]


@pytest.mark.parametrize(("probability", "asked"), [(0.79, 1), (0.81, 0)])
def test_theta_is_the_probability_up_to_which_a_sentence_is_unsure(probability: float, asked: int) -> None:
    job, shelf = writing({"": PLAN}, {"Oduya": probability})
    Flare(theta=0.8)(job)
    assert len(shelf.queries) == asked


def test_a_probability_that_equals_theta_or_mask_is_not_above_it() -> None:
    sentence = Sentence("It rained.", (("It", 0.9), (" rained.", 0.5)))
    assert [sentence.unsure(theta) for theta in (0, 0.49, 0.5, 1)] == [False, False, True, True]
    assert [sentence.query(mask) for mask in (0.49, 0.5)] == ["It rained.", "It"]


def test_proof_theta_1_without_a_mask_retrieves_once_for_every_sentence_with_the_whole_sentence() -> None:
    job, shelf = writing({"": PLAN}, {})
    answer = Flare(theta=1, mask=0)(job)
    assert shelf.queries == ["Maren keeps the lamp.", "Oduya came in spring.", "Rain fell for days."]
    assert answer.text == PLAN.strip()


def test_theta_1_retrieves_once_for_every_sentence_also_where_each_finds_something_new() -> None:
    finds = {"Maren": 1, "Oduya": 2, "Rain": 3}
    job, shelf = writing({"": PLAN}, {}, finds)
    answer = Flare(theta=1, mask=0)(job)
    assert shelf.queries == ["Maren keeps the lamp.", "Oduya came in spring.", "Rain fell for days."]
    assert answer.text == PLAN.strip()
    assert [prompt.contexts for prompt in prompts_of(job)] == [(text,) for text in TEXTS[:4]]


def test_theta_0_never_retrieves() -> None:
    job, shelf = writing({"": PLAN}, {"Oduya": 1e-9})
    assert (Flare(theta=0)(job).text, shelf.queries) == (PLAN.strip(), [])


def test_proof_the_look_ahead_stands_and_no_call_is_made_where_the_same_chunks_come_back() -> None:
    job, shelf = writing({"": PLAN}, {"Oduya": 0.5, "days": 0.5}, {"": 0})
    answer = Flare()(job)
    assert (answer.text, len(shelf.queries), answer.usage.calls) == (PLAN.strip(), 2, 1)


def test_a_sentence_is_written_again_over_what_was_found_and_what_stands_before_it_stays() -> None:
    better = "Maren keeps the lamp. Oduya came by boat. Snow lay. "
    job, shelf = writing({"Text 2": better, "": PLAN}, {"spring": 0.5}, {"Oduya": 2})
    answer = Flare()(job)
    assert (answer.text, shelf.queries) == (better.strip(), ["Oduya came in spring."])
    first, second = prompts_of(job)
    assert (first.step, first.contexts, second.step, second.contexts) == ("answer", (TEXTS[0],), GO_ON, (TEXTS[2],))
    assert second.field("written") == "Maren keeps the lamp. "


def test_the_sentence_written_after_a_retrieval_stands_though_it_is_unsure() -> None:
    job, shelf = writing({"": PLAN}, {"Oduya": 0.5}, {"Oduya": 2})
    answer = Flare()(job)
    assert (answer.text, len(shelf.queries), answer.usage.calls) == (PLAN.strip(), 1, 2)


def test_a_fully_masked_sentence_asks_with_the_question() -> None:
    masked = dict.fromkeys(["Oduya", "came", "in", "spring", "."], 0.1)
    job, shelf = writing({"": "Oduya came in spring. "}, masked)
    Flare()(job)
    assert shelf.queries == ["Who keeps the lamp?"]


def test_an_unsure_not_found_asks_with_the_question() -> None:
    job, shelf = writing({"Text 2": "Maren keeps the lamp. ", "": "NOT FOUND"}, {"FOUND": 0.5}, {"lamp": 2})
    assert (Flare()(job).text, shelf.queries) == ("Maren keeps the lamp.", ["Who keeps the lamp?"])


def test_a_look_ahead_that_is_cut_goes_on_sentence_by_sentence_to_the_same_text() -> None:
    job, _ = writing({"": PLAN}, {})
    answer = Flare(ahead=8)(job)
    assert answer.text == PLAN.strip()
    assert [prompt.field("written") for prompt in prompts_of(job)] == [
        "",
        "Maren keeps the lamp. ",
        "Maren keeps the lamp. Oduya came in spring. ",
    ]


@settings(deadline=None, max_examples=80)
@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=8),
    ahead=st.integers(8, 40),
    doubtful=st.sets(st.integers(0, 7)),
)
def test_whatever_is_unsure_the_text_is_that_of_plain_generation_where_all_contexts_say_the_same(
    lengths: Sequence[int], ahead: int, doubtful: set[int]
) -> None:
    sentences = [f"W{i} {' '.join(f'v{i}x{j}' for j in range(n))}. " for i, n in enumerate(lengths)]
    job, shelf = writing({"": "".join(sentences)}, {f"W{i}": 0.5 for i in doubtful}, {f"W{i}": i % 6 for i in range(8)})
    answer = Flare(ahead=ahead, rounds=40)(job)
    assert answer.text == "".join(sentences).strip()
    assert {int(query.split()[0][1:]) for query in shelf.queries} == {i for i in doubtful if i < len(sentences)}
    assert len(shelf.queries) == len({i for i in doubtful if i < len(sentences)})


def test_a_model_that_begins_anew_after_every_prompt_is_not_taken_for_one_that_goes_on() -> None:
    llm = ScriptedLLM(["Maren keeps the lamp. Oduya came. Rain fell. "])
    answer = Flare(ahead=8)(job_of(TEXTS[:1], llm, require_evidence=False))
    assert answer.text == "Maren keeps the lamp."
    assert len(llm.prompts) == 2


def test_a_reply_that_it_is_complete_ends_the_text_and_is_no_part_of_it() -> None:
    llm = ScriptedLLM(["Maren keeps the lamp. Oduya came. Rain fell. ", "Oduya came by sea.", "END"])
    answer = Flare(ahead=8)(job_of(TEXTS[:1], llm, require_evidence=False))
    assert answer.text == "Maren keeps the lamp. Oduya came by sea."


def test_rounds_bound_the_calls_and_what_the_last_one_gives_stands() -> None:
    finds = {"Maren": 1, "Oduya": 2, "Rain": 3}
    for rounds in (1, 2, 3):
        job, shelf = writing({"": PLAN}, {}, finds)
        answer = Flare(theta=1, mask=0, rounds=rounds)(job)
        assert (answer.text, answer.usage.calls, len(shelf.queries)) == (PLAN.strip(), rounds, rounds - 1)


def test_the_bound_on_tokens_holds_for_the_whole_reply() -> None:
    job, _ = writing({"": PLAN}, {}, sampling=Sampling(max_new_tokens=12))
    text = Flare(ahead=6)(job).text
    assert PLAN.startswith(text) and 10 < len(pieces(text)) <= 12


@pytest.mark.parametrize(("calls", "text"), [(0, ""), (1, PLAN.strip()), (2, "Maren keeps the lamp. Oduya left.")])
def test_where_a_limit_forbids_to_write_again_the_look_ahead_stands(calls: int, text: str) -> None:
    better = "Maren keeps the lamp. Oduya left. "
    job, _ = writing({"Text 2": better, "": PLAN}, {"spring": 0.5}, {"Oduya": 2}, limits=Limits(calls=calls))
    answer = Flare()(job)
    assert (answer.text, answer.usage.calls) == (text, calls)
    assert bool(answer.stopped) == (calls < 2)


def test_where_the_new_chunks_say_nothing_the_look_ahead_is_the_answer() -> None:
    job, _ = writing({"Text 2": "NOT FOUND", "": "Maren keeps the lamp. "}, {"Maren": 0.5}, {"lamp": 2})
    answer = Flare()(job)
    assert (answer.text, answer.usage.calls) == ("Maren keeps the lamp.", 2)


def test_a_confidence_stands_for_every_token_and_the_surest_reply_is_kept() -> None:
    sure = {TEXTS[0]: 0.6, TEXTS[2]: 0.7, TEXTS[3]: 0.2}

    def reply(prompt: Prompt) -> Generation:
        [context] = prompt.contexts
        return Generation(f"Maren by {context[:6]}", 0, 0, confidence=sure[context], quote=context.strip())

    for place, expected in ((2, "Maren by Text 2"), (3, "Maren by Text 0")):
        shelf = Shelf(chunks := chunks_of(*TEXTS), {"Maren": place})
        job = Job("Who?", chunks[:1], ScriptedLLM(reply, gives_confidence=True), retriever=shelf)
        answer = Flare()(job)
        assert (answer.text, shelf.queries, answer.usage.calls) == (expected, ["Maren by Text 0"], 2)
        assert answer.evidence[0].quote == f"{expected.removeprefix('Maren by ')} says little."
    shelf = Shelf(chunks, {"Maren": 2})
    job = Job("Who?", chunks[:1], ScriptedLLM(reply, gives_confidence=True), retriever=shelf)
    assert (Flare(theta=0.5)(job).usage.calls, shelf.queries) == (1, [])


class Silent(ScriptedLLM):
    """Gives no token probabilities, as servers may."""

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        return super().generate(prompts, Sampling(sampling.max_new_tokens))


def test_a_model_that_tells_no_probabilities_retrieves_for_every_sentence_and_the_trace_says_so() -> None:
    notes: list[str] = []
    trace = Trace(listeners=[lambda event: notes.append(event.text) if isinstance(event, Noted) else None])
    shelf = Shelf(chunks := chunks_of(*TEXTS))
    sampling = Sampling(max_new_tokens=80)
    job = Job(
        "Who?", chunks[:1], Silent([PLAN]), retriever=shelf, trace=trace, sampling=sampling, require_evidence=False
    )
    answer = Flare()(job)
    assert shelf.queries == ["Maren keeps the lamp.", "Oduya came in spring.", "Rain fell for days."]
    assert (answer.text, notes) == (
        PLAN.strip(),
        ["scripted tells no probabilities: every sentence is taken for unsure"],
    )


def test_a_choice_is_one_sentence_that_is_made_again_over_what_was_found() -> None:
    job, shelf = writing(
        {"Text 2": "Maren", "": "Oduya"}, {"Oduya": 0.5}, {"Oduya": 2}, task=Choosing(("Oduya", "Maren"))
    )
    answer = Flare()(job)
    assert (answer.text, shelf.queries, answer.usage.calls) == ("Maren", ["Oduya"], 2)


def test_sentences_that_stand_are_streamed_and_joined_they_are_the_answer() -> None:
    streamed: list[str] = []
    trace = Trace(listeners=[lambda event: streamed.append(event.text) if isinstance(event, Streamed) else None])
    better = "Maren keeps the lamp of the tower. Oduya came by boat. Snow lay.\nQuote: Text 2 says little."
    plan = "Maren keeps the lamp of the tower. Oduya came in spring. "
    job, _ = writing({"Text 2": better, "": plan}, {"spring": 0.5}, {"Oduya": 2}, trace=trace, voice=Voice(trace))
    answer = Flare()(job)
    assert answer.text == "".join(streamed) == "Maren keeps the lamp of the tower. Oduya came by boat. Snow lay."
    assert streamed[0] == "Maren keeps the lamp of the tower."
    assert (answer.evidence[0].quote, answer.evidence[0].status) == ("Text 2 says little.", "verified")


@given(st.text("ab .\n!", max_size=60))
def test_the_sentences_of_a_look_ahead_joined_are_the_text(text: str) -> None:
    tokens = tuple(Token(piece, -0.1) for piece in pieces(text))
    made = cut(Generation(text, 0, 0, tokens=tokens))
    assert "".join(sentence.text for sentence in made) == (text if text.strip() else "")
    assert all(len(sentence.text) >= 5 for sentence in made[:-1])
    assert [token for sentence in made for token, _ in sentence.tokens] == (pieces(text) if text.strip() else [])


@pytest.mark.parametrize("values", [{"theta": 1.1}, {"mask": -0.1}, {"k": 0}, {"ahead": 0}, {"rounds": 0}])
def test_values_out_of_range_are_refused(values: Mapping[str, float]) -> None:
    with pytest.raises(ConfigError, match="flare: "):
        Flare(**values)  # type: ignore[arg-type]


def test_a_doubt_whether_the_reply_ends_is_no_doubt_about_its_last_sentence() -> None:
    end = Token("", math.log(0.1))
    [sentence] = cut(Generation("It rained.", 0, 0, tokens=(Token("It rained.", math.log(0.9)), end)))
    assert not sentence.unsure(0.8) and sentence.tokens == (("It rained.", pytest.approx(0.9)),)


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_on_a_model_with_logits_a_reply_that_is_never_unsure_is_that_of_plain_generation(
    architecture: str, tmp_path: Path
) -> None:
    folder = build(tmp_path / architecture, architecture, max_position_embeddings=2048)
    llm = TransformersLLM(str(folder), device="cpu", dtype="float32", threads=1)
    job = Job(
        "Who keeps the lamp?", chunks_of(*TEXTS), llm, sampling=Sampling(max_new_tokens=24), require_evidence=False
    )
    events: list[Event] = []
    job.trace.listeners.append(events.append)
    assert Flare(theta=0)(job).text == Stuff()(job).text
    flare, plain = (event for event in events if isinstance(event, Called))
    assert flare.text == plain.text == "".join(text for text, _ in flare.tokens) != ""
    assert any(isinstance(event, Kept) for event in events) is False
    Flare(theta=1)(job)
    assert any(isinstance(event, Kept) for event in events)
