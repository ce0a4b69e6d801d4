"""Supporting passages of questions that need two to four of them: one search against MemRecall, the same tokens read.

    python benchmarks/multihop.py --data ../shared/data

50 questions of MuSiQue over 956 passages and 50 of HotpotQA over 500. Every way selects passages until the next would
exceed the budget of tokens; what is measured is whether the supporting ones are among them, and the F1 of what the model
answers from the selection. Choices were made on the even questions; the odd ones are the test half. Prints one JSON
object; ``gain`` is the difference to the best search, question by question, with its interval.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import click
from common import f1, percent, publish

from ctxproc.catalogue import Spec
from ctxproc.chunk import Chunk, split
from ctxproc.document import Document
from ctxproc.job import Found, Job
from ctxproc.llm.base import LLM
from ctxproc.llm.builtin import BuiltinReader
from ctxproc.memory.corpus import Corpus
from ctxproc.memory.embed import Embedder
from ctxproc.strategies import make
from ctxproc.strategies.memrecall import MemRecall
from ctxproc.strategies.stuff import fitting

LONGEST = 400
"""Tokens of a chunk; almost every passage is one chunk. A passage is found where one of its chunks is."""

FUSED = ("cosine", "bm25")
SEARCHES: dict[str, tuple[str, ...]] = {"cosine": ("cosine",), "bm25": ("bm25",), "fused": FUSED}
EMBEDDING: dict[str, dict[str, dict[str, object]]] = {
    "no shared words": {"embedding": {"names": 0.0}},
    "question alone": {"embedding": {"own": 1.0}},
}
RECALLS: dict[str, MemRecall] = {
    "memrecall": MemRecall(),
    "memrecall, one round": MemRecall(()),
    "memrecall, 1 and 1": MemRecall((1, 1)),
    "memrecall, 3 as in the source": MemRecall((3,)),
    "memrecall, no shared words": MemRecall(coarse=EMBEDDING["no shared words"]),
    "memrecall, the question alone": MemRecall(coarse=EMBEDDING["question alone"]),
    "memrecall, coarse: judge": MemRecall(coarse="cross_encoder"),
    "memrecall, coarse: judge, one round": MemRecall((), coarse="cross_encoder"),
    "memrecall, fine: judge": MemRecall(fine="cross_encoder"),
    "memrecall, fine: reader": MemRecall(fine="reader"),
    "memrecall, fine: intervention": MemRecall(fine="intervention"),
}


@dataclass(frozen=True)
class Hops:
    """A question, its answers, and the titles and texts of the passages that it needs, as they stand in the corpus."""

    question: str
    answers: tuple[str, ...]
    passages: frozenset[str]
    line: int


def musique(data: Path) -> tuple[list[str], list[Hops]]:
    """The corpus and the questions of MuSiQue."""
    texts, rows = read(data, "musique50")
    items = [
        Hops(
            row["question"],
            (row["answer"], *row["answer_aliases"]),
            frozenset(f"{p['title']}\n{p['paragraph_text']}" for p in row["paragraphs"] if p["is_supporting"]),
            i,
        )
        for i, row in enumerate(rows, 1)
    ]
    return texts, items


def hotpotqa(data: Path) -> tuple[list[str], list[Hops]]:
    """The corpus and the questions of HotpotQA; a passage is named by its title there."""
    texts, rows = read(data, "hotpotqa50")
    titled = {text.split("\n")[0]: text for text in texts}
    items = [
        Hops(row["question"], (row["answer"],), frozenset(titled[title] for title, _ in row["supporting_facts"]), i)
        for i, row in enumerate(rows, 1)
    ]
    return texts, items


def read(data: Path, name: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Passages, their titles in front, and questions."""
    folder = data / "eval" / "multihop"
    passages, rows = (json.loads((folder / f"{name}{end}.json").read_text("utf-8")) for end in ("_corpus", ""))
    return [f"{passage['title']}\n{passage['text']}" for passage in passages], rows


class Bench:
    """One corpus, ready for questions.

    Args:
        texts: its passages.
        llm: counts tokens, judges and answers.
        cache: folder of embeddings.
    """

    def __init__(self, texts: Sequence[str], llm: LLM, cache: Path | None) -> None:
        self.llm = llm
        documents = [Document.from_text(text, source=f"passage {i}") for i, text in enumerate(texts)]
        self.corpus = Corpus(
            [chunk for document in documents for chunk in split(document, llm.tokenizer, LONGEST)],
            Embedder(),
            cache=cache,
        )

    def job(self, question: str) -> Job:
        """The whole corpus as a job; an answer is taken however unsure it is."""

        def retrieve(query: str, k: int) -> list[Found]:
            return self.search(query, FUSED, k)

        return Job(
            question,
            self.corpus.chunks,
            self.llm,
            retriever=retrieve,
            similarity=self.corpus.similar,
            require_evidence=False,
        )

    def search(self, query: str, search: Sequence[str], k: int) -> list[Found]:
        """The best ``k`` by these searchers."""
        return [Found(self.corpus.chunks[hit.index], hit.score) for hit in self.corpus.select(query, k, search)]

    def ways(self, budget: int) -> dict[str, Callable[[Job], list[Found]]]:
        """Every way to select so many tokens."""

        def searching(searchers: Sequence[str]) -> Callable[[Job], list[Found]]:
            def select(job: Job) -> list[Found]:
                found = self.search(job.question, searchers, len(job.chunks))
                places = {id(chunk): i for i, chunk in enumerate(job.chunks)}
                taken = set(fitting(job, [places[id(one.chunk)] for one in found], budget))
                return [one for one in found if places[id(one.chunk)] in taken]

            return select

        ways = {name: searching(searchers) for name, searchers in SEARCHES.items()}
        return ways | {name: replace(recall, capacity=budget).select for name, recall in RECALLS.items()}


def row(item: Hops, job: Job, found: Sequence[Found], then: Spec | None) -> dict[str, float]:
    """What one selection is worth."""
    chunks: list[Chunk] = [one.chunk for one in found]
    held = {chunk.document.text for chunk in chunks} & item.passages
    answer = f1(make(then)(job.over(found)).text, item.answers) if then is not None else 0.0
    return {
        "recall": len(held) / len(item.passages),
        "all_passages": float(held == item.passages),
        "f1": answer,
        "tokens": float(sum(chunk.tokens for chunk in chunks)),
    }


def figures(rows: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Of each way, and its gain over the search that finds all passages most often."""
    measures = ("recall", "all_passages", "f1")
    best = max(SEARCHES, key=lambda name: mean(one["all_passages"] for one in rows[name]))
    found: dict[str, Any] = {"best search": best}
    for name, some in rows.items():
        found[name] = {measure: percent([one[measure] for one in some]) for measure in measures}
        found[name]["tokens"] = round(mean(one["tokens"] for one in some))
        if name not in SEARCHES:
            pairs = list(zip(some, rows[best], strict=True))
            found[name]["gain"] = {m: percent([ours[m] - theirs[m] for ours, theirs in pairs]) for m in measures}
    return found


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option(
    "--half", type=click.Choice(["odd", "even"]), default="odd", show_default=True, help="odd is the test half"
)
@click.option("--budget", "budgets", type=int, multiple=True, default=(512, 1024), show_default=True)
@click.option(
    "--then", default="map_rerank", show_default=True, help="answers from the selection; empty for recall only"
)
@click.option("--only", multiple=True, help="these ways, besides the searches")
@click.option("--cache", type=click.Path(path_type=Path), help="folder of embeddings")
@click.option("--out", type=click.Path(path_type=Path), help="also write every question, one JSON object a line")
def main(
    data: Path,
    half: str,
    budgets: tuple[int, ...],
    then: str,
    only: tuple[str, ...],
    cache: Path | None,
    out: Path | None,
) -> None:
    """Select, answer, and print the figures."""
    llm, lines = BuiltinReader(), []
    sets = [(Bench(texts, llm, cache), items) for texts, items in (musique(data), hotpotqa(data))]
    result: dict[str, Any] = {"half": half, "then": then}
    for budget in budgets:
        rows: dict[str, list[dict[str, float]]] = {}
        for bench, items in sets:
            for item in (item for item in items if item.line % 2 == (half == "odd")):
                job = bench.job(item.question)
                for name, select in bench.ways(budget).items():
                    if not only or name in SEARCHES or name in only:
                        rows.setdefault(name, []).append(row(item, job, select(job), then or None))
                        lines.append({"budget": budget, "way": name, "question": item.question, **rows[name][-1]})
        result[str(budget)] = figures(rows)
    if out:
        out.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    publish("multihop", result)


if __name__ == "__main__":
    main()
