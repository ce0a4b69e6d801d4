r"""Train the tagger: own layers and heads on what is shared of the trunk, which stays as it is.

    python -m training.tagger --train build/tagger/train.jsonl --dev build/tagger/dev.jsonl --save build/tagger/run

The loss is the sum of three: of spans, for each kind that is known of a text the log of one plus the sum of e^score
over what is no mention and of e^-score over what is one (Su et al. 2022); of words that are concepts by the rules,
their cross-entropy; of pairs of annotated things, that of adaptive thresholding (Zhou et al. 2021). Stopped runs go on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import BertConfig, BertModel

from ctxproc.llm.tagger_model import LAYER, Batch, Layer, Read, TaggerModel
from ctxproc.llm.tagger_words import Splitter
from ctxproc.llm.trunk import trunk_folder
from training.loop import Plan, Trainer, passes, steps_of, train
from training.tagger_batches import Row, batches, rows
from training.tagger_data import Record, load, slots
from training.tagger_measure import figures
from training.tagger_relations import PHRASES

__all__ = ["fresh_model", "loss_of", "name_words"]

SHARED, OWN = 0, 6
"""Layers of the trunk that are used as they are, and of the tagger: see LOG.md for what was compared."""

WEIGHTS = {"redocred": 1.0, "litbank": 1.0, "chat": 0.4}
"""Share of a source's texts in a pass."""

RELATED = 0.5
"""Weight of the relations' loss."""

MOST = 28
"""Things of a text between which relations are trained: the first ones."""


def fresh_model(shared: int = SHARED, own: int = OWN) -> TaggerModel:
    """The trunk's first layers, frozen, and the tagger's own, which begin as the trunk's next or else last ones.

    Args:
        shared: layers of the trunk.
        own: further layers.
    """
    folder = trunk_folder()
    whole = BertModel.from_pretrained(folder, add_pooling_layer=False)
    config = BertConfig.from_pretrained(folder, num_hidden_layers=shared, attn_implementation="sdpa")
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    trunk = BertModel(config, add_pooling_layer=False)
    trunk.load_state_dict({name: value for name, value in whole.state_dict().items() if name in trunk.state_dict()})
    trunk.requires_grad_(False)
    model = TaggerModel(trunk, own, len(PHRASES))
    count = len(whole.encoder.layer)
    for number, layer in enumerate(model.layers):
        start_from(layer, whole, shared + number if shared + own <= count else count - own + number)  # type: ignore[arg-type]
    return model


def start_from(layer: Layer, trunk: BertModel, number: int) -> None:
    """Give a layer the weights of the trunk's layer of this number."""
    state = trunk.encoder.layer[number].state_dict()
    layer.load_state_dict(
        {f"{mine}.{part}": state[f"{theirs}.{part}"] for mine, theirs in LAYER.items() for part in ("weight", "bias")}
    )


def loss_of(model: TaggerModel, batch: list[Row]) -> Tensor:
    """Of a batch."""
    made = Batch.of([row.words for row in batch])
    read = model.read(made)
    loss = span_loss(model.spans(read, made.words), batch) + noun_loss(model.nouns(read), made.words, batch)
    pairs = [pair_loss(model, read, k, made, row) for k, row in enumerate(batch) if len(row.things) > 1]
    return loss + RELATED * torch.stack(pairs).mean() if pairs else loss


def span_loss(scores: Tensor, batch: Sequence[Row]) -> Tensor:
    """Mean over texts of the sum over known kinds."""
    gold, known = torch.zeros_like(scores, dtype=torch.bool), torch.zeros(scores.shape[:2], dtype=torch.bool)
    for k, row in enumerate(batch):
        known[k, row.record.known] = True
        if row.mentions:
            first, last, kinds = torch.tensor(row.mentions).T
            gold[k, kinds, first, last - first] = True
    nothing = torch.zeros(*scores.shape[:2], 1)
    wrong = torch.cat([nothing, scores.masked_fill(gold, -torch.inf).flatten(2)], -1).logsumexp(-1)
    missed = torch.cat([nothing, (-scores).masked_fill(~gold, -torch.inf).flatten(2)], -1).logsumexp(-1)
    return (wrong * known + missed).sum(1).mean()


def noun_loss(scores: Tensor, there: Tensor, batch: Sequence[Row]) -> Tensor:
    """Mean over words."""
    target = torch.zeros_like(scores)
    for k, row in enumerate(batch):
        target[k, row.nouns] = 1.0
    return binary_cross_entropy_with_logits(scores[there], target[there])


def pair_loss(model: TaggerModel, read: Read, k: int, made: Batch, row: Row) -> Tensor:
    """Mean over pairs: right relations above the threshold, the threshold above the others."""
    things = row.things[:MOST]
    scores = model.related(read, k, made, things)
    gold = torch.zeros_like(scores, dtype=torch.bool)
    for head, tail, relation in row.related:
        if head < len(things) and tail < len(things):
            gold[head, tail, relation + 1] = True
    apart = ~torch.eye(len(things), dtype=torch.bool)
    scores, gold = scores[apart], gold[apart]
    level = torch.zeros_like(gold)
    level[:, 0] = True
    above = scores.masked_fill(~(gold | level), -torch.inf).log_softmax(-1).masked_fill(~gold, 0.0).sum(-1)
    below = scores.masked_fill(gold, -torch.inf).log_softmax(-1)[:, 0]
    return -(above + below).mean()


def name_words(records: Sequence[Record]) -> list[str]:
    """The words with a capital of people's names in these texts, each once."""
    said = (word for name in slots(records)["person"] for word in name.split())
    return sorted(
        {word for word in said if word.isalpha() and word[0].isupper() and len(word) > 2 and word[1:].islower()}
    )


@click.command()
@click.option("--train", "train_file", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--dev", "dev_file", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--save", type=click.Path(path_type=Path), required=True)
@click.option("--shared", default=SHARED, show_default=True, help="Layers of the trunk that are used as they are.")
@click.option("--own", default=OWN, show_default=True, help="Layers above them.")
@click.option("--epochs", default=6.0, show_default=True)
@click.option("--rate", default=2e-4, show_default=True)
@click.option("--budget", default=1024, show_default=True, help="Tokens of a batch.")
@click.option("--every", default=150, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(
    train_file: Path,
    dev_file: Path,
    save: Path,
    shared: int,
    own: int,
    epochs: float,
    rate: float,
    budget: int,
    every: int,
    seed: int,
) -> None:
    """Train."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(seed)
    splitter = Splitter(trunk_folder())
    records, dev = load(train_file), rows(load(dev_file), splitter)
    people = name_words([record for record in records if record.source != "chat"])

    def make(number: int) -> list[list[Row]]:
        return list(batches(records, people, splitter, budget=budget, weights=WEIGHTS, seed=number))

    steps = steps_of(make, seed, epochs)
    model = fresh_model(shared, own)
    rates = {"trunk.": rate, "layers.": rate, "shape": 1e-3, "": 1e-3}
    plan = Plan(steps=steps, rates=rates, half=("trunk", "layers"), every=every, seed=seed, clip=5.0)
    train(Trainer(model, plan), passes(make, seed), loss_of, save, measure=partial(figures, dev=dev))


if __name__ == "__main__":
    main()
