"""A run comes out the same from its trace, to the byte; an interrupted one goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ctxproc import Document, Generation, Library, Prompt, Sampling, ScriptedLLM, resolve
from ctxproc.errors import CtxprocError, ModelError, ReplayError, UsageError
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


class NoScores(ScriptedLLM):
    """Gives no log-likelihoods, as most servers."""

    def check_scores(self) -> None:
        raise ModelError("none here")


@pytest.mark.parametrize(
    ("kind", "flags"), [(NoScores, {}), (ScriptedLLM, {"strategy": "utility", "limits": {"calls": 0}})], ids=str
)
def test_whether_the_model_scores_is_as_it_was_in_a_run_that_asked_for_no_score(
    book: Path, tmp_path: Path, kind: type[ScriptedLLM], flags: dict[str, object]
) -> None:
    trace = tmp_path / "run.jsonl"
    llm = kind(lambda prompt: "80" if "100" in str(prompt) else keeper(prompt))
    answer = opened(book, llm, **flags).ask(QUESTION, trace_file=trace)
    assert '"Scored"' not in trace.read_text()
    assert replay(trace, llm=kind(["nothing that was recorded"])) == answer.to_json()


def test_a_replay_of_a_run_with_scores_does_not_ask_whether_there_are_any(book: Path, tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    answer = opened(book, scripted()).ask(QUESTION, trace_file=trace)
    assert '"Scored"' in trace.read_text()
    assert replay(trace, llm=NoScores(["nothing that was recorded"])) == answer.to_json()


def sure(prompt: Prompt) -> Generation:
    found = FACT in prompt.part("context")
    return (
        Generation("Maren Oduya", 0, 2, confidence=0.9, quote=FACT) if found else Generation("", 0, 0, confidence=0.1)
    )


@pytest.mark.parametrize("strategy", ["map_rerank", "nbce", "pcw", "ensemble", "replug", "stuff"])
def test_the_confidence_and_the_quote_of_a_reader_are_replayed(book: Path, tmp_path: Path, strategy: str) -> None:
    trace = tmp_path / "run.jsonl"
    reader = ScriptedLLM(sure, gives_confidence=True)
    answer = opened(book, reader, strategy=strategy).ask(QUESTION, trace_file=trace)
    assert (answer.text, answer.evidence[0].quote) == ("Maren Oduya", FACT)
    assert answer.confidence is not None and answer.confidence > 0.5
    assert replay(trace, llm=ScriptedLLM([""], gives_confidence=True)) == answer.to_json()


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
    documents = [Document.from_text(text, source="a text in memory")]
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
    other = [line.replace(FACT, FACT[:-1]) if '"Answered"' in line else line for line in lines]
    trace.write_text("\n".join(other) + "\n")
    with pytest.raises(ReplayError, match=r"comes out differently: evidence$"):
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
        (QUESTION, {"dtype": "float32"}, "another dtype$"),
        (QUESTION, {"quantise": "int8"}, "another quantise$"),
        (QUESTION, {"context_window": 512}, "another context_window$"),
        (QUESTION, {"strategy": "flare"}, "another strategy$"),
        (QUESTION, {"strategy": {"map_rerank": {"prior": 1.0}}}, "another strategy$"),
        (QUESTION, {"reuse": {"grade": "full", "scale": 0.5}}, "another reuse.grade and reuse.scale$"),
        (QUESTION, {"endpoint": {"api": "chat"}}, "another endpoint.api$"),
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
    free = {"limits": {"calls": 9}, "endpoint": {"timeout": 9.0}, "reuse": {"ram_bytes": 0}, "chunk": {"tokens": 40}}
    resumed(scripted(), trace, QUESTION, opened(book, scripted(), **free).settings, task_of())


def test_a_run_whose_trace_was_cut_within_a_line_is_gone_on_with(book: Path, tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    opened(book, scripted(), strategy="stuff").ask("Who keeps the lamp? Ünal?", trace_file=trace)
    whole = trace.read_bytes()
    called = whole.index(b'{"event": "Called"')
    cut = whole.index("Ü".encode(), called) + 1
    for end, asked in [(cut, 1), (whole.index(b"\n", called), 1), (whole.index(b"\n", called) + 1, 0)]:
        trace.write_bytes(whole[:end])
        rest = scripted()
        library = opened(book, rest, strategy="stuff")
        library.llm = resumed(rest, trace, "Who keeps the lamp? Ünal?", library.settings, task_of())
        assert library.ask("Who keeps the lamp? Ünal?").text == "Maren Oduya"
        assert len(rest.prompts) == asked


def test_a_trace_of_another_version_is_said_in_a_line(book: Path, tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    library = opened(book, scripted(), strategy="stuff")
    library.ask(QUESTION, trace_file=trace)
    events = [json.loads(line) for line in trace.read_text().splitlines()]

    def write(event: str, **changed: object) -> None:
        lines = [{**e, **changed} if e["event"] == event else e for e in events]
        lines = [{key: value for key, value in line.items() if value is not None} for line in lines]
        trace.write_text("".join(json.dumps(line) + "\n" for line in lines))

    settings = events[0]["settings"]
    for changed in ({}, settings | {"unheard": 1}, settings | {"cache": None}, settings | {"model": 7}):
        write("Started", settings=changed)
        with pytest.raises(UsageError, match="another version"):
            replay(trace, llm=scripted())
    for part in ({"task": {}}, {"sources": ["x"]}):
        write("Started", **part)
        with pytest.raises(UsageError, match="another version"):
            replay(trace, llm=scripted())
    write("Started", sources=None)
    with pytest.raises(ReplayError, match="does not say what the run read"):
        replay(trace, llm=scripted())
    write("Answered", answer={"answer": "x"})
    with pytest.raises(UsageError, match="another version"):
        replay(trace, llm=scripted())
    for changed in ({}, {k: v for k, v in settings.items() if k != "reuse"}):
        write("Started", settings=changed)
        with pytest.raises(UsageError, match="another version"):
            resumed(scripted(), trace, QUESTION, library.settings, task_of())
