"""An answer as it comes: the pieces are the answer, errors arrive, and leaving early ends the work."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ctxproc import Answer, Document, Library, Prompt, ScriptedLLM, resolve
from ctxproc.errors import ModelError, UsageError
from ctxproc.job import HELD, certain
from ctxproc.stream import Stream, Tell

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
