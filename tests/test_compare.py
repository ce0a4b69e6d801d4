"""Comparisons: what is asked, what comes of it, and that a run which is killed goes on as if it had not been."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from children import ended, forked
from comparing import BOOK, KEEPER, QUESTIONS, STAIRS, comparing, reader, reading, words_only, written

import ctxproc
from ctxproc import Document, ScriptedLLM
from ctxproc.compare_ledger import NAME, Ledger
from ctxproc.compare_questions import Place, Question, gold_places, questions_of, read_questions
from ctxproc.compare_results import Comparison, Ran
from ctxproc.compare_run import WRITTEN
from ctxproc.compare_ways import Way, key_of, listed, named, searches, ways_of
from ctxproc.errors import ConfigError, ModelError, UnknownNameError, UsageError
from ctxproc.llm.base import Generation, LogLikelihood, Sampling
from ctxproc.llm.wrapper import Wrapper
from ctxproc.prompt import Prompt

BAD = (
    ("{", "not JSON"),
    ("[1]", 'not an object: each line is one object, {"question": "Who ...?", "answers": ["..."]}'),
    ("Who signed the lease?", "not JSON (Expecting value: line 1 column 1 (char 0)): each line is one object"),
    ('{"question": "q?", "answer": ["x"]}', "no key 'answer'; there are: id, question, answers"),
    ('{"answers": []}', "the question must be a text"),
    ('{"question": " "}', "the question is empty"),
    ('{"question": "q?", "answers": "x"}', 'answers must be a list of texts, such as ["x"]'),
    ('{"question": "q?", "answers": 1911}', 'answers must be a list of texts, such as ["1911"]'),
    ('{"question": "q?", "answers": [1, 2]}', 'answers must be a list of texts, such as ["1", "2"]'),
    ('{"question": "q?", "evidence": [{"start": 1}]}', 'either "start" and "end", or a "quote"'),
    ('{"question": "q?", "evidence": [{"start": 3, "end": 3}]}', 'either "start" and "end", or a "quote"'),
    (
        '{"question": "q?", "evidence": [{"start": 1, "end": 2, "quote": "x"}]}',
        'either "start" and "end", or a "quote"',
    ),
    ('{"question": "q?", "evidence": [], "spans": []}', "evidence and spans are one thing"),
    ('{"question": "q?", "choices": []}', "choices"),
    ('{"question": "q?", "choices": ["a", "b"], "kind": "summary"}', "exclude each other"),
    ('{"question": "q?", "id": 1.5}', "id a text or a whole number"),
    ("[" * 100_000, "not JSON"),
)


@pytest.mark.parametrize(("line", "said"), BAD)
def test_a_malformed_line_is_one_error_that_names_it(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(f'{{"question": "Who?"}}\n\n{line}\n', encoding="utf-8")
    with pytest.raises(UsageError, match="line 3: ") as error:
        read_questions(path)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_files_that_hold_no_questions_are_refused(tmp_path: Path) -> None:
    for content, said in ((b"", "holds no question"), (b"\xff\xfe", "not UTF-8"), (b"\n\n", "holds no question")):
        (tmp_path / "q.jsonl").write_bytes(content)
        with pytest.raises(UsageError, match=said):
            read_questions(tmp_path / "q.jsonl")
    with pytest.raises(UsageError, match="cannot read"):
        read_questions(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match=r"q, line 2: the id 'a' was used before, at q, line 1"):
        questions_of(['{"question": "x", "id": "a"}', '{"question": "y", "id": "a"}'], "q")


def test_gold_passages_are_found_by_place_by_quote_and_by_the_end_of_a_path() -> None:
    here, there = Document.from_text("one lamp, two lamps", "a/b/c.txt"), Document.from_text("a Lamp\nfar", "a/c.txt")

    def places(*passages: dict[str, Any]) -> list[tuple[Place, ...]]:
        return gold_places(Question("1", "q?", None, passages), [here, there])

    assert places({"source": "b/c.txt", "start": 4, "end": 8}) == [(Place("a/b/c.txt", 4, 8),)]
    assert places({"quote": "lamp"}) == [(Place("a/b/c.txt", 4, 8), Place("a/b/c.txt", 14, 18))]
    assert places({"quote": "a lamp far"}) == [(Place("a/c.txt", 0, 10),)]
    assert places() == []
    for passage, said in (
        ({"source": "c.txt", "quote": "lamp"}, "the end of several sources"),
        ({"source": "d.txt", "quote": "lamp"}, "d.txt is no source"),
        ({"start": 1, "end": 2}, "say which one"),
        ({"source": "a/c.txt", "start": 1, "end": 99}, "no characters 1 to 99"),
        ({"quote": "nowhere"}, "stands in no source"),
    ):
        with pytest.raises(UsageError, match=said):
            places(passage)


def test_options_are_lists_of_names_or_specs() -> None:
    assert listed("a, b+c,{d: {k: 1}}", "--x") == ["a", "b+c", {"d": {"k": 1}}]
    assert searches("bm25+cosine, none,{bm25: {k1: 1.2}}", "--x") == [("bm25", "cosine"), (), ({"bm25": {"k1": 1.2}},)]
    assert named({"d": {"k": 1, "then": "x", "l": [1]}}) == "d(k=1, then=x, l=[1])"
    for text in ("a,,b", "a,1", "{a: 1}", "[[a]]", "{a: {b: 1}, c: {d: 1}}", "a: &x"):
        with pytest.raises(ConfigError):
            listed(text, "--x")


def test_ways_are_every_combination_those_of_a_model_together() -> None:
    made = ways_of(words_only(), ["stuff", "tail"], [("bm25",), ()], ["m", "n"])
    assert [(way.strategy, way.criteria, way.model) for way in made] == [
        ("stuff", "bm25", "m"), ("tail", "bm25", "m"), ("stuff", "none", "m"), ("tail", "none", "m"),
        ("stuff", "bm25", "n"), ("tail", "bm25", "n"), ("stuff", "none", "n"), ("tail", "none", "n"),
    ]  # fmt: skip
    assert {way.criteria for way in ways_of(words_only(), ["all"], [], [])} == {"bm25"}
    every = [way.strategy for way in ways_of(words_only(), ["all"], [], [])]
    assert len(every) >= 20 and every[0] == "map_rerank" and every[1:] == sorted(every[1:])  # type: ignore[type-var]
    assert [way.strategy for way in ways_of(words_only(), ["tail", "all"], [], [])][:2] == ["tail", "map_rerank"]
    with pytest.raises(UnknownNameError, match="nonesuch"):
        ways_of(words_only(), ["nonesuch"], [], [])
    with pytest.raises(UnknownNameError, match="nonesuch"):
        ways_of(words_only(), ["stuff"], [("nonesuch",)], [])
    with pytest.raises(ConfigError, match="twice"):
        ways_of(words_only(), ["stuff", "stuff"], [], [])


def test_a_key_changes_with_all_that_matters_and_with_nothing_else() -> None:
    way, question = Way("stuff", ("bm25",), "builtin"), Question("1", "Who?")
    sources = [("book.txt", "ab")]

    def key(way: Way = way, model: str = "x", question: Question = question, sets: Sequence[str] = ()) -> str:
        return key_of(way, way.settings(words_only(*sets)), model, sources, question)

    same = [
        key(question=replace(question, id="2", answers=("a",), passages=({"quote": "b"},), kind="mine")),
        key(sets=["cache.embeddings=false", "threads=1", "chat.budget=3"]),
    ]
    others = [
        key(way=replace(way, strategy={"stuff": {}})), key(way=replace(way, search=())), key(way=replace(way, model="m")),
        key(model="y"), key(question=replace(question, text="Who")), key(question=replace(question, choices=("a", "b"))),
        key(question=replace(question, kind="summary")), key(sets=["generation.seed=1"]), key(sets=["limits.calls=2"]),
        key_of(way, way.settings(words_only()), "x", [("book.txt", "ac")], question),
    ]  # fmt: skip
    assert set(same) == {key()}
    assert len({key(), *others}) == 1 + len(others)


def test_every_way_answers_every_question_and_rows_hold_what_ask_says(tmp_path: Path) -> None:
    done = comparing(tmp_path).run(tmp_path / "out")
    assert [sorted(ran.rows) for ran in done.ran] == [[0, 1, 2, 3]] * 2
    settings = words_only("cache.runs=0")
    library = ctxproc.Library([Document.from_text(BOOK, "book.txt")], settings, llm=reader())
    for ran in done.ran:
        library.settings = ran.way.settings(settings)
        for place, row in ran.rows.items():
            answer = library.ask(QUESTIONS[place]["question"])
            told = json.loads(json.dumps(answer.to_json()))
            assert {name: told[name] for name in told if name not in ("run", "usage")} == json.loads(
                json.dumps({name: value for name, value in row.answer.items() if name not in ("usage", "grade")})
            )
            assert row.answer["usage"]["calls"] == answer.usage.calls
            assert row.measured["seconds"] is not None
            assert (row.measured["first"] is None) == answer.abstained
    lines = [json.loads(line) for line in (tmp_path / "out" / NAME).read_text().splitlines()]
    assert [(line["strategy"], line["id"]) for line in lines] == [
        (name, str(n)) for name in ("map_rerank", "truncate") for n in (1, 2, 3, 4)
    ]


class Textual(Wrapper):
    """A model that shows no logits."""

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        return self._llm.generate(prompts, sampling)

    def stream(self, prompt: Prompt, sampling: Sampling) -> Any:  # noqa: ANN401
        return self._llm.stream(prompt, sampling)

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        return self._llm.score(prompts, continuations)


def test_a_way_that_cannot_be_run_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    done = comparing(tmp_path, ("pcw", "stuff"), llm=Textual(reader())).run()
    assert done.ran[0].reason.startswith("pcw needs a model that shows its logits") and not done.ran[0].rows
    assert not done.ran[1].reason and len(done.ran[1].rows) == 4


def test_a_model_that_cannot_be_loaded_takes_only_its_own_ways_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(settings: ctxproc.Settings) -> ScriptedLLM:
        if settings.model == "gone":
            raise ModelError("there is no model gone")
        return reader()

    monkeypatch.setattr("ctxproc.llm.load.load_llm", load)
    done = comparing(tmp_path, ("stuff", "tail"), models=("gone", "here"), llm=None).run()
    assert [ran.reason for ran in done.ran] == ["there is no model gone"] * 2 + ["", ""]
    assert [len(ran.rows) for ran in done.ran] == [0, 0, 4, 4]


def test_a_question_that_fails_is_told_and_asked_again_the_next_time(tmp_path: Path) -> None:
    def failing(prompt: Prompt) -> Generation:
        if "tin" in prompt.field("question"):
            raise ModelError("no tin")
        return reading(prompt)

    broken = ScriptedLLM(failing, gives_confidence=True)
    [first] = comparing(tmp_path, ("stuff",), llm=broken).run(tmp_path / "out").ran
    assert first.errors == {2: "no tin"} and sorted(first.rows) == [0, 1, 3] and not first.reason
    [second] = comparing(tmp_path, ("stuff",)).run(tmp_path / "out").ran
    assert not second.errors and sorted(second.rows) == [0, 1, 2, 3]


def test_a_way_is_given_up_after_three_failures_in_a_row(tmp_path: Path) -> None:
    def failing(prompt: Prompt) -> str:
        if prompt.field("question") != "?":  # what warms the model up
            raise ModelError("the server is gone")
        return ""

    [ran] = comparing(tmp_path, ("stuff",), llm=ScriptedLLM(failing)).run().ran
    assert (ran.reason, sorted(ran.errors), ran.rows) == ("the server is gone", [0, 1, 2], {})


def test_a_dear_way_is_asked_fewer_questions_and_one_too_dear_none(tmp_path: Path) -> None:
    whole = comparing(tmp_path, ("recurrent", "truncate"), way_tokens=None).plan()
    assert [ran.places for ran in whole] == [[0, 1, 2, 3]] * 2
    dear = max(ran.plan.prompt_tokens + WRITTEN * ran.plan.new_tokens for ran in whole)
    opened = comparing(tmp_path, ("recurrent", "truncate"), way_tokens=dear * 5 // 8)
    assert [ran.places for ran in opened.plan()] == [[0, 2], [0, 1, 2, 3]]
    assert [sorted(ran.rows) for ran in opened.run().ran] == [[0, 2], [0, 1, 2, 3]]
    [none, _] = comparing(tmp_path, ("recurrent", "truncate"), way_tokens=dear // 8).plan()
    assert none.places == [] and none.reason.startswith("one question alone may take ")


@pytest.mark.parametrize("strategy", ["map_rerank", "stuff", "refine", "recurrent", "memrecall"])
def test_a_plan_bounds_what_is_spent_and_asks_nothing(strategy: str, tmp_path: Path) -> None:
    model = reader()
    opened = comparing(tmp_path, (strategy,), llm=model, settings=words_only("retrieval.search=[bm25]"))
    if strategy == "memrecall":
        pytest.importorskip("sentence_transformers")
        opened = comparing(tmp_path, ({"budget": {}},), llm=model)  # type: ignore[arg-type]
    [plan] = opened.plan(tmp_path / "out")
    assert not model.prompts and not (tmp_path / "out").exists()
    [ran] = opened.run().ran
    spent = [row.answer["usage"] for row in ran.rows.values()]
    assert sum(usage["calls"] for usage in spent) <= plan.plan.calls
    assert sum(usage["prompt_tokens"] for usage in spent) <= plan.plan.prompt_tokens


def unmeasured(out: Path) -> list[dict[str, Any]]:
    """The lines of a folder's answers without what was measured."""
    lines = [json.loads(line) for line in (out / NAME).read_bytes().splitlines()]
    return [{name: value for name, value in line.items() if name != "measured"} for line in lines]


STRATEGIES = ("map_rerank", "refine", "truncate")


def killed_after(calls: int, folder: Path) -> ScriptedLLM:
    """A model whose process is killed at a call, the numbered ones of all starts together."""
    seen = folder / "calls"

    def reply(prompt: Prompt) -> Generation:
        made = len(seen.read_bytes()) if seen.exists() else 0
        with seen.open("ab") as file:
            file.write(b".")
        if made % calls == calls - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return reading(prompt)

    return ScriptedLLM(reply, gives_confidence=True, context_window=700)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX signals")
@pytest.mark.parametrize("calls", [7, 11])
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(calls: int, tmp_path: Path) -> None:
    comparing(tmp_path, STRATEGIES).run(tmp_path / "whole")
    questions, out = written(tmp_path / "q.jsonl"), tmp_path / "killed"
    ends: list[int] = []
    while not ends or ends[-1]:
        ends.append(ended(forked(lambda: again(calls, tmp_path, questions, out))))
        assert ends[-1] in (0, -signal.SIGKILL) and len(ends) < 40
    assert len(ends) > 2
    assert unmeasured(out) == unmeasured(tmp_path / "whole")


def again(calls: int, folder: Path, questions: Path, out: Path) -> None:
    """A start of the run that is killed at every so manieth call."""
    comparing(folder, STRATEGIES, llm=killed_after(calls, folder), questions=questions).run(out)


def test_a_file_cut_at_any_byte_is_gone_on_with(tmp_path: Path) -> None:
    opened = comparing(tmp_path, ("map_rerank",))
    opened.run(tmp_path / "out")
    path = tmp_path / "out" / NAME
    whole, lines = path.read_bytes(), unmeasured(tmp_path / "out")
    ends = [0, *(i + 1 for i, byte in enumerate(whole) if byte == 10)]
    cuts = sorted({*ends, *(end - 1 for end in ends[1:]), *range(0, len(whole), 997)})
    for cut in cuts:
        path.write_bytes(whole[:cut])
        model = reader()
        comparing(tmp_path, ("map_rerank",), llm=model).run(tmp_path / "out")
        kept = max(end for end in ends if end <= cut)
        assert path.read_bytes()[:kept] == whole[:kept] and unmeasured(tmp_path / "out") == lines
        assert bool(model.prompts) == (kept < len(whole))


def test_what_is_complete_is_asked_nothing_again_and_gold_answers_may_be_mended(tmp_path: Path) -> None:
    comparing(tmp_path).run(tmp_path / "out")
    model = reader()
    mended = [dict(line) for line in QUESTIONS]
    mended[1]["answers"] = ["197"]
    questions = written(tmp_path / "mended.jsonl", mended)
    scores = ctxproc.compare(
        questions, Document.from_text(BOOK, "book.txt"), ("map_rerank", "truncate"), out=tmp_path / "out",
        settings=words_only(), llm=model,
    )  # fmt: skip
    assert not model.prompts
    assert scores[0].quality["exact_match"].mean == 1.0


def test_a_damaged_line_a_second_writer_and_a_folder_that_is_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "out" / NAME
    comparing(tmp_path, ("stuff",)).run(tmp_path / "out")
    whole = path.read_bytes()
    for damaged in (b"{}\n", b"x\n", b"\xff\n", b'{"key": 1, "answer": 1, "measured": {}}\n'):
        path.write_bytes(whole + damaged)
        with pytest.raises(UsageError, match=f"line {whole.count(10) + 1} is no answer"):
            comparing(tmp_path, ("stuff",)).run(tmp_path / "out")
    path.write_bytes(whole)
    with Ledger(path), pytest.raises(UsageError, match="another comparison is writing"):
        Ledger(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        comparing(tmp_path, ("stuff",)).run(tmp_path / "file")


def test_choices_and_summaries_are_asked_as_such(tmp_path: Path) -> None:
    asked: list[Prompt] = []

    def reply(prompt: Prompt) -> str:
        asked.append(prompt)
        return "red" if prompt.field("choices") else f"A tower.\nQuote: {STAIRS}"

    lines = [
        {"question": "What colour has the tower?", "choices": ["red", "blue"]},
        {"question": "Sum up.", "kind": "summary"},
    ]
    questions = written(tmp_path / "q.jsonl", lines)
    settings = words_only("answer.require_evidence=false")
    opened = comparing(tmp_path, ("stuff",), questions=questions, llm=ScriptedLLM(reply), settings=settings)
    done: Comparison = opened.run()
    ran: Ran = done.ran[0]
    assert ran.rows[0].answer["answer"] == "red" and "A tower." in ran.rows[1].answer["answer"]
    assert any(prompt.field("choices") for prompt in asked)


def test_the_evidence_of_an_answer_stands_where_the_book_has_it(tmp_path: Path) -> None:
    [ran, _] = comparing(tmp_path).run().ran
    [item] = ran.rows[0].answer["evidence"]
    assert BOOK[item["start"] : item["end"]] == KEEPER == item["quote"]
