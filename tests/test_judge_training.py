"""The judge's training: batches, loss and figures against their definitions, and a stopped run."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from judges import tiny_judge
from safetensors.torch import load_file

from ctxproc.llm.judge_model import Row, Rows, Words
from ctxproc.llm.trunk import trunk_folder
from training.judge import ALONE, LONGEST, Asked, batches, load_groups, loss_of, measure
from training.judge_data import Group, clean, inverse
from training.judge_export import calibrate, error_of
from training.judge_hops import bridged
from training.judge_near import Pool
from training.loop import Plan, Trainer, passes, train
from training.overlap import Overlap


@pytest.fixture(autouse=True)
def _few_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctxproc.llm.judge_model.CLS", 1)
    monkeypatch.setattr("ctxproc.llm.judge_model.SEP", 2)


def groups(count: int) -> list[Asked]:
    """Random groups of two to five rows."""
    rng = random.Random(count)

    def ids(most: int) -> list[int]:
        return [rng.randrange(3, 60) for _ in range(rng.randint(1, most))]

    made = []
    for number in range(count):
        query, kept = ids(5), ids(6) if number % 2 else []
        rows = tuple(Row(query, kept, ids(12)) for _ in range(rng.randint(2, 5)))
        made.append(Asked(rows, "even" if number % 2 else "odd"))
    return made


def test_a_pass_has_every_group_once_and_no_batch_over_its_budget() -> None:
    some = groups(60)
    cut = list(batches(some, 150, 7))
    assert Counter(id(group) for batch in cut for group in batch) == Counter(map(id, some))
    for batch in cut:
        tokens = sum(len(group.rows) for group in batch) * max(group.longest for group in batch)
        assert tokens <= 150 or len(batch) == 1
    again, other = (list(batches(some, 150, seed)) for seed in (7, 8))
    assert again == cut and other != cut


def test_the_loss_is_that_of_its_definition() -> None:
    model, some = tiny_judge(), groups(5)
    listed, alone = [], []
    with torch.no_grad():
        for group in some:
            scores = [float(model(Rows.of([row]))) for row in group.rows]
            listed.append(math.log(sum(map(math.exp, scores))) - scores[0])
            alone += [math.log1p(math.exp(-scores[0])), *(math.log1p(math.exp(score)) for score in scores[1:])]
        found = float(loss_of(model, some))
    assert found == pytest.approx(sum(listed) / len(listed) + ALONE * sum(alone) / len(alone), rel=1e-4)


def test_figures_are_reciprocal_ranks_by_kind() -> None:
    model, some = tiny_judge(), groups(12)
    ranks: dict[str, list[float]] = {"odd": [], "even": []}
    with torch.no_grad():
        for group in some:
            first, *others = (float(model(Rows.of([row]))) for row in group.rows)
            ranks[group.kind].append(1 / (1 + sum(score >= first for score in others)))
        found = measure(model, some)
    means = {kind: sum(values) / len(values) for kind, values in ranks.items()}
    assert {kind: found[kind] for kind in means} == pytest.approx(means)
    assert found["score"] == pytest.approx(sum(means.values()) / 2)


def test_a_stopped_run_ends_as_one_that_was_not_stopped(tmp_path: Path) -> None:
    some = groups(20)
    stream = passes(lambda seed: batches(some, 200, seed), 1)

    def run(folder: Path, most: int) -> dict[str, torch.Tensor]:
        def first(step: int) -> Iterator[list[Asked]]:
            return itertools.islice(stream(step), most)

        trainer = Trainer(tiny_judge(), Plan(steps=6, rates={"": 1e-3}, every=2))
        train(trainer, first, loss_of, folder)
        return load_file(folder / "last.safetensors")

    whole = run(tmp_path / "whole", 6)
    run(tmp_path / "stopped", 3)
    went_on = run(tmp_path / "stopped", 6)
    assert whole.keys() == went_on.keys()
    assert all(torch.equal(whole[name], went_on[name]) for name in whole)
    fresh = {name: value for name, value in tiny_judge().state_dict().items() if f"model.{name}" in whole}
    assert any(not torch.equal(value, whole[f"model.{name}"]) for name, value in fresh.items())


def test_groups_are_read_with_the_needed_block_first_and_cut(tmp_path: Path) -> None:
    record = {"query": "who " * 99, "kept": ["lamp", "sea"], "block": "the lamp", "others": ["b " * 500, *"cdefgh"]}
    (tmp_path / "some.jsonl").write_text(json.dumps({**record, "kind": "nq"}) + "\n")
    words = Words(trunk_folder())
    [group] = load_groups(tmp_path / "some.jsonl", words, most=4)
    who, lamp, b, c = (words.ids([text])[0] for text in ("who", "the lamp", "b", "c"))
    assert [list(row.block) for row in group.rows][:2] == [lamp, b * LONGEST["block"]]
    assert len(group.rows) == 4 and list(group.rows[2].block) == c
    assert all(list(row.query) == who * LONGEST["query"] for row in group.rows)
    assert list(group.rows[0].kept) == words.ids(["lamp sea"])[0]


def test_negatives_are_near_and_hold_no_answer() -> None:
    texts = ["the lamp is red", "the red lamp is old", "a lamp of brass", "rain on the sea", "ships and gulls"]
    found = Pool(texts).of("the red lamp", ["brass"], 2, [texts[0]], random.Random(0))
    assert len(found) == 2 and texts[0] not in found and texts[2] not in found
    assert texts[1] in Pool(texts).of("the old red lamp", [], 4, [texts[0]], random.Random(0))


def test_evaluation_text_goes_and_takes_its_group_with_it_where_it_is_needed() -> None:
    held = "one two three four five six seven eight nine ten eleven twelve"
    keep = Overlap.of({"held": [held]})
    fine = [Group("q", "the lamp is lit", ["rain on the sea", held], "a"), Group("q", held, ["rain"], "a")]
    kept = Group("q", "the lamp is lit", ["rain on the sea"], "b", (held,))
    found = list(clean([*fine, kept], keep))
    assert found == [Group("q", "the lamp is lit", ["rain on the sea"], "a")]


def test_a_query_from_plain_text_comes_from_one_sentence_of_its_block() -> None:
    sentences = [
        "The old lamp of Milford was lit by seven men every night.",
        "Rain fell over the grey harbour while ships waited for the tide.",
        "Nobody in the village remembered who had built the stone wall.",
    ]
    for seed in range(20):
        query, rest = inverse(" ".join(sentences), random.Random(seed)) or ("", "")
        shared = [sum(word.lower() in sentence.lower() for word in query.rstrip("?").split()) for sentence in sentences]
        source = sentences[shared.index(max(shared))]
        assert max(shared) >= 3
        assert rest in (" ".join(sentences), " ".join(s for s in sentences if s != source))


def test_a_bridging_question_does_not_name_what_the_two_passages_share() -> None:
    first = "Karen Holt built the long bridge at Milford in 1931 with forty men."
    second = "In her last years Karen Holt taught drawing at a school in Odense."
    made = [bridged(first, second, "Karen Holt", random.Random(seed)) for seed in range(20)]
    assert any(made)
    assert not any({"karen", "holt"} & set(query.lower().split()) for query in made)


def test_a_calibration_says_the_share_of_blocks_that_are_needed() -> None:
    found = [(2.0, True)] * 9 + [(2.0, False)] * 3 + [(-1.0, True)] * 2 + [(-1.0, False)] * 8
    made = calibrate(found)
    assert made.probability(2.0) == pytest.approx(3 / 4, abs=1e-4)
    assert made.probability(-1.0) == pytest.approx(1 / 5, abs=1e-4)
    assert error_of(made, found) == pytest.approx(0.0, abs=1e-4)
    other = [(2.0, True)] * 12 + [(-1.0, False)] * 4
    assert error_of(made, other) == pytest.approx((12 / 4 + 4 / 5) / 16, abs=1e-4)
