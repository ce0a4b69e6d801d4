"""Training of the tagger: its texts, how they are altered, its losses against slow ones, and that a stopped run goes on."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_tagger import small

from ctxproc.llm.delta import read_model, write_model
from ctxproc.llm.tagger_model import KINDS, LONGEST, Batch, unpacked
from ctxproc.llm.tagger_words import Splitter
from ctxproc.llm.trunk import trunk_folder
from training.loop import Plan, Trainer, passes, train
from training.tagger import fresh_model, loss_of, name_words, pair_loss, span_loss
from training.tagger_batches import Row, altered, batches, renamed, rows
from training.tagger_chat import chats, lower
from training.tagger_data import BOOK_KINDS, Record, book_kind, half, litbank, load, nouns, redocred, spaced, write
from training.tagger_export import best_bar, level, likelihood, margin_of, packed
from training.tagger_measure import f1, mention_counts
from training.tagger_relations import PHRASES
from training.tagger_test import paired

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the data folder is not beside the project")

TEXT = "Anna Silva met Bob in Lyon. Bob stayed with her aunt."
MENTIONS = [(0, 10, 0), (15, 18, 0), (22, 26, 1), (28, 31, 0), (44, 52, 6)]


def record(source: str = "made") -> Record:
    return Record(
        TEXT, source, MENTIONS, things=[[0], [1, 3], [2]], relations=[(0, 2, 1), (1, 2, 0)], nouns=nouns(TEXT)
    )


@pytest.fixture(scope="module")
def splitter() -> Splitter:
    return Splitter(trunk_folder())


def test_halves_are_by_number_from_nought() -> None:
    assert [half(number) for number in (0, 1, 2, 17, 18, 20, 38)] == [
        *("train", "test", "train", "test", "dev", "train", "dev")
    ]


@pytest.mark.parametrize(
    ("mention", "kind", "expected"),
    [
        ("the old house", "place", "a place"),
        ("Mr. Darcy", "person", "person"),
        ("My father", "person", "a person"),
        ("the Duke of York", "person", "person"),
        ("the king of France", "person", "a person"),
        ("the Pequod", "vehicle", "other"),
        ("a ship", "vehicle", "a vehicle"),
        ("the army", "organisation", "an organisation"),
    ],
)
def test_a_mention_of_a_book_is_a_name_where_its_main_word_has_a_capital(
    mention: str, kind: str, expected: str
) -> None:
    assert KINDS[book_kind(mention, kind)] == expected


def test_tokens_get_their_places_in_running_text() -> None:
    text, spans = spaced(["Eve", "'s", "aunt", "(", "born", "1990", ")", ",", "left", "."])
    assert text == "Eve's aunt (born 1990), left." and text[slice(*spans[5])] == "1990" and spans[1] == (3, 5)


@needs_data
def test_annotated_documents_have_their_mentions_where_they_say() -> None:
    documents = redocred(DATA, "dev")
    assert len(documents) == 25 and len(redocred(DATA, "train")) == 225 and len(redocred(DATA, "test")) == 250
    raw = json.loads((DATA / "eval/redocred/dev_revised.json").read_text(encoding="utf-8"))[18]
    names = {mention["name"].replace(" ", "") for thing in raw["vertexSet"] for mention in thing}
    said = {documents[0].text[a:b].replace(" ", "") for a, b, _ in documents[0].mentions}
    assert len(said & names) >= 0.95 * len(names) and len(documents[0].things) == len(raw["vertexSet"])
    assert len(documents[0].relations) == sum(label["r"] in PHRASES for label in raw["labels"])
    books = litbank(DATA, "dev")
    assert len(books) == 5 and len(litbank(DATA, "train")) == 45
    for piece in (piece for book in books for piece in book):
        assert piece.mentions and set(piece.known) == set(BOOK_KINDS)
        assert all(one == one.strip() and one for one in (piece.text[a:b] for a, b, _ in piece.mentions))


def test_chats_mark_what_was_put_in() -> None:
    pools = {name: [f"{name.upper()} Q"] * 2 for name in ("person", "place", "organisation", "time", "number", "other")}
    for text, mentions in chats(pools, 60, random.Random(1)):
        for start, end, kind in mentions:
            said = text[start:end]
            if kind < 6:
                assert said.lower() == f"{KINDS[kind]} q"
            else:
                assert said.lower().split()[0] in "my the our a his her some their everyone".split()


def test_words_get_what_is_known_of_their_characters(splitter: Splitter) -> None:
    [row] = rows([record()], splitter)
    said = {TEXT[row.words.spans[a][0] : row.words.spans[b][1]]: kind for a, b, kind in row.mentions}
    assert said == {"Anna Silva": 0, "Bob": 0, "Lyon": 1, "her aunt": 6}
    assert [thing.kind for thing in row.things] == [0, 0, 1] and len(row.things[1].spans) == 2
    assert row.related == [(0, 2, 1), (1, 2, 0)]
    assert [TEXT[slice(*row.words.spans[word])] for word in row.nouns] == [
        "Anna",
        "Silva",
        "Bob",
        "Lyon",
        "Bob",
        "aunt",
    ]


def test_new_names_stand_where_the_old_ones_did(splitter: Splitter) -> None:
    new = renamed(record(), ["Konstantin"], random.Random(0))
    assert new.text == TEXT.replace("Anna Silva", "Konstantin Konstantin").replace("Bob", "Konstantin")
    said = [new.text[a:b] for a, b, _ in new.mentions]
    assert said == ["Konstantin Konstantin", "Konstantin", "Lyon", "Konstantin", "her aunt"]
    assert [new.text[a:b] for a, b in new.nouns][-2:] == ["Konstantin", "aunt"]
    assert rows([new], splitter)[0].related == [(0, 2, 1), (1, 2, 0)]


def test_small_letters_keep_every_place() -> None:
    text = "İSTANBUL, ǅ, ẞ and Anna"
    assert len(lower(text)) == len(text) and lower(text).endswith("anna")
    drawn = {altered(record(), ["Ida"], random.Random(seed)).text.islower() for seed in range(40)}
    assert drawn == {True, False}


def test_a_pass_has_every_text_once_and_the_same_in_every_run(splitter: Splitter) -> None:
    records = [replace(record(), text=f"{TEXT} {'so ' * k}") for k in range(30)]
    make = partial(batches, records, ["Ida"], splitter, budget=200, weights={})
    one, again = ([[row.words.ids for row in batch] for batch in make(seed=4)] for _ in range(2))
    assert one == again and sum(map(len, one)) == 30
    assert all(len(batch) == 1 or len(batch) * max(map(len, batch)) <= 200 for batch in one)


def test_the_loss_of_spans_is_that_of_the_formula(splitter: Splitter) -> None:
    row = replace(rows([record()], splitter)[0], record=replace(record(), known=[0, 1, 6]))
    words = len(row.words)
    torch.manual_seed(0)
    scores = torch.full((1, len(KINDS), words, LONGEST), -1e4)
    for a in range(words):
        scores[0, :, a, : words - a] = torch.randn(len(KINDS), min(LONGEST, words - a))
    expected = 0.0
    for kind in range(len(KINDS)):
        gold = {(a, b - a) for a, b, other in row.mentions if other == kind}
        cells = [(a, d) for a in range(words) for d in range(min(LONGEST, words - a))]
        if kind in (0, 1, 6):
            expected += math.log(1 + sum(math.exp(scores[0, kind, a, d]) for a, d in cells if (a, d) not in gold))
        expected += math.log(1 + sum(math.exp(-scores[0, kind, a, d]) for a, d in gold))
    assert math.isclose(float(span_loss(scores, [row])), expected, rel_tol=1e-4)


def test_the_loss_of_pairs_is_that_of_adaptive_thresholds(splitter: Splitter) -> None:
    model, [row] = small(1), rows([record()], splitter)
    made = Batch.of([row.words])
    with torch.no_grad():
        read = model.read(made)
        scores, loss = model.related(read, 0, made, row.things), pair_loss(model, read, 0, made, row)
    total = 0.0
    for head in range(3):
        for tail in range(3):
            right = [r + 1 for h, t, r in row.related if (h, t) == (head, tail)]
            if head == tail:
                continue
            values = scores[head, tail].tolist()
            others = [k for k in range(4) if k not in right]
            for one in right:
                total -= values[one] - math.log(sum(math.exp(values[k]) for k in [0, *right]))
            total -= values[0] - math.log(sum(math.exp(values[k]) for k in others))
    assert math.isclose(float(loss), total / 6, rel_tol=1e-4)


def test_a_stopped_run_goes_on_as_if_it_had_not_been(splitter: Splitter, tmp_path: Path) -> None:
    records = [record(), replace(record(), text=TEXT.replace("Lyon", "Oslo"))] * 4

    def make(seed: int) -> list[list[Row]]:
        return list(batches(records, ["Ida", "Karl"], splitter, budget=40, weights={}, seed=seed))

    stream = passes(make, 1)
    plan = Plan(steps=6, rates={"": 1e-3}, half=("trunk", "layers"), every=3)
    whole = train(Trainer(small(), plan), stream, loss_of, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        stopped = iter(range(5))

        def stopping(model: object, batch: list[Row]) -> torch.Tensor:
            if next(stopped) == 4:
                raise KeyboardInterrupt
            return loss_of(model, batch)  # type: ignore[arg-type]

        train(Trainer(small(), plan), stream, stopping, tmp_path / "stopped")
    again = train(Trainer(small(), plan), stream, loss_of, tmp_path / "stopped")
    one, other = load_file(whole), load_file(again)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_own_layers_come_back_as_they_were_but_for_eight_bits(tmp_path: Path) -> None:
    model = fresh_model(4, 2)
    with torch.no_grad():
        model.layers[1].up.weight += 0.01 * torch.randn_like(model.layers[1].up.weight)  # type: ignore[union-attr,operator]
    write_model("tagger", packed(model, 4), {"licence": "x"}, folder=tmp_path)
    _, tensors = read_model("tagger", tmp_path)
    found = unpacked(tensors, 4, 2)
    for name, value in model.state_dict().items():
        close = 5e-4 if name == "layers.1.up.weight" else 2e-3
        assert torch.allclose(found[name], value, atol=close), name


def test_bars_and_probabilities_by_hand() -> None:
    found = [(2.0, True), (1.5, True), (1.0, False), (0.4, True), (-1.0, False), (-2.0, False)]
    assert best_bar(found, 3) == -1.0 and margin_of(found) == 0.0
    assert margin_of([(0.5, False), (1.0, False), (2.5, True)]) == 1.0
    offset, slope = likelihood([(1.0, True), (1.0, True), (1.0, False), (-1.0, False), (-1.0, False), (-1.0, True)])
    assert abs(offset) < 1e-2 and math.isclose(1 / (1 + math.exp(-slope)), 2 / 3, abs_tol=1e-2)
    assert math.isclose(level(0.75), math.log(3), rel_tol=1e-9)


def test_counts_of_mentions_by_hand(splitter: Splitter) -> None:
    [row] = rows([replace(record(), known=[0, 1])], splitter)
    found = [(0, 1, 0), (3, 3, 1), (5, 5, 1), (9, 9, 6)]
    assert mention_counts(found, row, True) == (2, 3, 4) and mention_counts(found, row, False) == (3, 3, 4)
    assert f1([(2, 3, 4), (1, 1, 0)]) == 75.0
    assert paired({(0, 5, 1), (4, 9, 1)}, {(3, 6, 1), (20, 30, 1)}) == 1


def test_texts_are_kept_whole(tmp_path: Path) -> None:
    write(tmp_path / "one.jsonl", [record()])
    assert load(tmp_path / "one.jsonl") == [record()] and name_words([record()]) == ["Anna", "Bob", "Silva"]


def test_the_script_trains_in_seconds_on_a_few_texts(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", [record("redocred")] * 2)
    command = [sys.executable, "-m", "training.tagger", "--train", "rows.jsonl", "--dev", "rows.jsonl", "--save", "run"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    arguments = ["--shared", "5", "--own", "1", "--epochs", "1", "--every", "1"]
    subprocess.run([*command, *arguments], cwd=tmp_path, env=environment, check=True, timeout=300)
    lines = [json.loads(line) for line in (tmp_path / "run/curve.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 1 and {"step", "loss", "score", "redocred typed"} <= lines[0].keys()
    assert (tmp_path / "run/best.safetensors").exists()
