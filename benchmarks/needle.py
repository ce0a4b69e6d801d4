"""Facts hidden at every depth of novels, from 10,000 to 1,000,000 tokens: which strategy finds them, and at what cost.

    python benchmarks/needle.py --out needle.jsonl --picture needle.svg
    python benchmarks/needle.py --model FOLDER --tokens 10000 --strategy nbce --strategy pcw --out needle.jsonl

Three kinds of facts (needle_facts.py): single ones, pairs of which both are needed, and facts that a later one replaces. All
stand in one text at once, so every question has distractors of its own form. A question is right if the answer holds the
invented name and, after an update, not the old one. ``--out`` gets a record per question, one JSON object a line; what it
holds already is not asked again, so a run can be interrupted and go on, and records of several models can share a file.

Each length runs in a process of its own, in which the strategies take turns: the memory told is the highest resident
memory of a question beyond what the process had after its imports, so it holds the model, the text, its chunks and their
embeddings. These are made before the first question. A strategy that has asked for ``--max-seconds`` at one length is cut
there, also within a question; what is left is recorded as cut. What a model cannot do (the built-in reader has no logits) is
recorded as refused.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import click
from common import machine
from needle_facts import Needle, haystack, hide, needles, novels
from needle_picture import label, picture
from peers.protocol import forget_peak, memory

import ctxproc
from ctxproc.errors import CtxprocError, ModelError
from ctxproc.llm.quantise import hushed
from ctxproc.strategies import catalogue
from ctxproc.trace import Event

Record = dict[str, Any]
KEY = ("model", "strategy", "tokens", "kind", "depth", "number")


class OverTimeError(Exception):
    """The time for a strategy at a length is over."""


@dataclass
class Deadline:
    """A listener that ends a run once its time is over; between two events it cannot."""

    at: float = float("inf")

    def __call__(self, _: Event) -> None:
        """One event."""
        if time.monotonic() > self.at:
            raise OverTimeError


@dataclass(frozen=True)
class Run:
    """What one process does: all strategies over one text.

    Attributes:
        text: the file with the needles in it.
        tokens: of the novels in it.
        hidden: the needles.
        strategies: by name, or names joined by "+".
        sets: settings.
        max_seconds: for each strategy.
        out: where records are appended.
        done: keys of records that are there already.
    """

    text: Path
    tokens: int
    hidden: Sequence[Needle]
    strategies: Sequence[str]
    sets: Sequence[str]
    max_seconds: float
    out: Path
    done: frozenset[tuple[object, ...]]

    def __call__(self) -> None:
        """Ask and record."""
        with hushed():  # before memory is looked at
            import sentence_transformers  # noqa: F401

        bare, deadline, about = memory()["rss"], Deadline(), machine()
        settings, _ = ctxproc.resolve(sets=self.sets)
        library = ctxproc.Library([self.text], settings, listeners=[deadline])
        for strategy in self.strategies:
            library.settings, _ = ctxproc.resolve(sets=[*self.sets, f"strategy={strategy}"])
            for record in self.strategy(library, strategy, deadline):
                record["beyond_imports_mb"] = round((memory()["peak"] - bare) / 1e6, 1)
                with self.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({**record, **about}, ensure_ascii=False) + "\n")

    def strategy(self, library: ctxproc.Library, strategy: str, deadline: Deadline) -> Iterator[Record]:
        """A record of every question that has none yet; the order is random, so that a cut falls on all depths alike."""
        began, ending = time.monotonic(), dict[str, object]()
        ready(library)
        split = time.monotonic() - began
        deadline.at = time.monotonic() + self.max_seconds
        for needle in random.Random(self.tokens).sample(self.hidden, len(self.hidden)):
            names = (library.llm.name, strategy, self.tokens, needle.kind, needle.depth, needle.number)
            if names in self.done:
                continue
            forget_peak()
            record: Record = {**dict(zip(KEY, names, strict=True)), "ready_seconds": round(split, 1)}
            try:
                record |= ending or outcome(library, needle)
            except OverTimeError:
                ending = {"outcome": "cut", "reason": f"over {self.max_seconds:g} s"}
                record |= ending
            except ModelError as error:
                ending = {"outcome": "refused", "reason": str(error)}
                record |= ending
            except CtxprocError as error:
                record |= {"outcome": "failed", "reason": str(error)}
            yield record
        deadline.at = float("inf")


def ready(library: ctxproc.Library) -> None:
    """Split, embed and index the text as the strategy reads it, so that no question has to."""
    question, search = needles(1, 1)[0].question, library.settings.retrieval.search
    with suppress(CtxprocError):  # what cannot be done the question says
        corpus = library.corpus(library.budget(question, library.strategy(library.settings.strategy)))
        corpus.select(question, 1, search=search)


def outcome(library: ctxproc.Library, needle: Needle) -> Record:
    """What came of one question."""
    answer = library.ask(needle.question)
    quotes = [item.quote for item in answer.evidence if item.status != "unverified"]
    right = needle.right(answer.text)
    return {
        "outcome": "right" if right else "abstained" if answer.abstained else "wrong",
        "question": needle.question,
        "gold": needle.answer,
        "answer": answer.text,
        "stale": bool(needle.stale) and needle.stale in answer.text,
        "evidence": any(needle.facts[-1] in quote or quote in needle.facts[-1] for quote in quotes),
        "confidence": answer.confidence,
        "stopped": answer.stopped,
        "calls": answer.usage.calls,
        "prompt_tokens": answer.usage.prompt_tokens,
        "reused_tokens": answer.usage.reused_tokens,
        "new_tokens": answer.usage.new_tokens,
        "seconds": round(answer.usage.seconds, 3),
    }


def kept(out: Path) -> list[Record]:
    """The records of a file; a last line that was cut off is taken out of it."""
    text = out.read_text(encoding="utf-8") if out.exists() else ""
    whole, newline, cut_off = text.rpartition("\n")
    if cut_off:
        out.write_text(whole + newline, encoding="utf-8")
    return [json.loads(line) for line in whole.split("\n") if line]


def grids(records: Sequence[Record]) -> dict[tuple[str, str], dict[tuple[int, float], float]]:
    """Recall by (strategy, kind), and in it by (tokens, depth); refused and cut questions are left out."""
    cells: dict[tuple[str, str], dict[tuple[int, float], list[bool]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        asked = record["outcome"] not in ("refused", "cut")
        cell = cells[record["strategy"], record["kind"]]
        if asked:
            cell[record["tokens"], record["depth"]].append(record["outcome"] == "right")
    return {name: {place: mean(values) for place, values in cell.items()} for name, cell in cells.items()}


def table(records: Sequence[Record]) -> Iterator[str]:
    """Recall in percent by strategy, length and kind, all depths together; then by depth; and what it cost."""
    kinds = sorted({record["kind"] for record in records})
    depths = sorted({record["depth"] for record in records})
    heads = [*kinds, *(f"@{depth:.0%}" for depth in depths), "quote", "abst", "calls", "s", "MB", "asked"]
    yield f"{'':<24}{'tokens':>7}" + "".join(f"{head:>9}" for head in heads)
    groups: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in records:
        groups[record["strategy"], record["tokens"]].append(record)
    for (strategy, tokens), rows in sorted(groups.items()):
        asked = [row for row in rows if row["outcome"] in ("right", "wrong", "abstained")]
        others = {row["outcome"]: row["reason"] for row in rows if row not in asked}
        cells = [share([row for row in asked if row["kind"] == kind]) for kind in kinds]
        cells += [share([row for row in asked if row["depth"] == depth]) for depth in depths]
        if asked:
            cells += [f"{100 * mean(row['evidence'] for row in asked):.0f}"]
            cells += [f"{100 * mean(row['outcome'] == 'abstained' for row in asked):.0f}"]
            cells += [f"{mean(row['calls'] for row in asked):.0f}", f"{median(row['seconds'] for row in asked):.2f}"]
            cells += [f"{max(row['beyond_imports_mb'] for row in asked):.0f}", f"{len(asked)}/{len(rows)}"]
        why = "; ".join(f"{name}: {reason[:60]}" for name, reason in others.items())
        yield f"{strategy:<24}{label(tokens):>7}" + "".join(f"{cell:>9}" for cell in cells) + f"  {why}".rstrip()


def share(rows: Sequence[Record]) -> str:
    """The share of right answers in percent."""
    return f"{100 * mean(row['outcome'] == 'right' for row in rows):.0f}" if rows else "-"


def drawn(records: Sequence[Record], model: str) -> str:
    """The picture of a model's records."""
    found = {name: grid for name, grid in sorted(grids(records).items()) if grid}
    lengths, depths = (sorted({record[of] for record in records}) for of in ("tokens", "depth"))
    return picture(found, lengths, depths, f"Recall by depth (down) and length (across), model {Path(model).name}")


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"), show_default=True)
@click.option("--model", default="builtin", show_default=True, help="or a folder of transformers")
@click.option("--tokens", multiple=True, type=int, default=[10_000, 100_000, 1_000_000], show_default=True)
@click.option("--strategy", "strategies", multiple=True, help="default: all")
@click.option("--depths", default=5, show_default=True, help="bins of the text")
@click.option("--each", default=2, show_default=True, help="needles of each kind in each bin")
@click.option("--seed", default=0, show_default=True)
@click.option("--max-seconds", default=300.0, show_default=True, help="for each strategy and length")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="a setting of ctxproc")
@click.option("--out", type=click.Path(path_type=Path), default=Path("needle.jsonl"), show_default=True)
@click.option("--picture", "svg", type=click.Path(path_type=Path), help="also draw it, as SVG")
def main(
    data: Path,
    model: str,
    tokens: tuple[int, ...],
    strategies: tuple[str, ...],
    depths: int,
    each: int,
    seed: int,
    max_seconds: float,
    sets: tuple[str, ...],
    out: Path,
    svg: Path | None,
) -> None:
    """Hide the facts, ask for them, and print the table of all records of this model."""
    if not (data / "train").is_dir():
        click.echo(f"skipped: there are no novels in {data / 'train'}; name the data with --data")
        return
    done = frozenset(tuple(record[of] for of in KEY) for record in kept(out))
    hidden = needles(depths, each, seed)
    with tempfile.TemporaryDirectory() as scratch:
        sets = (f"cache.folder={scratch}", *sets, "cache.runs=0", f"model={model}")
        for size, text in texts(data, tokens, hidden, Path(scratch), seed, sets):
            run = Run(text, size, hidden, strategies or catalogue.names(), sets, max_seconds, out, done)
            process = multiprocessing.get_context("spawn").Process(target=run)
            process.start()
            process.join()
            if process.exitcode:
                raise click.ClickException(f"the process that reads {size} tokens ended with {process.exitcode}")
    records = [record for record in kept(out) if record["model"] == model]
    click.echo("\n".join(table(records)))
    if svg:
        svg.write_text(drawn(records, model), encoding="utf-8")


def texts(
    data: Path, tokens: Sequence[int], hidden: Sequence[Needle], folder: Path, seed: int, sets: Sequence[str]
) -> Iterator[tuple[int, Path]]:
    """For each length the file with the needles in it."""
    from ctxproc.llm.load import load_llm

    count = load_llm(ctxproc.resolve(sets=sets)[0]).tokenizer.count
    for size in sorted(tokens):
        path = folder / f"{size}.txt"
        path.write_text(hide(haystack(novels(data, seed), size, count), hidden), encoding="utf-8")
        yield size, path


if __name__ == "__main__":
    main()
