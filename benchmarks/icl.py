"""In-context classification with many classes: one window of shots against several, read by PCW, NBCE and the ensemble.

    python benchmarks/icl.py --model FOLDER --out icl.jsonl --data ../shared/data

The setting of Ratner et al. 2023 (PCW), Su et al. 2024 (NBCE) and Yang et al. 2023 (parallel ensemble): shots that are
balanced over the classes fill windows one after the other, the reply is forced to be a label, every method gets the same
windows and test items. One window is the first of the several. Sets: TREC (6 classes), BANKING77, CLINC150 (without
out-of-scope). The model is any causal one of transformers; nothing is trained.

Each (set, method, windows) is one line of ``--out``; those that stand there already are not run again. At the end the
table, and whether what the papers say holds, by 95 % intervals over items (bootstrap): it "holds", "does not hold", or
the figures leave it "undecided". A set on which the model is at chance is left out of that.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import click
from common import interval, machine, percent
from icl_sets import Set, Shot, balanced, read, windows_of

from ctxproc import Constraint, Sampling, TransformersLLM
from ctxproc.llm.merging import NBCE, ProductOfExperts
from ctxproc.prompt import Prompt, Segment, template
from ctxproc.task import Choosing

METHODS = ("pcw", "ensemble", "nbce")
EQUAL = 5.0  # points within which two accuracies count as about equal


@dataclass(frozen=True)
class Form:
    """How windows and an item become a prompt, and how a label is spelt in the reply.

    Attributes:
        name: "shots" ends the prompt with the item as one more shot, as the papers do; "task" with the shipped template
            of the task `Choosing`.
        labels: of the set.
    """

    name: str
    labels: tuple[str, ...]

    def prompt(self, windows: Sequence[Sequence[Shot]], text: str) -> Prompt:
        """A prompt with these windows as its contexts."""
        contexts = ["\n\n".join(written(*shot) for shot in window) for window in windows]
        if self.name == "task":
            values = {**Choosing(self.labels).values, "question": f"Input: {text}"}
            return template("answer", "choose").fill(contexts, values)
        segments: list[Segment] = []
        for context in contexts:
            segments += [Segment("\n\n", "context")] if segments else []
            segments.append(Segment(context, "context", "context"))
        joint = "\n\n" if contexts else ""
        return Prompt((*segments, Segment(f"{joint}{written(text, '').rstrip()}", "task", "question")), "icl")

    @property
    def replies(self) -> tuple[str, ...]:
        """The labels as the model writes them."""
        return tuple(f" {label}" for label in self.labels) if self.name == "shots" else self.labels

    @property
    def longest(self) -> int:
        """Tokens of the longest label as a model may spell it, a byte at a time, and of its end."""
        return max(len(reply.encode()) for reply in self.replies) + 1


def written(text: str, label: str) -> str:
    """A shot."""
    return f"Input: {text}\nLabel: {label}"


@dataclass(frozen=True)
class Bench:
    """What all measurements share.

    Attributes:
        llm: the model.
        form: of the prompts, as `Form.name`.
        items: test items for each seed.
        seeds: each draws its own shots and items.
        most: shots of a window at most.
        window: tokens of a prompt and its reply at most.
        count: the most windows.
    """

    llm: TransformersLLM
    form: str
    items: int
    seeds: Sequence[int]
    most: int
    window: int
    count: int

    def drawn(self, data: Set, seed: int) -> tuple[list[list[Shot]], list[Shot]]:
        """The windows and the test items of a seed."""
        rng, form = random.Random(f"{data.name} {seed}"), Form(self.form, data.labels)
        task = max(self.llm.count_tokens(form.prompt([], text)) for text, _ in data.test)
        joint = self.llm.tokenizer.count("\n\n")
        room = self.window - form.longest - task - joint

        def size(shot: Shot) -> int:
            return self.llm.tokenizer.count(written(*shot)) + joint

        windows = windows_of(balanced(data.train, rng), self.count, room, self.most, size)
        return windows, rng.sample(list(data.test), min(self.items, len(data.test)))

    def reply(self, method: str, windows: Sequence[Sequence[Shot]], text: str, form: Form) -> str:
        """The label that a method gives an item."""
        sampling = Sampling(max_new_tokens=form.longest, constraint=Constraint(choices=form.replies))
        if method == "one":
            return self.llm.generate([form.prompt(windows, text)], sampling)[0].text
        if method == "pcw":
            return self.llm.decode_parallel(form.prompt(windows, text), sampling).text
        alone = [form.prompt([window], text) for window in windows]
        if method == "ensemble":
            return self.llm.decode_windows(alone, ProductOfExperts(), sampling).text
        return self.llm.decode_windows([form.prompt([], text), *alone], NBCE(), sampling).text

    def measure(self, data: Set, method: str, count: int) -> dict[str, Any]:
        """One record."""
        form = Form(self.form, data.labels)
        right: list[str] = []
        covered: list[float] = []
        shots: list[int] = []
        began = time.perf_counter()
        for seed in self.seeds:
            windows, items = self.drawn(data, seed)
            shown = {label for window in windows[:count] for _, label in window}
            given = [self.reply(method, windows[:count], text, form).strip() for text, _ in items]
            right.append("".join(str(int(reply == label)) for reply, (_, label) in zip(given, items, strict=True)))
            covered += [float(label in shown) for _, label in items]
            shots += [len(window) for window in windows[:count]]
        seconds = time.perf_counter() - began
        return {
            "accuracy": percent([float(bit) for bits in right for bit in bits]),
            "covered": round(100 * mean(covered), 1),
            "shots": round(mean(shots), 1),
            "seconds_per_item": round(seconds / sum(map(len, right)), 4),
            "right": right,
        }


Records = Mapping[tuple[str, str, int], dict[str, Any]]


def hits(record: Mapping[str, Any]) -> list[float]:
    """100 for every item that was right, else 0."""
    return [100 * float(bit) for bits in record["right"] for bit in bits]


def against(records: Records, one: tuple[str, str, int], other: tuple[str, str, int]) -> list[float]:
    """Item by item, the points by which the first is ahead of the second."""
    return [a - b for a, b in zip(hits(records[one]), hits(records[other]), strict=True)]


def said(values: Sequence[float], bounds: tuple[float, float]) -> str:
    """A mean with its interval."""
    return f"{mean(values):+.1f} ({bounds[0]:+.1f} to {bounds[1]:+.1f})"


def verdict(low: float, high: float) -> str:
    """What an interval of differences says of the claim that the true one is above 0."""
    return "holds" if low > 0 else "does not hold" if high < 0 else "undecided"


def findings(records: Records, classes: Mapping[str, int]) -> Iterator[str]:
    """Whether what the papers say holds, a line each, over the sets where the model is above chance at all.

    Args:
        records: by set, method and windows.
        classes: of each set.
    """
    counts = sorted({count for _, _, count in records if count > 1})
    sets = []
    for name in sorted(classes, key=lambda name: classes[name]):
        chance = 100 / classes[name]
        if any(interval(hits(record))[0] > chance for place, record in records.items() if place[0] == name):
            sets.append(name)
        else:
            yield f"{name}: no method is above chance ({chance:.1f} %), so it says nothing of the methods"
    if not sets:
        return
    for method in METHODS:
        gains = {name: against(records, (name, method, counts[-1]), (name, "one", 1)) for name in sets}
        told = ", ".join(f"{name} {said(values, interval(values))}" for name, values in gains.items())
        yield f"{method}, {counts[-1]} windows over one: {told}"
        if len(sets) == 1:
            continue
        few, many = gains[sets[0]], gains[sets[-1]]
        low, high = apart(many, few)
        more = f"{mean(many) - mean(few):+.1f} ({low:+.1f} to {high:+.1f})"
        yield f"  gains grow with the number of classes: {verdict(low, high)}; {sets[-1]} over {sets[0]} by {more}"
    for method in ("ensemble", "nbce"):
        rows = [[against(records, (name, method, n), (name, "pcw", n)) for n in counts] for name in sets]
        values = [mean(item) for row in rows for item in zip(*row, strict=True)]
        cells = [cell for row in rows for cell in row]
        low, high = interval(values)
        ahead = sum(interval(cell)[0] > 0 for cell in cells)
        behind = sum(interval(cell)[1] < 0 for cell in cells)
        if method == "ensemble":
            equal = "holds" if low >= -EQUAL and high <= EQUAL else "undecided" if low <= 0 <= high else "does not hold"
            claim = f"the ensemble is about as good as pcw: {equal}"
        else:
            claim = f"nbce is often better than pcw: {verdict(low, high)}"
        yield f"{claim}; by {said(values, (low, high))}, ahead in {ahead} and behind in {behind} of {len(cells)} cells"


def apart(one: Sequence[float], other: Sequence[float], draws: int = 1000) -> tuple[float, float]:
    """The 95 % interval of the difference of two means over different items, by bootstrap."""
    rng = random.Random(0)
    found = sorted(mean(rng.choices(one, k=len(one))) - mean(rng.choices(other, k=len(other))) for _ in range(draws))
    return found[int(0.025 * draws)], found[int(0.975 * draws)]


def weights_of(folder: Path) -> str:
    """Twelve digits that name the weights of a model folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


@click.command()
@click.option("--model", type=click.Path(path_type=Path, exists=True), required=True, help="A folder of transformers.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Records, one JSON object a line.")
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option("--set", "names", multiple=True, default=("trec", "banking77", "clinc150"), show_default=True)
@click.option("--windows", "counts", multiple=True, type=click.IntRange(2), default=(2, 4, 8), show_default=True)
@click.option("--items", type=click.IntRange(1), default=250, show_default=True, help="Test items for each seed.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Draws of shots and items.")
@click.option("--shots", type=click.IntRange(1), default=1000, help="Of a window at most; by default it is filled.")
@click.option("--window", type=click.IntRange(64), help="Tokens of a window; by default the model's.")
@click.option("--form", type=click.Choice(["shots", "task"]), default="shots", show_default=True)
@click.option("--dtype", default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1))
def main(
    model: Path,
    out: Path,
    data: Path,
    names: tuple[str, ...],
    counts: tuple[int, ...],
    items: int,
    seeds: int,
    shots: int,
    window: int | None,
    form: str,
    dtype: str,
    threads: int | None,
) -> None:
    """Measure what is missing, and print the table and the findings."""
    llm = TransformersLLM(str(model), dtype=dtype, threads=threads)
    length = min(window or llm.context_window, llm.context_window)
    bench = Bench(llm, form, items, range(seeds), shots, length, max(counts))
    setting = {
        "weights": weights_of(model),
        "form": form,
        "items": items,
        "seeds": seeds,
        "most": shots,
        "window": length,
    }
    setting |= {"windows_drawn": max(counts)}
    sets = [read(data / "eval" / "icl", name) for name in names]
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    known = [record for record in map(json.loads, lines) if record.items() >= setting.items()]
    records = {(record["set"], record["method"], record["windows"]): record for record in known}
    for chosen in sets:
        for method, count in [("one", 1), *((method, count) for count in counts for method in METHODS)]:
            key = chosen.name, method, count
            if key not in records:
                place = {"set": chosen.name, "method": method, "windows": count, "classes": len(chosen.labels)}
                records[key] = {**place, **bench.measure(chosen, method, count), **setting, **machine()}
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(records[key]) + "\n")
            click.echo(row(records[key]))
    classes = {chosen.name: len(chosen.labels) for chosen in sets}
    for line in findings(records, classes):
        click.echo(line)


def row(record: Mapping[str, Any]) -> str:
    """A line of the table."""
    told = record["accuracy"]
    place = f"{record['set']:<10}{record['classes']:>4} classes {record['method']:<9}"
    place += f"{record['windows']} x {record['shots']:>5} shots"
    accuracy = f"{told['mean']:>6.1f} % ({told['low']:.1f} to {told['high']:.1f})"
    return f"{place}{accuracy}; class shown {record['covered']:.0f} %; {1000 * record['seconds_per_item']:.0f} ms"


if __name__ == "__main__":
    main()
