"""Criteria, filters and fusions in the settings, up to the answer; what criteria that ask the model spend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers import job_of

from ctxproc import Library, ScriptedLLM
from ctxproc.cli.catalogues import criteria
from ctxproc.config import Settings, flatten, resolve
from ctxproc.errors import ConfigError, ModelError, UnknownNameError
from ctxproc.llm.base import Sampling
from ctxproc.llm.meter import Limits, metered
from ctxproc.prompt import Prompt
from ctxproc.reading import JobReader
from ctxproc.replay import replay
from ctxproc.trace import Event, Scored, Selected, Trace

FILLER = "The lamp oil came with the ferry and the clerk wrote the price of it in his book. "
FACT = "Maren Oduya rows to the point each evening and lights the lamp. "
TEXT = "\n\n".join([FILLER * 3] * 14 + [FACT * 3] + [FILLER * 3] * 15)
SETS = ("retrieval.search=[bm25]", "chunk.tokens=60", "retrieval.top_k=2", "cache.runs=0", "strategy=stuff")


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.md"
    path.write_bytes(TEXT.encode())
    return path


def telling() -> ScriptedLLM:
    """It finds Maren where she is, and thinks every text likelier after her."""

    def reply(prompt: Prompt) -> str:
        return f"Maren Oduya\nQuote: {FACT.strip()}" if "Maren" in prompt.part("context") else "NOT FOUND"

    def likelihood(prompt: Prompt, continuation: str) -> float:
        return (-0.5 if "Maren" in "".join(prompt.contexts) else -3.0) * len(continuation.split())

    return ScriptedLLM(reply, likelihood=likelihood)


def library(book: Path, *sets: str, **values: object) -> Library:
    return Library([book], resolve(sets=[*SETS, *sets])[0], **{"llm": telling(), **values})  # type: ignore[arg-type]


def selected(events: list[Event]) -> list[str]:
    """The texts that were selected, the most relevant first."""
    [event] = [event for event in events if isinstance(event, Selected)]
    order = sorted(event.chunks, key=lambda place: -place[3])
    return [TEXT[place[1] : place[2]] for place in order]


@pytest.mark.parametrize(
    "rescore", ["likelihood", "utility", "{likelihood: {words: draft}}", "{utility: {words: draft}}"]
)
def test_a_criterion_that_asks_the_model_brings_up_what_the_words_do_not(book: Path, rescore: str) -> None:
    question, events = "Who wrote of the lamp in the book?", list[Event]()
    plain = library(book, listeners=[events.append])
    assert plain.ask(question).abstained and "Maren" not in "".join(selected(events))
    events.clear()
    opened = library(book, f"retrieval.rescore=[{rescore}]", "retrieval.depth=100", listeners=[events.append])
    plan, answer = opened.plan(question), opened.ask(question)
    scored = [event for event in events if isinstance(event, Scored)]
    assert answer.text == "Maren Oduya" and "Maren" in selected(events)[0]
    chunks = len(opened.corpus(60).chunks)
    assert len(scored) == chunks + 1 and answer.usage.calls == chunks + 2 + ("draft" in rescore)
    assert answer.usage.calls <= plan.calls
    assert answer.usage.prompt_tokens <= plan.prompt_tokens and answer.usage.new_tokens <= plan.new_tokens


def test_what_is_read_for_the_selection_keeps_within_the_limits(book: Path) -> None:
    llm = telling()
    opened = library(book, "retrieval.rescore=[likelihood]", "limits.calls=5", llm=llm)
    answer = opened.ask("Who wrote of the lamp in the book?")
    assert len(llm.prompts) == 5 and answer.usage.calls == 5
    assert answer.stopped == "limits.calls 5 reached"


def test_searches_of_a_strategy_ask_the_model_nothing(book: Path) -> None:
    for strategy in ("iterative", "flare"):
        llm = telling()
        answer = library(book, "retrieval.rescore=[likelihood]", f"strategy={strategy}", llm=llm).ask(
            "Who lights the lamp?"
        )
        chunks = len(library(book).corpus(60).chunks)
        assert sum("memrecall.question" in prompt.step for prompt in llm.prompts) <= chunks + 1
        assert answer.text == "Maren Oduya"


def test_a_run_with_criteria_that_ask_the_model_is_replayed_from_its_trace(book: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    answer = library(book, "retrieval.rescore=[utility]").ask("Who lights the lamp?", trace_file=path)
    again = replay(path, llm=ScriptedLLM())
    assert again == json.loads(json.dumps(answer.to_json())) and answer.text == "Maren Oduya"


def test_a_model_without_likelihoods_of_the_question_is_refused_in_one_line(book: Path) -> None:
    llm = telling()
    llm.writes = False
    with pytest.raises(ModelError, match="likelihood of the question needs a model that writes") as caught:
        library(book, "retrieval.rescore=[likelihood]", llm=llm).ask("Who?")
    assert "\n" not in str(caught.value) and llm.prompts == []


def test_a_draft_is_made_from_as_many_texts_as_a_prompt_holds() -> None:
    llm = ScriptedLLM(["Maren and many words more than that\nQuote: x"], context_window=120)
    job = job_of(["x"], llm, sampling=Sampling(max_new_tokens=3))
    reader = JobReader(job)
    assert reader.draft([f"text {i} of ten words and not one word more" for i in range(50)]) == "Maren and many"
    [prompt] = llm.prompts
    held = len(prompt.contexts)
    assert 1 < held < 50 and llm.count_tokens(prompt) + 3 <= 120
    longer = job.prompt("answer", [*prompt.contexts, "text 9 of ten words and not one word more"])
    assert llm.count_tokens(longer) + 3 > 120


def test_likelihoods_are_means_per_token_and_not_a_number_beyond_the_limits() -> None:
    llm = ScriptedLLM(likelihood=lambda prompt, words: -2.0 * len(prompt.contexts) - len(words.split()))
    job = job_of(["x"], metered(llm, Limits(calls=3), Trace()))
    found = JobReader(job).likelihoods(["a", ""])
    assert found == pytest.approx([(-2 - 4) / 5, -4 / 5])  # four words, five tokens
    one, two = JobReader(job).likelihoods(["a", "b"], "Maren")
    assert one == -3.0 and two != two
    assert [prompt.step for prompt in llm.prompts] == ["memrecall.question", "memrecall.question", "answer"]


def test_rescoring_fusing_and_filtering_are_settings(book: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.md"
    other.write_bytes(b"The lamp is lit by nobody. " * 40)
    for sets in (
        f"retrieval.where={{source: {json.dumps(str(book))}}}",
        f"retrieval.where={{source: {{'!=': {json.dumps(str(other))}}}}}",
    ):
        chosen = resolve(sets=[*SETS, sets])[0]
        opened = Library([book, other], chosen, llm=telling())
        answer = opened.ask("Who lights the lamp?")
        assert [item.source for item in answer.evidence] == [str(book)]
        everything = Library([book, other], resolve(sets=[*SETS, sets, "retrieval.search=[]", "strategy=map_rerank"])[0],
                             llm=(llm := telling()))  # fmt: skip
        everything.ask("Who lights the lamp?")
        assert not any("nobody" in prompt.part("context") for prompt in llm.prompts)
        assert everything.plan("Who?").calls < Library([book, other], resolve(sets=[*SETS, "retrieval.search=[]",
                             "strategy=map_rerank"])[0], llm=telling()).plan("Who?").calls  # fmt: skip


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        ("retrieval.rescore=[nonesuch]", UnknownNameError, "no criterion is called 'nonesuch'; there are: bm25, .*mmr"),
        ("retrieval.rescore=[bm25]", ConfigError, "bm25 searches and cannot re-rank"),
        ("retrieval.search=[mmr]", ConfigError, "mmr re-ranks and cannot search"),
        ("retrieval.rescore=[{mmr: {balance: 2}}]", ConfigError, "balance is from 0 to 1"),
        ("retrieval.rescore=[{cross_encoder: {weight: -1}}]", ConfigError, "weight is at least 0"),
        ("retrieval.fuse=sum", UnknownNameError, "no fusion is called 'sum'; there are: rrf, weighted"),
        ("retrieval.fuse={weighted: {cosine: 1}}", ConfigError, "give a weight to bm25 as well"),
        ("retrieval.where={year: {'~': 1}}", UnknownNameError, "operator of a filter"),
        ("retrieval.since=yesterday", ConfigError, "since: a day or a time"),
        ("retrieval.rescore=['no.such:Thing']", ConfigError, "cannot be imported"),
    ],
)
def test_wrong_settings_are_refused_when_the_sources_are_opened(
    book: Path, item: str, error: type[Exception], message: str
) -> None:
    llm = telling()
    with pytest.raises(error, match=message) as caught:
        library(book, item, llm=llm)
    assert "\n" not in str(caught.value) and llm.prompts == []


def test_settings_that_are_mappings_are_replaced_as_a_whole_and_have_one_origin(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "retrieval:\n  where: {speaker: alice}\n  since: 2024-05-01\n  until: 2024-05-02 10:00:00\n"
        "  fuse: {weighted: {cosine: 0.7, bm25: 0.3}}\n  rescore: [{forgetting: {half_life_days: 30}}, cross_encoder]\n"
    )
    settings, origins = resolve(file=file)
    found = settings.retrieval
    assert (found.where, found.since, found.until) == ({"speaker": "alice"}, "2024-05-01", "2024-05-02T10:00:00")
    assert found.fuse == {"weighted": {"cosine": 0.7, "bm25": 0.3}}
    assert found.rescore == [{"forgetting": {"half_life_days": 30}}, "cross_encoder"]
    assert origins["retrieval.where"] == origins["retrieval.fuse"] == str(file)
    changed, origins = resolve(file=file, sets=["retrieval.where={year: {'>=': 1900}}", "retrieval.fuse=rrf"])
    assert (changed.retrieval.where, changed.retrieval.fuse) == ({"year": {">=": 1900}}, "rrf")
    assert origins["retrieval.where"] == "--set retrieval.where={year: {'>=': 1900}}"
    assert set(origins) == set(flatten(settings.model_dump()))
    assert Settings.model_validate(json.loads(settings.model_dump_json())) == settings
    with pytest.raises(ConfigError, match=r"retrieval\.fuse"):
        resolve(sets=["retrieval.fuse=3"])


def test_criteria_are_listed_by_what_they_do() -> None:
    listed = CliRunner().invoke(criteria).stdout
    first, _, second = listed.partition("retrieval.rescore:\n")
    assert first.startswith("retrieval.search:\n")
    for name in ("cosine", "inner_product", "l2", "bm25"):
        assert f"\n{name} " in first and f"\n{name} " not in second
    for name in (
        "cross_encoder",
        "likelihood",
        "utility",
        "rouge2",
        "mmr",
        "recency",
        "forgetting",
        "neighbours",
        "dedupe",
    ):
        assert f"\n{name} " in f"\n{second}" and f"\n{name} " not in first
    assert "    half_life_days = 30.0" in second and "    k1 = 1.5" in first
