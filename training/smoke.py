"""Every training on a few rows and a small network, in seconds: does the loss fall, does a stopped run go on exactly.

    python -m training.smoke

The rows are written here, so nothing is learnt that a user would want; losses, batches, optimizer and checkpoints are
those of the real trainings. The causal model's training, which has its own loop, is tried in tests/test_causal_training.py.
"""

from __future__ import annotations

import json
import logging
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from ctxproc.llm.trunk import trunk_folder
from training.loop import Plan, Trainer, passes, train

__all__ = ["SMALL", "Small", "run"]

log = logging.getLogger("training.smoke")
STEPS = 24
NAMES = "Ada Holt, Bram Vale, Cora Lind, Dean Marsh, Edda Frost, Finn Gray, Gwen Hale, Hugo Park".split(", ")
TOWNS = "Milford Odense Skarvik Lorne Ashby Torvik Wells Brede".split()


@dataclass(frozen=True)
class Small:
    """A training made small.

    Attributes:
        model: with random weights, the same ones each time.
        make: the batches of one pass, by seed.
        loss: of a batch.
        half: what works in bf16.
    """

    model: nn.Module
    make: Callable[[int], Iterable[Any]]
    loss: Callable[[Any, Any], Tensor]
    half: tuple[str, ...] = ("trunk",)


def tiny_trunk(layers: int = 1) -> BertModel:
    """The trunk's vocabulary on a small network, without dropout."""
    sizes = {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 4, "intermediate_size": 64}
    return BertModel(
        BertConfig(vocab_size=30522, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **sizes),
        add_pooling_layer=False,
    )


def stories() -> Iterator[tuple[str, str, str]]:
    """A name, a town, and a passage that says that the one was born in the other."""
    rng = random.Random(3)
    for name, town in zip(NAMES, rng.sample(TOWNS, len(TOWNS)), strict=True):
        yield name, town, f"The bridge was painted green in 1978. {name} was born in {town} and kept the lamp there."


def lines(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    """Write one record a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def reader(folder: Path) -> Small:
    """Where was someone born: each passage, and one that does not say it."""
    from ctxproc.llm.span_model import Encoder, SpanModel
    from training.reader import loss_of
    from training.reader_batches import batches, load_groups

    rows, told = [], list(stories())
    for number, (name, town, text) in enumerate(told):
        at = text.index(town)
        asked = {"question": f"where was {name} born", "kind": "made", "group": str(number)}
        rows.append({**asked, "context": text, "answers": [[at, at + len(town)]]})
        rows.append({**asked, "context": told[number - 1][2], "answers": []})
    groups = load_groups(lines(folder / "rows.jsonl", rows), Encoder(trunk_folder()), 384)
    return Small(
        SpanModel(tiny_trunk()), partial(batches, groups, 256), lambda model, batch: loss_of(model, batch, 0.5)
    )


def judge(folder: Path) -> Small:
    """Which block says where someone was born."""
    from ctxproc.llm.judge_model import JudgeModel, Words
    from training.judge import batches, load_groups, loss_of

    told = list(stories())
    rows = [
        {"query": f"where was {name} born", "kept": [], "block": text, "others": [told[k - 1][2], told[k - 2][2]]}
        for k, (name, _, text) in enumerate(told)
    ]
    file = lines(folder / "groups.jsonl", ({**row, "kind": "made"} for row in rows))
    groups = load_groups(file, Words(trunk_folder()))
    return Small(JudgeModel(tiny_trunk()), lambda seed: batches(groups, 512, seed), loss_of)


def tagger(_: Path) -> Small:
    """Which words name a person or a place, and who was born where."""
    from ctxproc.llm.tagger_model import KINDS, TaggerModel
    from ctxproc.llm.tagger_words import Splitter
    from training.tagger import loss_of
    from training.tagger_batches import batches
    from training.tagger_data import Record
    from training.tagger_relations import PHRASES

    records = []
    for name, town, text in stories():
        spans = [(text.index(one), text.index(one) + len(one)) for one in (name, town)]
        kinds = [KINDS.index("person"), KINDS.index("place")]
        mentions = [(*span, kind) for span, kind in zip(spans, kinds, strict=True)]
        records.append(Record(text, "redocred", mentions, things=[[0], [1]], relations=[(0, 1, 0)], nouns=spans[1:]))
    model = TaggerModel(tiny_trunk(), 1, len(PHRASES))
    make = partial(_tagged, batches, records, Splitter(trunk_folder()))
    return Small(model, make, loss_of, half=("trunk", "layers"))


def _tagged(batches: Callable[..., Iterable[Any]], records: list[Any], splitter: object, seed: int) -> Iterable[Any]:
    return batches(records, ["Karen", "Holger"], splitter, budget=128, weights={}, seed=seed)


def reader_zh(folder: Path) -> Small:
    """The same question in Chinese."""
    from ctxproc.llm.reader_zh_model import Shape
    from training.reader_zh import fresh_model, one_pass
    from training.reader_zh_data import Question, occurrences, write
    from training.reader_zh_rows import Collection, loss_of

    rng, passages, questions = random.Random(5), list[str](), list[Question]()
    letters = "的是一在于年月日人中国大学东西南北张王李书城市公司"
    for number in range(12):
        name, place, other = ("".join(rng.sample(letters, size)) for size in (2, 2, 24))
        passages.append(f"{other}。{name}生于{place}。{''.join(rng.sample(letters, 24))}。")
        questions.append(Question(f"{name}生于哪里？", number, occurrences(passages[-1], place, 0), []))
    write(folder, passages, {"train": questions, "dev": questions[:4], "held": []}, ["".join(letters) * 40])
    source = Collection(folder)
    shape = Shape(len(source.characters.entries), width=32, layers=1, heads=2, inner=32)
    make = partial(one_pass, source, source.questions("train"))
    return Small(fresh_model(source, shape), make, loss_of, half=("body",))


SMALL: dict[str, Callable[[Path], Small]] = {"reader": reader, "judge": judge, "tagger": tagger, "reader_zh": reader_zh}


def run(name: str, folder: Path, *, stop: int = STEPS, seed: int = 1) -> list[float]:
    """Train, or go on, until so many of the `STEPS` are done; gives the losses on the curve.

    Args:
        name: of `SMALL`.
        folder: of the checkpoints; the rows are written beside them.
        stop: as if the process had been ended after this step.
        seed: of weights and batches.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    small = SMALL[name](folder)
    plan = Plan(STEPS, rates={"": 5e-3}, half=small.half, every=4, seed=seed)
    stream = passes(small.make, seed)

    def stopped(step: int) -> Iterator[Any]:
        return islice(stream(step), max(0, stop - step))

    train(Trainer(small.model, plan), stopped, small.loss, folder)
    return [json.loads(line)["loss"] for line in (folder / "curve.jsonl").read_text(encoding="utf-8").splitlines()]


@click.command()
def main() -> None:
    """Run them all."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in SMALL:
        with tempfile.TemporaryDirectory() as folder:
            losses = run(name, Path(folder))
        log.info("%s: loss %.3f to %.3f", name, losses[0], losses[-1])


if __name__ == "__main__":
    main()
