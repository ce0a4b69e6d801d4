"""A run comes out the same from its trace, to the byte; an interrupted one goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ctxproc import Document, Generation, Library, Prompt, Sampling, ScriptedLLM, resolve
from ctxproc.errors import CtxprocError, ReplayError
from ctxproc.replay import replay, resumed
from ctxproc.task import task_of

FACT = "The lamp at Skerry Point is kept by Maren Oduya, who rows there each evening."
QUESTION = "Who keeps the lamp?"


def keeper(prompt: Prompt) -> str:
    return f"Maren Oduya\nQuote: {FACT}" if FACT in prompt.part("context") else "NOT FOUND"


def scripted(**values: object) -> ScriptedLLM:
    return ScriptedLLM(keeper, likelihood=lambda _, words: -0.1 if "yes" in words else -2.5, **values)  # type: ignore[arg-type]


def opened(book: Path, llm: ScriptedLLM, **flags: object) -> Library:
    chosen, _ = resolve(flags={"retrieval": {"search": ["bm25"]}, "chunk": {"tokens": 40}, **flags})
    return Library([book], chosen, llm=llm)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "valley.md"
    path.write_text("".join(f"Salt and lamp oil came, load {i}. " for i in range(60)) + FACT)
    return path


@pytest.mark.parametrize(
    "strategy", ["map_rerank", "map_reduce", "stuff", "nbce", "pcw", "refine", "memrecall", "flare"]
)
@pytest.mark.parametrize("asked", [{}, {"choices": ["Maren Oduya", "Zed"]}, {"summarise": True}], ids=str)
def test_a_replay_gives_the_same_bytes(book: Path, tmp_path: Path, strategy: str, asked: dict[str, object]) -> None:
    trace = tmp_path / "run.jsonl"
    answer = opened(book, scripted(), strategy=strategy).ask(QUESTION, trace_file=trace, **asked)  # type: ignore[arg-type]
    silent = ScriptedLLM(["nothing that was recorded"])
    again = replay(trace, llm=silent)
    assert json.dumps(again, ensure_ascii=False) == json.dumps(answer.to_json(), ensure_ascii=False)
    assert not silent.prompts


def test_a_streamed_run_is_replayed_too(book: Path, tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    stream = opened(book, scripted(), strategy="stuff").stream(QUESTION, trace_file=trace)
    assert "".join(stream) == "Maren Oduya"
    assert replay(trace, llm=scripted()) == stream.answer.to_json()


def test_a_changed_source_a_missing_one_and_another_model_are_said_in_a_line(book: Path, tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    opened(book, scripted()).ask(QUESTION, trace_file=trace)
    with pytest.raises(ReplayError, match="hand it over"):
        replay(trace, llm=scripted(name="another"))
    text = book.read_text()
    book.write_text(text + "More.")
    with pytest.raises(ReplayError, match="have changed"):
        replay(trace, llm=scripted())
    book.unlink()
    with pytest.raises(ReplayError, match="no file"):
        replay(trace, llm=scripted())
    documents = [Document.from_text(text, source="memory")]
    chosen, _ = resolve(flags={"retrieval": {"search": []}})
    Library(documents, chosen, llm=scripted()).ask(QUESTION, trace_file=trace)
    with pytest.raises(ReplayError, match="no file"):
        replay(trace, llm=scripted())


def test_a_run_that_would_be_other_now_is_not_passed_off_as_the_same(book: Path, tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    opened(book, scripted(), strategy="stuff").ask(QUESTION, trace_file=trace)
    lines = trace.read_text().splitlines()
    other = [line.replace("Maren Oduya\\nQuote", "Zed\\nQuote") if '"Called"' in line else line for line in lines]
    trace.write_text("\n".join(other) + "\n")
    with pytest.raises(ReplayError, match="comes out differently: answer"):
        replay(trace, llm=scripted())
    trace.write_text("\n".join(line.replace("Read this text", "Read that text") for line in lines) + "\n")
    with pytest.raises(ReplayError, match="does not hold"):
        replay(trace, llm=scripted())


class Interrupted(ScriptedLLM):
    """Is interrupted at the call after so many."""

    def __init__(self, after: int) -> None:
        super().__init__(keeper, likelihood=lambda _, words: -0.1 if "yes" in words else -2.5)
        self.after = after

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        if len(self.prompts) + len(prompts) > self.after:
            raise KeyboardInterrupt
        return super().generate(prompts, sampling)


@pytest.mark.parametrize("strategy", ["map_rerank", "refine", "map_reduce"])
def test_an_interrupted_run_goes_on_with_at_most_one_batch_asked_again(
    book: Path, tmp_path: Path, strategy: str
) -> None:
    book.write_text("".join(f"Salt and lamp oil came, load {i}. " for i in range(900)) + FACT)
    flags = {"strategy": strategy, "retrieval": {"search": []}}
    whole = scripted()
    expected = opened(book, whole, **flags).ask(QUESTION)
    trace = tmp_path / "run.jsonl"
    cut = Interrupted(after=150)
    with pytest.raises(KeyboardInterrupt):
        opened(book, cut, **flags).ask(QUESTION, trace_file=trace)
    with pytest.raises(ReplayError, match="did not end"):
        replay(trace, llm=scripted())
    rest = scripted()
    library = opened(book, rest, **flags)
    library.llm = resumed(rest, trace, QUESTION, library.settings, task_of())
    answer = library.ask(QUESTION)
    assert (answer.text, answer.evidence) == (expected.text, expected.evidence)
    assert (answer.usage.calls, answer.usage.prompt_tokens) == (expected.usage.calls, expected.usage.prompt_tokens)
    assert len(rest.prompts) <= len(whole.prompts) - len(cut.prompts)
    assert len(cut.prompts) > 150 - 64


def test_a_run_is_not_gone_on_with_under_another_question_or_model(book: Path, tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    library = opened(book, scripted())
    library.ask(QUESTION, trace_file=trace)
    cases: list[tuple[str, dict[str, object], str]] = [
        ("Who else?", {}, "another question"),
        (QUESTION, {"generation": {"temperature": 1.0}}, "another generation"),
        (QUESTION, {"dtype": "float32"}, "another dtype"),
    ]
    for question, flags, message in cases:
        with pytest.raises(ReplayError, match=message):
            resumed(scripted(), trace, question, opened(book, scripted(), **flags).settings, task_of())
    with pytest.raises(ReplayError, match="another model"):
        resumed(scripted(name="b"), trace, QUESTION, library.settings, task_of())
    with pytest.raises(ReplayError, match="another question"):
        resumed(scripted(), trace, QUESTION, library.settings, task_of(choices=["a"]))
    with pytest.raises(CtxprocError):
        resumed(scripted(), tmp_path / "none", QUESTION, library.settings, task_of())
