"""The benchmark of chains: its model reads by rule, counts what is asked of it, and serves a program in another process."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import chains
import pytest
from chains import OURS, Outcome, main, record
from click.testing import CliRunner
from peers.chains_cases import FACT, Case, Question, book, hostile, one, plant, planted, stretch
from peers.chains_host import STUBBORN, Counted, Program, ProgramError, Spent
from peers.chains_reader import NOTHING, SCORES, Fact, Reader, rambling, talkative
from peers.chains_wire import WORDS, Request, tokens_of

from ctxproc import Document, Library, ScriptedLLM, resolve
from ctxproc.errors import LimitError, PromptTooLongError
from ctxproc.llm.base import Sampling
from ctxproc.llm.scripted import TOKEN, WordTokenizer
from ctxproc.prompt import Prompt, Segment, template, template_names
from ctxproc.strategies import catalogue

MAP = "Return any relevant text verbatim.\n{text}\nQuestion: {question}\nRelevant text, if any:"
RANK = "also return a score of how fully it answered\n{text}\nQuestion: {question}\nHelpful Answer:"
REFINE = (
    "The original query is as follows: {question}\nWe have provided an existing answer: {earlier}\n"
    "We have the opportunity to refine the existing answer\n------------\n{text}\n------------\nRefined Answer: "
)
PLAIN = "Context information is below.\n{text}\nQuery: {question}\nAnswer: "
PEER = """
from peers.chains_wire import serve

def answer(request, model):
    if request.strategy == "stubborn":
        while True:
            try:
                model.generate(["x " * 100])
            except RuntimeError:
                pass
    if request.strategy == "raise":
        raise KeyError("no such key")
    if request.strategy == "die":
        raise SystemExit("gone")
    print("this goes to the log")
    notes = model.generate([f"{text} {request.question}" for text in request.documents])
    return " ".join([*notes, str(request.window), str(request.new_tokens)])

serve(answer, {"peer": "1.0"})
"""


def text(words: str) -> Prompt:
    return Prompt((Segment(words, "task"),))


def shown(form: str, context: str, earlier: str = "") -> Prompt:
    return text(form.format(text=context, question=FACT.question, earlier=earlier))


def test_words_are_counted_as_the_scripted_model_counts_them() -> None:
    assert TOKEN.pattern == WORDS
    assert len(tokens_of("")("Two bells, one tower. ")) == WordTokenizer().count("Two bells, one tower. ") == 7


@pytest.mark.parametrize(
    ("form", "found", "nothing"),
    [
        (MAP, FACT.passage, "None"),
        (RANK, "heron 42\nScore: 100", "This document does not answer the question\nScore: 0"),
        (PLAIN, "heron 42", "I don't know."),
    ],
)
def test_the_reader_replies_in_the_form_that_a_prompt_asks_for(form: str, found: str, nothing: str) -> None:
    reader = Reader([FACT])
    assert reader.reply(shown(form, f"Before.\n{FACT.passage} After.")) == found
    assert reader.reply(shown(form, FACT.passage.replace(" ", "\n "))) == found
    assert reader.reply(shown(form, "The watchword of the sixth gate is wren 7.")) == nothing


def test_the_reader_refines_what_it_is_given() -> None:
    reader = Reader([FACT])
    assert reader.reply(shown(REFINE, "Nothing.", "I don't know.")) == "I don't know."
    assert reader.reply(shown(REFINE, FACT.passage, "I don't know.")) == "heron 42"
    assert reader.reply(shown(REFINE, "Nothing.", "heron 42")) == "heron 42"


def test_the_reader_reads_notes_and_our_templates() -> None:
    reader, asked = Reader([FACT]), {"question": FACT.question}
    map_step, judge = template("map_reduce.map"), template("map_rerank.judge")
    assert reader.reply(map_step.fill([FACT.passage], asked)) == f"heron 42\nQuote: {FACT.passage}"
    assert reader.reply(map_step.fill(["Nothing."], asked)) == "NOT FOUND"
    if "refine.improve" in template_names():
        improve = template("refine.improve")
        told = {**asked, "answer": "heron 42"}
        assert reader.reply(improve.fill(["Nothing."], told)) == "NOT FOUND"
        assert reader.reply(improve.fill([FACT.passage], told)) == f"heron 42\nQuote: {FACT.passage}"
    assert reader.reply(shown(PLAIN, "I don't know.\n\nheron 42\n\nI don't know.")) == "heron 42"
    right, wrong = (judge.fill([FACT.passage], {**asked, "answer": one}) for one in ("heron 42", "crane 17"))
    assert reader.likelihood(right, " yes") == pytest.approx(math.log(0.99))
    assert reader.likelihood(right, " no") == pytest.approx(math.log(0.01))
    assert reader.likelihood(wrong, " yes") == pytest.approx(math.log(0.01))


def test_the_reader_prefers_the_fact_that_is_told_first() -> None:
    other = Fact(FACT.question, "It was crane 17.", "crane 17", "98")
    assert Reader([FACT, other]).reply(shown(PLAIN, f"It was crane 17. {FACT.passage}")) == "heron 42"
    assert Reader([FACT, other]).reply(shown(RANK, "It was crane 17.")) == "crane 17\nScore: 98"


def test_talkative_replies_have_their_length_and_keep_their_form() -> None:
    count = WordTokenizer().count
    reply = Reader([FACT], talkative(50)).reply(shown(RANK, FACT.passage))
    assert count(reply) == 50
    assert reply.startswith("heron 42 moreover")
    assert reply.endswith(" moreover\nScore: 100")
    empty = Reader([FACT], talkative(50)).reply(shown(MAP, "Nothing."))
    assert count(empty) == 50
    assert set(empty.split()) == {"moreover"}
    assert Reader([FACT]).find(f"{FACT.question}\n{padded_answer()}") == FACT


def padded_answer() -> str:
    """A note of a talkative reply."""
    return Reader([FACT], talkative(30)).reply(shown(PLAIN, FACT.passage))


def test_rambling_spares_what_holds_the_fact() -> None:
    reader = Reader([FACT], rambling("MARK", 9))
    assert reader.reply(shown(MAP, "MARK")) == " ".join(["moreover"] * 9)
    assert reader.reply(shown(MAP, f"MARK {FACT.passage}")) == FACT.passage
    assert reader.reply(shown(MAP, "Nothing.")) == "None"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("several lines", "heron 42\nas the porter says\nScore: 100"),
        ("no number", "heron 42\nScore: N/A"),
        ("half points", "heron 42\nScore: 100"),
        ("lower case", "heron 42\nscore: 100"),
        ("one line", "heron 42. Score: 100"),
        (
            "second question",
            "heron 42\nScore: 100\n\nQuestion: what color are apples?\nHelpful Answer: red\nScore: 100",
        ),
    ],
)
def test_scores_come_in_every_bad_form(name: str, found: str) -> None:
    reader = Reader([FACT], SCORES[name])
    assert reader.reply(shown(RANK, FACT.passage)) == found
    assert reader.reply(shown(RANK, "Nothing.")) == found.replace("heron 42", NOTHING["scored"].split("\n")[0]).replace(
        "100", "0", 1
    )
    assert reader.reply(shown(PLAIN, FACT.passage)) == "heron 42"


def test_calls_and_tokens_are_counted_where_the_model_is() -> None:
    model = Counted(ScriptedLLM(["one two three"], context_window=10), most_calls=4)
    model.generate([text("a b c"), text("a b c d")], Sampling(5))
    model.score([text("a b")], [" yes"])
    spent = replace(model.spent, seconds=0.0)
    assert spent == Spent(calls=3, prompt_tokens=3 + 4 + 2 + 1, new_tokens=6, longest=4)


def test_prompts_that_do_not_fit_are_refused_and_counted() -> None:
    model = Counted(ScriptedLLM(["x"], context_window=10), most_calls=4)
    with pytest.raises(PromptTooLongError):
        model.generate([text("a b"), text("a b c d e f"), text("a b c d e f g")], Sampling(5))
    assert (model.spent.calls, model.spent.overflows, model.spent.longest) == (0, 2, 7)


def test_a_question_ends_after_so_many_calls() -> None:
    model = Counted(ScriptedLLM(["x"]), most_calls=3)
    model.generate([text("a")] * 3, Sampling(5))
    with pytest.raises(LimitError, match="cut after 3 calls"):
        model.generate([text("a")], Sampling(5))
    assert model.spent.endless


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    (tmp_path / "a_peer.py").write_text(PEER, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Program("a_peer", sys.executable, tmp_path / "log")


def test_a_program_in_another_process_calls_the_model_here(peer: Program, tmp_path: Path) -> None:
    model = Counted(ScriptedLLM(lambda prompt: str(prompt).upper(), context_window=60), most_calls=9)
    request = Request("echo", "who?", ("é one", "two"), 60, 7)
    with peer:
        assert peer.facts == {"peer": "1.0"}
        assert peer.ask(request, model) == "É ONE WHO? TWO WHO? 60 7"
        assert peer.ask(replace(request, documents=(), window=None), model) == "None 7"
        with pytest.raises(ProgramError, match="KeyError: 'no such key'"):
            peer.ask(replace(request, strategy="raise"), model)
        with pytest.raises(ProgramError, match=r"RefusedError: the prompt has \d+ tokens"):
            peer.ask(replace(request, documents=("x " * 80,)), model)
        assert not peer.ended
    assert model.spent.calls == 2
    assert "this goes to the log" in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_program_that_ends_or_will_not_give_up_is_an_error(peer: Program, tmp_path: Path) -> None:
    model = Counted(ScriptedLLM(["x"], context_window=60), most_calls=9)
    with peer, pytest.raises(ProgramError, match="gone"):
        peer.ask(Request("die", "who?", (), 60, 7), model)
    assert peer.ended
    again = Program("a_peer", sys.executable, tmp_path / "log")
    with again, pytest.raises(ProgramError, match=f"goes on after {STUBBORN} refusals"):
        again.ask(Request("stubborn", "who?", (), 60, 7), model)
    assert again.ended


def test_a_library_that_is_not_installed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="No module named"):
        Program("peers.chains_of_no_library", sys.executable, tmp_path / "log")


def test_verdicts() -> None:
    assert Outcome("It is Heron 42.").verdict(["heron 42"]) == "right"
    assert Outcome("It is heron 420.").verdict(["heron 42"]) == "wrong"
    assert Outcome(abstained=True).verdict(["heron 42"]) == "abstained"
    assert Outcome(abstained=True).verdict([]) == "right"
    assert Outcome("heron 42").verdict([]) == "wrong"
    assert Outcome(error="ValueError").verdict([]) == "failed"
    assert Outcome(error="cut", spent=Spent(endless=True)).verdict([]) == "endless"


def test_a_record_holds_the_means_of_its_questions() -> None:
    case = Case("two", (Question("a?", ("red lamp",), ()), Question("b?", ("x",), ()), Question("c?", (), ())))
    outcomes = [
        Outcome("lamp", seconds=0.5, spent=Spent(calls=4, prompt_tokens=10, longest=7)),
        Outcome(error="ValueError: no", seconds=3.0, spent=Spent(calls=2, overflows=1, longest=9)),
        Outcome(abstained=True),
    ]
    row = record("p", case, "m", outcomes)
    assert row["f1"] == pytest.approx(100 * (2 / 3) / 2)
    assert row["exact_match"] == 0
    assert row["verdicts"] == {"wrong": 1, "failed": 1, "right": 1}
    assert (row["calls"], row["prompt_tokens"], row["seconds"]) == (2, 10 / 3, 0.5)
    assert (row["longest_prompt"], row["overflows"], row["errors"]) == (9, 1, {"ValueError: no": 1})
    assert (row["unanswerable"], row["unanswerable_abstained"]) == (1, 1)


def test_every_fact_of_a_case_stands_in_one_of_its_documents() -> None:
    words = WordTokenizer()
    for case in (book(words), planted(words, 40)):
        facts = {fact.question: fact for fact in case.facts}
        answered = [question for question in case.questions if question.answers]
        assert len(answered) == len(facts) >= 10
        for question in answered:
            assert sum(facts[question.text].passage in one for one in question.documents) >= 1
            assert facts[question.text].answer == question.answers[0]
    assert len({question.text for question in book(words).questions}) > 70


def test_texts_have_the_length_they_are_asked_for() -> None:
    words = WordTokenizer()
    assert [words.count(stretch(words, 150, i)) for i in range(40)] == [150] * 40
    assert plant("a b c d", "X.", 0.5) == "a b \n\nX.\n\n c d"


def test_our_strategies_overflow_on_no_case_and_always_end() -> None:
    for case in hostile():
        if not case.questions[0].documents or case.strategies:
            continue
        for name in sorted(set(OURS) & set(catalogue.names())):
            settings, _ = resolve(
                sets=[
                    "retrieval.search=[]",
                    "cache.runs=0",
                    f"strategy={name}",
                    f"generation.max_new_tokens={case.reply}",
                ]
            )
            reader = Reader(case.facts, case.manner)
            llm = ScriptedLLM(reader.reply, likelihood=reader.likelihood, context_window=case.window)
            model = Counted(llm, 1000)
            documents = [Document.from_text(one) for one in case.questions[0].documents]
            Library(documents, settings, llm=model).ask(case.questions[0].text)
            assert (model.spent.overflows, model.spent.endless) == (0, False)


def test_the_benchmark_runs_and_writes_a_record_per_program_and_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "hostile", lambda: [one("a case", [FACT.passage, "Nothing."])])
    result = CliRunner().invoke(main, ["--case", "a case", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "out").read_text(encoding="utf-8").splitlines()]
    assert {"ctxproc stuff", "ctxproc map_reduce", "ctxproc map_rerank"} <= {row["program"] for row in rows}
    assert {row["f1"] for row in rows} == {100}
