"""An answer as it comes: the pieces are the answer, errors arrive, and leaving early ends the work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from ctxproc import Answer, Document, Library, Prompt, ScriptedLLM, resolve
from ctxproc.errors import ModelError, UsageError
from ctxproc.job import HELD, certain
from ctxproc.stream import Stream, Tell

T = TypeVar("T")
FACT = "The lamp is kept by Maren Oduya, who rows there."
WORDS = f"It is kept by Maren Oduya, who rows there each day\nQuote: {FACT}"


def library(reply: str = WORDS, **flags: object) -> Library:
    chosen, _ = resolve(flags={"strategy": "stuff", "retrieval": {"search": []}, **flags})
    return Library([Document.from_text(FACT, source="memo.txt")], chosen, llm=ScriptedLLM([reply]))


def test_the_pieces_are_the_answer_and_come_one_by_one() -> None:
    stream = library().stream("Who keeps the lamp?")
    pieces = list(stream)
    assert len(pieces) > 3
    assert "".join(pieces) == stream.answer.text == "It is kept by Maren Oduya, who rows there each day"
    assert stream.answer.evidence[0].quote == FACT


def test_the_answer_can_be_had_without_listening() -> None:
    assert library().stream("Who?").answer.text == library().ask("Who?").text


def test_an_error_is_raised_where_the_next_piece_would_have_come() -> None:
    with pytest.raises(UsageError, match="the question is empty"):
        list(library().stream(" "))

    def work(tell: Tell) -> Answer:
        tell("one")
        raise ModelError("lost")

    pieces = iter(Stream(work))
    assert next(pieces) == "one"
    with pytest.raises(ModelError, match="lost"):
        next(pieces)


def test_leaving_early_ends_the_work_and_there_is_no_answer() -> None:
    ended = threading.Event()

    def work(tell: Tell) -> Answer:
        try:
            for i in range(10**9):
                tell(str(i))
        finally:
            ended.set()
        raise AssertionError

    stream = Stream(work)
    for piece in stream:
        if piece == "100":
            break
    stream.close()
    assert ended.wait(10)
    with pytest.raises(RuntimeError, match="closed before its end"):
        _ = stream.answer


def in_time(work: Callable[[], T]) -> T:
    """What ``work`` gives, which must not wait for ever."""
    made: list[T] = []
    worker = threading.Thread(target=lambda: made.append(work()), daemon=True)
    worker.start()
    worker.join(20)
    assert made, "it waits for ever"
    return made[0]


def test_closing_within_the_loop_ends_it_also_when_the_work_is_done() -> None:
    stream = library().stream("Who?")

    def heard() -> int:
        number = 0
        for _ in stream:
            number += 1
            stream._worker.join()
            stream.close()
        return number

    assert in_time(heard) == 1


@pytest.mark.parametrize("ask", [list, lambda stream: stream.answer], ids=["loop", "answer"])
def test_closing_from_another_thread_wakes_who_waits(ask: Callable[[Stream], object]) -> None:
    working, go_on = threading.Event(), threading.Event()

    def work(tell: Tell) -> Answer:
        working.set()
        go_on.wait()
        raise AssertionError

    def waits() -> str:
        threading.Thread(target=lambda: working.wait() and stream.close()).start()
        try:
            return repr(ask(stream))
        except RuntimeError as error:
            return str(error)

    stream = Stream(work)
    assert in_time(waits) in ("[]", "the stream was closed before its end: there is no answer")
    go_on.set()


def test_the_work_is_done_once_whatever_is_asked_for_first() -> None:
    asked: list[Prompt] = []

    def reply(prompt: Prompt) -> str:
        asked.append(prompt)
        return WORDS

    chosen, _ = resolve(flags={"strategy": "stuff", "retrieval": {"search": []}})
    documents = [Document.from_text(FACT, source="memo.txt")]
    stream = Library(documents, chosen, llm=ScriptedLLM(reply)).stream("Who?")
    pieces: list[str] = []
    for piece in stream:
        pieces.append(piece)
        assert stream.answer.text == "It is kept by Maren Oduya, who rows there each day"
    assert "".join(pieces) == stream.answer.text and len(pieces) > 3
    assert list(stream) == [] and len(asked) == 1


def test_after_an_error_the_answer_is_that_error() -> None:
    stream = library().stream(" ")
    for _ in range(2):
        with pytest.raises(UsageError, match="the question is empty"):
            _ = stream.answer
    with pytest.raises(UsageError, match="the question is empty"):
        list(stream)
    with pytest.raises(UsageError, match="the question is empty"):
        _ = stream.answer


def test_leaving_does_not_wait_for_a_call_under_way_and_the_work_ends_at_the_next_empty_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ctxproc.stream.PATIENCE", 0.01)
    go_on, ended = threading.Event(), threading.Event()

    def work(tell: Tell) -> Answer:
        tell("one")
        go_on.wait()
        try:
            tell("")
        finally:
            ended.set()
        raise AssertionError("the work goes on")

    stream = Stream(work)
    assert in_time(lambda: next(iter(stream))) == "one"
    go_on.set()
    assert ended.wait(20)
    with pytest.raises(RuntimeError, match="closed before its end"):
        _ = stream.answer


def test_an_empty_piece_is_not_passed_on() -> None:
    def work(tell: Tell) -> Answer:
        for piece in ("", "one", "", "two"):
            tell(piece)
        return Answer("one two", False, "stuff", "scripted", "")

    assert list(Stream(work)) == ["one", "two"]


def test_what_was_withdrawn_is_seen_in_the_answer() -> None:
    stream = library("It is kept by somebody else, they say\nQuote: nowhere to be found").stream("Who?")
    assert "".join(stream).startswith("It is kept by somebody") and stream.answer.abstained


def test_nothing_is_told_of_what_is_not_found() -> None:
    stream = library("Not found: the text does not say so anywhere, and that is that.").stream("Who?")
    assert list(stream) == [] and stream.answer.abstained


def test_streaming_reads_from_a_strategy_that_needs_no_stream(tmp_path: Path) -> None:
    def reply(prompt: Prompt) -> str:
        return WORDS if "lamp" in prompt.part("context") else "NOT FOUND"

    chosen, _ = resolve(flags={"strategy": "map_reduce", "retrieval": {"search": []}})
    told = Library([Document.from_text(FACT, source="memo.txt")], chosen, llm=ScriptedLLM(reply)).stream("Who?")
    assert "".join(told) == told.answer.text


@pytest.mark.parametrize(
    "words", [WORDS, "Answer: red\n\nQuote: it is red", "NOT FOUND", "not", "a\nb\nquo\nte", "quote: x", ""]
)
def test_what_is_certain_only_grows_and_ends_as_a_beginning_of_the_answer(words: str) -> None:
    from ctxproc.llm.base import Generation
    from ctxproc.task import parse

    before, whole = "", parse(Generation(words, 1, 1)).answer
    for end in range(len(words) + 1):
        now = certain(words[:end])
        assert now.startswith(before) and whole.startswith(now)
        before = now
    assert len(whole) < HELD or before
