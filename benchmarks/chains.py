"""ctxproc's strategies beside LangChain's chains and LlamaIndex's response synthesizers: one model, the same texts.

    python -m venv VENV && VENV/bin/pip install langchain-classic==1.0.8 llama-index-core==0.14.25 tokenizers
    python benchmarks/chains.py --python VENV/bin/python --out FILE
    python benchmarks/chains.py --python VENV/bin/python --model FOLDER --window 1024 --out FILE

Without ``--model`` all programs talk to a model that reads by rule (`peers/chains_reader.py`): it finds every fact it is
shown and replies in the form that each program's own prompt asks for, so a miss is the program's. It reads the shipped book
with its questions, planted facts, and what breaks chains (`peers/chains_cases.py`); nothing is searched. With ``--model``,
any folder of transformers, the texts are planted facts, and for each question on the book the ``--documents`` chunks that
ctxproc's search picks.

The other libraries run in a process and an environment of their own with their own prompts; they are told the window and
count with the model's tokenizer, which is more than they do by default. The model stands here: calls, tokens and prompts
that do not fit are counted where it is, each prompt is read anew for every program (no keys and values are reused), and a
question ends after 1,000 calls, as one that never would. A library's error is its outcome. "ctxproc, as it comes" is for
reference: the built-in reader behind a search, another model.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import click
import results
from common import exact_match, f1, machine, normalise
from peers.chains_cases import REPLY, WINDOW, Case, Question, book, hostile, planted
from peers.chains_host import Counted, Program, ProgramError, Spent
from peers.chains_reader import Reader
from peers.chains_wire import Request

import ctxproc
from ctxproc.config import ReuseSettings
from ctxproc.llm.base import LLM
from ctxproc.llm.builtin import BuiltinReader
from ctxproc.llm.scripted import WordTokenizer
from ctxproc.strategies import catalogue

MOST_CALLS = 1000
OURS = ("stuff", "map_reduce", "map_rerank", "refine", "tree")
PEERS = {
    "langchain": ("stuff", "map_reduce", "map_rerank", "refine"),
    "llamaindex": ("refine", "compact", "tree_summarize"),
}
QUALITY = ("book", "planted")
BUILTIN = "ctxproc, as it comes"
UNKNOWN = re.compile(r"(?i)^\W*$|don'?t know|do(es)? not know|not found|does not answer|^\W*none\b|empty response")
"""What the other libraries answer where they found nothing."""


@dataclass
class Outcome:
    """What became of one question."""

    text: str = ""
    abstained: bool = False
    error: str = ""
    seconds: float = 0.0
    spent: Spent = field(default_factory=Spent)

    def verdict(self, answers: Sequence[str]) -> str:
        """One of: right (a gold answer stands in the text), abstained, wrong, failed, endless.

        Where there is no gold answer, to abstain is right.
        """
        if self.spent.endless:
            return "endless"
        if self.error:
            return "failed"
        if self.abstained:
            return "abstained" if answers else "right"
        return "right" if any(f" {normalise(a)} " in f" {normalise(self.text)} " for a in answers) else "wrong"


Ask = Callable[[Case, Question, Counted], str | None]
"""An answer; None where the program abstains. Raises whatever the program raises."""


def ours(strategy: str, sets: Sequence[str], folder: Path, search: bool = False) -> Ask:
    """A strategy of ctxproc, in this process; without ``search`` it reads all texts, as the others do."""
    fixed = [f"strategy={strategy}", "cache.runs=0", f"cache.folder={folder}"]
    fixed += [] if search else ["retrieval.search=[]"]

    @lru_cache(maxsize=1)
    def library(texts: tuple[str, ...], reply: int, model: Counted) -> ctxproc.Library:
        settings, _ = ctxproc.resolve(sets=[*sets, *fixed, f"generation.max_new_tokens={reply}"])
        documents = [ctxproc.Document.from_text(text, f"text {i}") for i, text in enumerate(texts)]
        return ctxproc.Library(documents, settings, llm=model)

    def ask(case: Case, question: Question, model: Counted) -> str | None:
        answer = library(question.documents, case.reply, model).ask(question.text)
        return None if answer.abstained else answer.text

    return ask


def theirs(library: str, strategy: str, tokenizer: str, start: Callable[[str], Program]) -> Ask:
    """A chain of another library, in its process."""

    def ask(case: Case, question: Question, model: Counted) -> str | None:
        window = case.window if case.told else None
        request = Request(strategy, question.text, question.documents, window, case.reply, tokenizer)
        text = start(library).ask(request, model)
        return None if UNKNOWN.search(text) else text.strip()

    return ask


def run(ask: Ask, case: Case, llm: LLM) -> Iterator[Outcome]:
    """The outcome of each question of a case."""
    model = Counted(llm, MOST_CALLS)
    for question in case.questions:
        model.spent = Spent()
        began, text, error = time.perf_counter(), None, ""
        try:
            text = ask(case, question, model)
        except ProgramError as raised:
            error = str(raised)
        except Exception as raised:  # noqa: BLE001 (as for the other programs, it is the outcome)
            error = f"{type(raised).__name__}: {raised}"
        seconds = time.perf_counter() - began
        yield Outcome(text or "", text is None and not error, " ".join(error.split()), seconds, model.spent)


def record(program: str, case: Case, model: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of one program on one case; costs are means over its questions, seconds medians."""
    pairs = list(zip(case.questions, outcomes, strict=True))
    asked = [(o.text, q.answers) for q, o in pairs if q.answers]
    n, spent = len(outcomes), [outcome.spent for outcome in outcomes]
    verdicts = Counter(outcome.verdict(question.answers) for question, outcome in pairs)
    mean = {name: sum(getattr(s, name) for s in spent) / n for name in ("calls", "prompt_tokens", "new_tokens")}
    return {
        "case": case.name,
        "program": program,
        "model": model,
        "window": case.window,
        "reply": case.reply,
        "questions": n,
        "f1": 100 * sum(f1(text, gold) for text, gold in asked) / len(asked) if asked else None,
        "exact_match": 100 * sum(exact_match(text, gold) for text, gold in asked) / len(asked) if asked else None,
        "verdicts": dict(verdicts),
        "unanswerable": n - len(asked),
        "unanswerable_abstained": sum(o.abstained for q, o in pairs if not q.answers),
        **mean,
        "longest_prompt": max(s.longest for s in spent),
        "overflows": sum(s.overflows for s in spent),
        "seconds": median(o.seconds for o in outcomes),
        "own_seconds": median(o.seconds - o.spent.seconds for o in outcomes),
        "errors": dict(Counter(o.error[:200] for o in outcomes if o.error)),
        "answers": [o.text for o in outcomes],
    }


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """One case: quality and costs of a question; "own s" is without the model, "over" counts prompts that did not fit."""
    first, heads = rows[0], ("F1", "EM", "calls", "prompt", "new", "longest", "over", "s", "own s")
    yield f"\n{first['case']} ({first['questions']} questions, window {first['window']}, reply {first['reply']})"
    yield f"{'':<37}" + "".join(f"{head:>8}" for head in heads) + "  outcomes"
    for row in rows:
        quality = ["" if row[of] is None else f"{row[of]:.1f}" for of in ("f1", "exact_match")]
        costs = [f"{row[of]:.0f}" for of in ("calls", "prompt_tokens", "new_tokens", "longest_prompt", "overflows")]
        times = [f"{row[of]:.3f}" for of in ("seconds", "own_seconds")]
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(row["verdicts"].items()))
        error = f" ({min(row['errors'])[:70]})" if row["errors"] else ""
        yield f"{row['program']:<37}" + "".join(f"{x:>8}" for x in (*quality, *costs, *times)) + f"  {verdicts}{error}"


def totals(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """How each program fared on the cases that break chains."""
    verdicts = ("right", "wrong", "abstained", "failed", "endless")
    yield f"\n{'cases that break chains':<37}" + "".join(f"{verdict:>10}" for verdict in verdicts) + f"{'over':>7}"
    for program in dict.fromkeys(row["program"] for row in rows):
        own = [row for row in rows if row["program"] == program]
        counts = "".join(f"{sum(row['verdicts'].get(verdict, 0) for row in own):>10}" for verdict in verdicts)
        yield f"{program:<37}{counts}{sum(row['overflows'] for row in own):>7}"


def by_case(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The records of each case by program."""
    return {
        case: {row["program"]: row for row in rows if row["case"] == case}
        for case in dict.fromkeys(row["case"] for row in rows)
    }


def scripted(case: Case) -> LLM:
    """The model that reads by rule, for a case."""
    reader = Reader(case.facts, case.manner)
    return ctxproc.ScriptedLLM(reader.reply, likelihood=reader.likelihood, context_window=case.window, name="rules")


def searched(count: int, folder: Path, texts: Sequence[str]) -> Callable[[str], Sequence[str]]:
    """A function from a question to so many of the texts, in their order, as ctxproc's default search picks them."""
    from ctxproc.memory.corpus import Corpus
    from ctxproc.memory.embed import Embedder

    documents = [ctxproc.Document.from_text(text, f"text {i}") for i, text in enumerate(texts)]
    chunks = [ctxproc.Chunk(document, 0, len(document.text), 0, 0) for document in documents]
    corpus = Corpus(chunks, Embedder("builtin"), cache=folder)
    return lambda question: [texts[i] for i in sorted(hit.index for hit in corpus.select(question, count))]


def start_once(python: str, folder: Path, stack: ExitStack) -> Callable[[str], Program]:
    """A function that gives a library's process, started anew where it ended."""
    running: dict[str, Program] = {}

    def start(library: str) -> Program:
        if library not in running or running[library].ended:
            program = Program(f"peers.chains_{library}", python, folder / f"{library}.log")
            running[library] = stack.enter_context(program)
        return running[library]

    return start


def cases_of(model: LLM | None, window: int, documents: int, folder: Path) -> Iterator[Case]:
    """The cases for a model, or for the one that reads by rule."""
    if model is None:
        words = WordTokenizer()
        yield from (book(words), planted(words, 40), *hostile())
        return
    for case in (book(model.tokenizer, partial(searched, documents, folder)), planted(model.tokenizer, documents)):
        yield replace(case, window=window, reply=min(REPLY, window // 8))


def programs_of(
    start: Callable[[str], Program] | None, tokenizer: str, sets: Sequence[str], folder: Path
) -> dict[str, Ask]:
    """All programs by name: a library, a space, a strategy; `BUILTIN` last. Without ``start``, ctxproc's alone."""
    programs = {f"ctxproc {name}": ours(name, sets, folder) for name in OURS if name in catalogue.names()}
    for library, strategies in PEERS.items():
        if start:
            programs |= {f"{library} {name}": theirs(library, name, tokenizer, start) for name in strategies}
    return {**programs, BUILTIN: ours("map_rerank", sets, folder, search=True)}


@click.command()
@click.option("--python", default="", help="interpreter that has the other libraries; without it ctxproc runs alone")
@click.option("--model", "name", help="a folder of transformers; default: the rules")
@click.option("--window", default=WINDOW, show_default=True, help="of that model")
@click.option("--documents", default=8, show_default=True, help="texts for each question, with --model")
@click.option("--questions", default=0, help="of each case at most; 0 is all")
@click.option("--case", "wanted", multiple=True, default=[""], help="only the cases whose names begin so")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="a setting of ctxproc")
@click.option("--out", type=click.Path(path_type=Path), help="also write a record per program and case, one a line")
def main(
    python: str,
    name: str | None,
    window: int,
    documents: int,
    questions: int,
    wanted: tuple[str, ...],
    sets: tuple[str, ...],
    out: Path | None,
) -> None:
    """Run the cases and print a table of each."""
    llm = ctxproc.TransformersLLM(name, context_window=window, reuse=ReuseSettings(grade="full")) if name else None
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        start = start_once(python, folder, stack) if python else None
        tokenizer = str(folder / "tokenizer.json") if llm else ""
        if llm:  # as the model loads it: transformers replaces parts of some
            llm.tokenizer.inner.backend_tokenizer.save(tokenizer)
        facts = {"programs": versions(start), **machine()}
        programs = programs_of(start, tokenizer, sets, folder)
        for case in cases_of(llm, window, documents, folder):
            if not case.name.startswith(wanted):
                continue
            asked = replace(case, questions=case.questions[: questions or None])
            rows += (found := list(compare(asked, programs, llm or scripted(asked))))
            click.echo("\n".join(table(found)))
    click.echo("\n".join(totals([row for row in rows if row["case"] not in QUALITY])))
    results.record("chains", {**machine(), **by_case(rows)})
    if out:
        out.write_text("".join(json.dumps({**row, **facts}) + "\n" for row in rows), encoding="utf-8")


def versions(start: Callable[[str], Program] | None) -> dict[str, Any]:
    """Of the packages that take part, which are started for it; of a library that cannot be, why."""
    found: dict[str, Any] = {"ctxproc": version("ctxproc")}
    for library in PEERS:
        try:
            found |= start(library).facts if start else {}
        except ProgramError as error:
            found[library] = f"absent: {str(error).splitlines()[-1]}"
            click.echo(f"{library}: {found[library]}", err=True)
    return found


def compare(case: Case, programs: Mapping[str, Ask], llm: LLM) -> Iterator[dict[str, Any]]:
    """The record of each program on one case; the built-in reader's on those that ask for quality."""
    for program, ask in programs.items():
        if program == BUILTIN and case.name in QUALITY:
            llm = BuiltinReader()
        elif program == BUILTIN or (case.strategies and program.split()[1] not in case.strategies):
            continue
        yield record(program, case, llm.name, list(run(ask, case, llm)))


if __name__ == "__main__":
    main()
