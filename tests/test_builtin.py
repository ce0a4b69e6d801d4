"""The built-in reader behind the seam, end to end: it quotes, it abstains, and what it quotes stands in the file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from helpers import chunks_of, job_of

from ctxproc import BuiltinReader, Library
from ctxproc.config import resolve
from ctxproc.errors import PromptTooLongError
from ctxproc.llm.base import Sampling, finished
from ctxproc.llm.builtin import whole_words
from ctxproc.prompt import Prompt, template

EXAMPLES = Path(__file__).parents[1] / "examples"
PASSAGE = (
    "The ferry left late again. The lamp at Skerry Point is kept by Maren Oduya, who rows there each evening. "
    "The door of the tannery was painted ochre in the spring of 1911."
)
ELSEWHERE = "Salt had come into the granary, so the sacks were carried up. A letter from the capital spoke of taxes."


@pytest.fixture(scope="module")
def reader() -> BuiltinReader:
    return BuiltinReader(device="cpu", dtype="float32")


def asked(question: str, *contexts: str) -> Prompt:
    return template("answer").fill(contexts, {"question": question})


def test_it_answers_by_quoting_with_a_calibrated_confidence(reader: BuiltinReader) -> None:
    prompts = [asked("Who keeps the lamp at Skerry Point?", context) for context in (PASSAGE, ELSEWHERE)]
    found, absent = reader.generate(prompts, Sampling())
    assert found.text == "Maren Oduya"
    assert found.quote == "The lamp at Skerry Point is kept by Maren Oduya, who rows there each evening."
    assert found.confidence is not None and absent.confidence is not None
    assert found.confidence > 0.5 > absent.confidence
    assert (found.new_tokens, found.prompt_tokens) == (0, reader.count_tokens(prompts[0]))
    told: list[str] = []
    logprobs = Sampling(logprobs=True)
    assert finished(reader.stream(prompts[0], logprobs), told.append) == reader.generate(prompts[:1], logprobs)[0]
    assert told == ["Maren Oduya"] and reader.generate(prompts[:1], logprobs)[0].tokens == ()


@pytest.mark.parametrize(
    ("text", "span", "whole"),
    [
        ("picked up 1,308 birds", "308", "1,308"),
        ("picked up 1,308 birds", "1", "1,308"),
        ("about 3.14 or so", "14", "3.14"),
        ("the keepers came", "keeper", "keepers"),
        ("in 1907, 312 books", "312", "312"),
        ("left-handed", "left", "left"),
        ("武松在景阳冈打虎", "景阳冈", "景阳冈"),
        ("red", "", ""),
    ],
)
def test_a_span_cuts_no_word_and_no_number(text: str, span: str, whole: str) -> None:
    start = text.index(span)
    assert text[slice(*whole_words(text, start, start + len(span)))] == whole


def test_the_answers_likelihood_is_that_of_its_span(reader: BuiltinReader) -> None:
    prompt = asked("Which colour is the door of the tannery?", PASSAGE)
    right, wrong, absent = reader.score([prompt] * 3, ["ochre", "ferry", "a word that is not there"])
    assert right.total > wrong.total > absent.total == -math.inf
    assert right.total <= 0


def test_only_contexts_and_question_are_counted_and_a_long_prompt_is_refused(reader: BuiltinReader) -> None:
    prompt = asked("Who?", PASSAGE, ELSEWHERE)
    pieces = [PASSAGE, "\n\n", ELSEWHERE, "Who?"]
    assert reader.count_tokens(prompt) == 3 + sum(map(reader.tokenizer.count, pieces))
    with pytest.raises(PromptTooLongError, match="window of 512"):
        reader.generate([asked("Who?", "word " * 600)], Sampling())


@pytest.mark.parametrize("name", ["stuff", "map_rerank", "map_reduce"])
def test_every_strategy_runs_on_it(reader: BuiltinReader, name: str) -> None:
    chunks = chunks_of(ELSEWHERE + " ", PASSAGE + " ", ELSEWHERE)
    job = job_of([chunk.text for chunk in chunks], reader)
    answer = Library.strategy(name)(job)
    assert "Maren Oduya" in answer.text
    assert answer.evidence[0].status == "verified"


def test_questions_over_the_shipped_example_quote_the_file() -> None:
    path = EXAMPLES / "lighthouse.md"
    raw, text = path.read_bytes(), path.read_bytes().decode()
    settings, _ = resolve(sets=["retrieval.search=[bm25]"])
    library = Library([path], settings)
    questions = [json.loads(line) for line in (EXAMPLES / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    answered = right = 0
    for question in questions[::6]:
        answer = library.ask(question["question"])
        for item in answer.evidence:
            assert item.status == "verified"
            assert text[item.start : item.end] == item.quote == raw[item.byte_start : item.byte_end].decode()
        answered += not answer.abstained
        right += any(one.lower() in answer.evidence[0].quote.lower() for one in question["answers"] if answer.evidence)
    assert answered >= 5
    assert right >= 4
