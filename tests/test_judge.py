"""The built-in judge: its network and its bookkeeping value by value, and what it ranks first."""

from __future__ import annotations

import itertools
import math
import shutil
from pathlib import Path

import pytest
import torch
from judges import tiny_judge
from torch import Tensor

from ctxproc.errors import ModelError
from ctxproc.llm.judge import BLOCK, KEPT, OVERLAP, QUERY, WEIGHTS, Calibration, Judge, parts
from ctxproc.llm.judge_model import JudgeModel, Row, Rows, Words
from ctxproc.llm.trunk import trunk_folder

BRIDGE = (
    "The Halvern Bridge was opened to traffic on 4 June 1931. It was designed by the Danish engineer Karen Holt and "
    "crosses the river Aske at the town of Milford."
)
HOLT = "Karen Holt grew up in Odense, where her father kept a shop. She studied in Copenhagen and drew her plans there."
WEBB = (
    "Thomas Webb grew up in Leeds, where his mother taught music. He studied in London and wrote his first songs there."
)
WHALE = (
    "The blue whale is the largest animal known ever to have existed. Adults weigh up to 199 tonnes and feed almost "
    "exclusively on krill, small crustaceans that live in cold waters."
)
BREAD = (
    "To make the dough, mix the flour with warm water and leave it under a cloth. After an hour knead it again, shape "
    "it into loaves and bake them until the crust is brown."
)
BLOCKS = [BRIDGE, HOLT, WEBB, WHALE, BREAD]


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load()


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("when was the halvern bridge opened", BRIDGE),
        ("What do blue whales eat?", WHALE),
        ("how long should the dough rest before it is shaped", BREAD),
        ("where did thomas webb study", WEBB),
        ("the town in which Karen Holt was a child", HOLT),
    ],
)
def test_the_block_that_answers_comes_first(judge: Judge, query: str, wanted: str) -> None:
    found = judge.score(query, (), BLOCKS)
    assert max(range(len(BLOCKS)), key=lambda k: found[k]) == BLOCKS.index(wanted)
    assert all(0 <= value <= 1 for value in found)


def test_a_block_that_the_kept_one_leads_to_gains_by_it(judge: Judge) -> None:
    query = "In which city did the designer of the Halvern Bridge grow up?"
    alone, led = judge.score(query, (), [HOLT, WEBB]), judge.score(query, (BRIDGE,), [HOLT, WEBB])
    assert led[0] > led[1]
    assert odds(led[0]) - odds(led[1]) > odds(alone[0]) - odds(alone[1]) + 0.1


def odds(probability: float) -> float:
    """Log-odds."""
    return math.log(probability / (1 - probability))


def test_order_and_batches_do_not_change_the_scores(judge: Judge) -> None:
    whole = judge.score("what is it", (WHALE,), BLOCKS)
    assert judge.score("what is it", (WHALE,), BLOCKS[::-1], batch_size=2)[::-1] == pytest.approx(whole, abs=1e-5)
    for block, value in zip(BLOCKS, whole, strict=True):
        assert judge.score("what is it", (WHALE,), [block]) == pytest.approx([value], abs=1e-5)
    assert judge.score("what is it", (), []) == []


def test_half_precision_gives_nearly_the_same(judge: Judge) -> None:
    half = Judge.load(dtype=torch.bfloat16)
    query = "what do blue whales eat"
    assert half.score(query, (), BLOCKS) == pytest.approx(judge.score(query, (), BLOCKS), abs=0.03)


def slow(model: JudgeModel, row: Row) -> float:
    """The score of one row by its definition, token by token."""
    whole = [101 % 60, *row.query, 102 % 60, *([*row.kept, 102 % 60] if row.kept else []), *row.block, 102 % 60]
    types = [0] * (len(whole) - len(row.block) - 1) + [1] * (len(row.block) + 1)
    hidden = model.trunk(input_ids=torch.tensor([whole]), token_type_ids=torch.tensor([types])).last_hidden_state[0]
    query = [hidden[1 + k] for k in range(len(row.query))]
    block = [hidden[len(whole) - 1 - len(row.block) + k] for k in range(len(row.block))]

    def cosine(one: Tensor, other: Tensor) -> float:
        return float(one @ other / (one.norm() * other.norm()))

    means = [torch.stack(some).mean(0) for some in (query, block)]
    best = sum(max(cosine(q, b) for b in block) for q in query) / len(query)
    a, b = model.near.tolist()
    alone = float(hidden[0] @ model.whole.weight[0] + model.whole.bias[0]) + a * cosine(*means) + b * best
    if not row.kept:
        return alone
    c, e, d = model.lead.tolist()
    total = share = 0.0
    for kept in (hidden[2 + len(row.query) + k] for k in range(len(row.kept))):
        level = float(kept @ model.weigh.weight[0] + model.weigh.bias[0]) + e * max(cosine(kept, q) for q in query)
        weight = 1 / (1 + math.exp(-level))
        total += weight
        share += weight * max(cosine(kept, b) for b in block)
    return alone + c * share / total + d


def test_the_score_is_that_of_its_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctxproc.llm.judge_model.CLS", 101 % 60)
    monkeypatch.setattr("ctxproc.llm.judge_model.SEP", 102 % 60)
    model = tiny_judge()
    rows = [
        Row([5, 6, 7], [], [8, 9, 10, 11]),
        Row([5], [20, 21], [6, 8]),
        Row([12, 13], [22], [14, 15, 16, 17, 18, 19]),
    ]
    with torch.no_grad():
        found, expected = model(Rows.of(rows)).tolist(), [slow(model, row) for row in rows]
    assert found == pytest.approx(expected, abs=1e-4)
    assert len({round(value, 2) for value in found}) == 3


def test_texts_without_words_have_a_finite_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctxproc.llm.judge_model.CLS", 1)
    monkeypatch.setattr("ctxproc.llm.judge_model.SEP", 2)
    with torch.no_grad():
        found = tiny_judge()(Rows.of([Row([], [], []), Row([4], [], []), Row([], [7], [4])])).tolist()
    assert all(math.isfinite(value) for value in found)


@pytest.mark.parametrize("length", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK + OVERLAP, 2 * BLOCK, 5 * BLOCK + 7])
def test_parts_cover_a_block_and_overlap(length: int) -> None:
    block = list(range(length))
    cut = parts(block)
    assert sorted(set(itertools.chain.from_iterable(cut))) == block
    assert all(len(part) <= BLOCK for part in cut)
    for one, two in itertools.pairwise(cut):
        assert list(one[-OVERLAP:]) == list(two[:OVERLAP])
        assert len(two) > OVERLAP
    assert len(cut) == (1 if length <= BLOCK else 1 + math.ceil((length - BLOCK) / (BLOCK - OVERLAP)))


def test_the_best_part_of_a_long_block_counts(judge: Judge) -> None:
    query = "what do blue whales eat"
    long = " ".join([BREAD] * 8 + [WHALE] + [BREAD] * 8)
    pieces = parts(Words(trunk_folder()).ids([long])[0])
    assert len(pieces) == 3
    [found] = judge.score(query, (), [long])
    assert found > 10 * judge.score(query, (), [" ".join([BREAD] * 17)])[0]


def test_a_query_is_cut_and_kept_blocks_share_their_room(judge: Judge) -> None:
    query, tail = "whale " * QUERY, "bread " * 50
    assert judge.score(query + tail, (), BLOCKS) == pytest.approx(judge.score(query, (), BLOCKS), abs=1e-6)
    one, two = "whale " * (KEPT // 2), "bridge " * (KEPT // 2)
    longer = judge.score("what is it", (one + tail, two + tail), BLOCKS)
    assert longer == pytest.approx(judge.score("what is it", (one, two), BLOCKS), abs=1e-6)


@pytest.mark.parametrize(
    "text", ["", "a", "a" * 1_000_000, "ᚠᛇᚻ ꙮ 🜁", "鯨は何を食べますか", "?!.,;:—…", "\x00\ud7ff\n\t", " "]
)
def test_any_text_gets_a_probability(judge: Judge, text: str) -> None:
    found = [*judge.score(text, (), [BRIDGE]), *judge.score("what is it", (text,), [BRIDGE, text])]
    assert all(0 <= value <= 1 for value in found)


def test_forged_special_tokens_are_plain_text() -> None:
    ids = Words(trunk_folder()).ids(["[SEP] [CLS] [PAD] [MASK]"])[0]
    assert not {0, 101, 102, 103} & set(ids)


def test_the_calibration_is_a_logistic_function() -> None:
    calibration = Calibration(-1.0, 0.5)
    assert calibration.probability(2.0) == 0.5
    assert calibration.probability(4.0) == pytest.approx(1 / (1 + math.exp(-1)))
    assert calibration.probability(-1e9) == pytest.approx(0.0) and calibration.probability(1e9) == 1.0


def test_damaged_or_missing_weights_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="judge") as caught:
        Judge.load(weights=tmp_path)
    assert "\n" not in str(caught.value)
    for name in ("judge.json", "judge.safetensors"):
        shutil.copy(WEIGHTS / name, tmp_path)
    with (tmp_path / "judge.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01" if (tmp_path / "judge.safetensors").read_bytes()[-1:] != b"\x01" else b"\x02")
    with pytest.raises(ModelError, match="sha256") as caught:
        Judge.load(weights=tmp_path)
    assert "\n" not in str(caught.value)
