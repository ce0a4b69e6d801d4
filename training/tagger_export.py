r"""Turn a checkpoint of the tagger into the shipped weights: its own layers as differences to the trunk's, calibration.

    python -m training.tagger_export --checkpoint build/tagger/run/best.safetensors --dev build/tagger/dev.jsonl

On the development texts, for names and for phrases apart, the score above which a span is a mention is the one of the
best F1, and of relations, between mentions that were found, the lowest margin at which `PRECISION` of them are right. The
probabilities are logistic regressions on the scores.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click
import torch
from safetensors.torch import load_file
from torch import Tensor

from ctxproc.llm.delta import write_model
from ctxproc.llm.shelf import WEIGHTS
from ctxproc.llm.tagger import Calibration, Tagged, Tagger
from ctxproc.llm.tagger_model import KINDS, LAYER, NAMES, TaggerModel, layer_name
from ctxproc.llm.tagger_words import Splitter
from ctxproc.llm.trunk import trunk_folder
from training.calibration import logistic
from training.loop import load_weights
from training.tagger import OWN, SHARED, fresh_model
from training.tagger_data import Record, load
from training.tagger_relations import PHRASES

__all__ = ["calibrated", "packed", "related_rows"]

PRECISION = 0.7
RAW = Calibration((-3.0,) * len(KINDS), 0.0, 1.0, -3.0, 0.0, 1.0)
"""Lets through whatever may become a mention."""

Scored = list[tuple[float, bool]]
"""Scores of what was found, and whether it is right."""

log = logging.getLogger("training.tagger_export")


def packed(model: TaggerModel, shared: int) -> dict[str, Tensor]:
    """The weights by the names under which they are kept: own layers by their places in the trunk."""
    found = {name: value for name, value in model.state_dict().items() if not name.startswith("layers.")}
    for number, layer in enumerate(model.layers):
        state = layer.state_dict()
        for mine, theirs in LAYER.items():
            for part in ("weight", "bias"):
                found[layer_name(shared + number, theirs, part)] = state[f"{mine}.{part}"]
    return found


def calibrated(model: TaggerModel, dev: Sequence[Record]) -> Calibration:
    """Fit all of it."""
    texts = [record.text for record in dev]
    names, phrases = Scored(), Scored()
    raw = Tagger(model, Splitter(trunk_folder()), list(PHRASES.values()), RAW)
    for record, tagged in zip(dev, raw.tag(texts, relations=False), strict=True):
        gold = set(record.mentions)
        for one in tagged.mentions:
            kind = KINDS.index(one.kind)
            if kind in record.known:
                (names if kind < len(NAMES) else phrases).append((level(one.score), (one.start, one.end, kind) in gold))
    wanted = [sum(kind < len(NAMES) for record in dev for _, _, kind in record.mentions if kind in record.known)]
    wanted.append(sum(kind >= len(NAMES) for record in dev for _, _, kind in record.mentions))
    bars = [best_bar(some, count) for some, count in zip((names, phrases), wanted, strict=True)]
    least = tuple(bars[kind >= len(NAMES)] for kind in range(len(KINDS)))
    offset, slope = likelihood([*names, *phrases])
    found = replace(RAW, least=least)
    strict = Tagger(model, Splitter(trunk_folder()), list(PHRASES.values()), found)
    related: Scored = []
    documents = [record for record in dev if record.things]
    for record, tagged in zip(documents, strict.tag([one.text for one in documents]), strict=True):
        related += [(level(score), right) for _, score, right in related_rows(record, tagged)]
    relation_offset, relation_slope = likelihood(related)
    margin = margin_of(related)
    return Calibration(least, offset, slope, margin, relation_offset, relation_slope)


def related_rows(record: Record, tagged: Tagged) -> list[tuple[str, float, bool]]:
    """Of each relation that was found its phrase, its probability, and whether both mentions and it are annotated."""
    things = {record.mentions[k][:2]: number for number, some in enumerate(record.things) for k in some}
    phrases = list(PHRASES.values())
    gold = {(h, t, phrases[r]) for h, t, r in record.relations}
    rows, seen = [], set[tuple[object, object, str]]()
    for one in tagged.relations:
        head, tail = (tagged.mentions[place] for place in (one.head, one.tail))
        pair = [things.get((mention.start, mention.end)) for mention in (head, tail)]
        key = (pair[0] if pair[0] is not None else head, pair[1] if pair[1] is not None else tail, one.name)
        if key not in seen:
            seen.add(key)
            rows.append((one.name, one.score, key in gold))
    return rows


def best_bar(found: Scored, wanted: int) -> float:
    """The score, in quarters, above which F1 is best."""

    def f1(bar: float) -> float:
        kept = [right for score, right in found if score > bar]
        return 2 * sum(kept) / max(1, len(kept) + wanted)

    return max((quarter / 4 for quarter in range(-12, 13)), key=f1)


def margin_of(found: Scored) -> float:
    """The lowest margin, in quarters, from 0 on, at which `PRECISION` are right; else the one of the best precision."""

    def precision(bar: float) -> float:
        kept = [right for score, right in found if score > bar]
        return sum(kept) / len(kept) if kept else 0.0

    bars = [quarter / 4 for quarter in range(25)]
    return next((bar for bar in bars if precision(bar) >= PRECISION), max(bars, key=precision))


def likelihood(found: Scored) -> tuple[float, float]:
    """Offset and slope of the probability that what has a score is right."""
    if not found:
        return 0.0, 1.0
    scores, right = torch.tensor(found, dtype=torch.float64).unbind(1)
    offset, slope = logistic(torch.stack([torch.ones_like(scores), scores], 1), right, start=[0.0, 1.0])
    return round(offset, 4), round(slope, 4)


def level(probability: float) -> float:
    """The score of which a probability is the logistic function, which `RAW` gives."""
    return float(torch.logit(torch.tensor(probability, dtype=torch.float64), eps=1e-12))


@click.command()
@click.option("--checkpoint", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--dev", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--shared", default=SHARED, show_default=True)
@click.option("--own", default=OWN, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=WEIGHTS)
def main(checkpoint: Path, dev: Path, shared: int, own: int, out: Path) -> None:
    """Write tagger.safetensors and tagger.json."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    model = fresh_model(shared, own)
    load_weights(model, load_file(checkpoint))
    facts = {
        "licence": "Apache-2.0; trained on Re-DocRED (MIT) and LitBank (CC BY 4.0)",
        "shared": shared,
        "own": own,
        "relations": PHRASES,
        "calibration": asdict(calibrated(model, load(dev))),
    }
    write_model("tagger", packed(model, shared), facts, folder=out)
    log.info("%s", json.dumps(facts["calibration"]))


if __name__ == "__main__":
    main()
