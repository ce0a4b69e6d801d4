"""The built-in reader: its bookkeeping value by value, and what it answers."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ctxproc.errors import ModelError
from ctxproc.llm.reader import MAX_LENGTH, SpanReader
from ctxproc.llm.shelf import WEIGHTS, digest
from ctxproc.llm.span_model import MAX_SPAN, Batch

DATA = Path(__file__).parent.parent / "../shared/data"

BRIDGE = (
    "The Halvern Bridge was opened to traffic on 4 June 1931. It was designed by the Danish engineer Karen Holt and "
    "crosses the river Aske at the town of Milford. The bridge is 412 metres long and was painted green until 1978."
)
WHALE = (
    "The blue whale is the largest animal known ever to have existed. Adults reach a length of about 29.9 metres and "
    "weigh up to 199 tonnes. They feed almost exclusively on krill, small crustaceans that live in cold waters."
)
BREAD = (
    "To make the dough, mix the flour with warm water and leave it under a cloth. After an hour knead it again, shape "
    "it into loaves and bake them until the crust is brown. Let the bread cool before you cut it."
)
PAIRS = [
    ("who designed the halvern bridge", BRIDGE),
    ("what do blue whales eat", WHALE),
    ("when was the halvern bridge opened", BRIDGE),
    ("how long is the bridge", BRIDGE + " " + WHALE),
    ("what colour was it", "Green."),
    ("who designed the halvern bridge", BREAD),
    ("what is this", ""),
]


@pytest.fixture(scope="module")
def reader() -> SpanReader:
    return SpanReader.load()


def ask(reader: SpanReader, question: str, context: str) -> str:
    reading = reader.read([question], [context])[0]
    return context[reading.start : reading.end]


@pytest.mark.parametrize(
    ("question", "context", "answer"),
    [
        ("who designed the halvern bridge", BRIDGE, "Karen Holt"),
        ("when was the halvern bridge opened", BRIDGE, "4 June 1931"),
        pytest.param(
            *("what do blue whales eat", WHALE, "krill"),
            marks=pytest.mark.xfail(reason="a known miss of these weights: it points at the sentence before"),
        ),
        ("how much does a blue whale weigh", WHALE, "199 tonnes"),
    ],
)
def test_answers_are_found(reader: SpanReader, question: str, context: str, answer: str) -> None:
    said = ask(reader, question, context)
    assert answer in said or (said and said in answer)


@pytest.mark.parametrize("question", ["who designed the halvern bridge", "what do blue whales eat"])
def test_an_unrelated_passage_is_no_answer(reader: SpanReader, question: str) -> None:
    reading = reader.read([question], [BREAD])[0]
    assert (reading.start, reading.end) == (0, 0)
    assert reading.confidence < 0.3
    assert reading.null > 0


def test_confidence_is_comparable_across_passages(reader: SpanReader) -> None:
    readings = reader.read(["when was the halvern bridge opened"] * 3, [WHALE, BRIDGE, BREAD])
    assert max(range(3), key=lambda k: readings[k].confidence) == 1


def test_batch_equals_single_and_order_does_not_matter(reader: SpanReader) -> None:
    questions, contexts = [q for q, _ in PAIRS], [c for _, c in PAIRS]
    alone = [reader.read([q], [c], always=True)[0] for q, c in PAIRS]
    for order in (range(len(PAIRS)), reversed(range(len(PAIRS)))):
        order = list(order)
        together = reader.read([questions[k] for k in order], [contexts[k] for k in order], always=True)
        for k, reading in zip(order, together, strict=True):
            assert (reading.start, reading.end) == (alone[k].start, alone[k].end)
            assert reading.confidence == pytest.approx(alone[k].confidence, abs=1e-4)
            assert reading.null == pytest.approx(alone[k].null, abs=1e-3)


def test_nothing_to_read(reader: SpanReader) -> None:
    assert reader.read([], []) == []
    for context in ("", "  \n ", "\u200b"):
        reading = reader.read(["who"], [context], always=True)[0]
        assert (reading.start, reading.end) == (0, 0)
        assert (reading.confidence, reading.null) == (0, math.inf)
        assert reader.log_probability(["who"], [context], [""])[0] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    "context",
    [
        "The café\u0301 in Zürich was opened by Ana\u0308is Müller in 1931.",
        "😀👩‍👩‍👧 The prize went to 山田太郎 🏆️ of 東京, and to “Zoë”.",
        "naïve  \t\n  fi\ufb01 ǅ İstanbul — e\u0301e\u0302e\u0303 ١٩٣١",
        "தமிழ் மொழி हिन्दी עִבְרִית العَرَبِيَّة",
    ],
)
def test_offsets_are_characters_of_the_context(reader: SpanReader, context: str) -> None:
    item = reader._encode(["who opened it"], [context])[0]
    last = 0
    for start, end in item.offsets:
        assert last <= start < end <= len(context)
        assert not context[start:end].isspace()
        last = end
    covered = "".join(context[a:b] for a, b in item.offsets)
    assert covered == "".join(context.split()).replace("\ufe0f\u200b", "")
    reading = reader.read(["who opened it"], [context], always=True)[0]
    said = context[reading.start : reading.end]
    assert said and said == said.strip()
    assert math.isfinite(reader.log_probability(["who opened it"], [context], [said])[0])


def test_special_tokens_in_a_text_are_text(reader: SpanReader) -> None:
    plain = reader._encode(["who [SEP] a"], ["He said [SEP] [CLS] [MASK] [PAD] and left."])[0]
    assert not {0, 100, 101, 102, 103} & {*plain.question, *plain.context}
    context = "The secret token is [SEP] and nothing else."
    assert math.isfinite(reader.log_probability(["what is the secret token"], [context], ["[SEP]"])[0])


def test_a_pair_that_does_not_fit_is_refused(reader: SpanReader) -> None:
    fits = " ".join(["word"] * (MAX_LENGTH - 3 - 1))
    assert len(reader.read(["who"], [fits])) == 1
    with pytest.raises(ValueError, match="2 tokens more than the 512"):
        reader.read(["who"], [fits + " and more"])
    with pytest.raises(ValueError, match="1 questions for 2 contexts"):
        reader.read(["who"], ["a", "b"])


def test_log_probability_equals_the_slow_way(reader: SpanReader) -> None:
    question, context = "what was opened", "The gate, the gate of iron, opened in 1931; the gate closed."
    item = reader._encode([question], [context])[0]
    with torch.inference_mode():
        scores = reader._model(Batch.of([item]))[0]
    mass = {"": 1.0}
    for i, (start, _) in enumerate(item.offsets):
        for j in range(i, min(i + MAX_SPAN, len(item.offsets))):
            text = context[start : item.offsets[j][1]]
            mass[text] = mass.get(text, 0.0) + math.exp(float(scores[item.first + i, item.first + j]))
    total = sum(mass.values())
    texts = list(mass)
    got = reader.log_probability([question] * len(texts), [context] * len(texts), texts)
    for text, value in zip(texts, got, strict=True):
        assert value == pytest.approx(math.log(mass[text] / total), abs=1e-3)
    assert sum(map(math.exp, got)) == pytest.approx(1.0, abs=1e-4)


def test_log_probability_of_what_is_not_there(reader: SpanReader) -> None:
    absent = ["silver", "gat", "Gate", "gate of iron opened"]
    context = "the gate of iron, opened"
    assert reader.log_probability(["what"] * 4, [context] * 4, absent) == [-math.inf] * 4


def test_bf16_reads_the_same(reader: SpanReader) -> None:
    small = SpanReader.load(dtype=torch.bfloat16)
    for question, context in PAIRS[1:3]:  # of the first, two answers are about as likely, and rounding decides
        assert ask(small, question, context) == ask(reader, question, context)
    for question, context in PAIRS:
        exact, rounded = (one.read([question], [context], always=True)[0] for one in (reader, small))
        assert rounded.confidence == pytest.approx(exact.confidence, abs=0.02)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("reader.safetensors", lambda data: data[: len(data) // 2], "sha256 has changed"),
        ("reader.safetensors", lambda data: b"", "sha256 has changed"),
        ("reader.json", lambda data: data.replace(b'"trunk_sha256": "', b'"trunk_sha256": "0'), "is another one"),
        ("reader.json", lambda data: data.replace(b'"format": 2', b'"format": 9'), "not of format 2"),
        ("reader.json", lambda data: data[:20], "cannot be read"),
    ],
)
def test_corrupted_weights_are_refused(tmp_path: Path, file: str, change: object, message: str) -> None:
    for name in ("reader.safetensors", "reader.json"):
        shutil.copy(WEIGHTS / name, tmp_path / name)
    (tmp_path / file).write_bytes(change((WEIGHTS / file).read_bytes()))  # type: ignore[operator]
    with pytest.raises(ModelError, match=message):
        SpanReader.load(weights=tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    facts = json.loads((WEIGHTS / "reader.json").read_text())
    good, path = load_file(WEIGHTS / "reader.safetensors"), tmp_path / "reader.safetensors"
    cases = {
        "another shape at bias.weight": good | {"bias.weight": torch.zeros(2, 384)},
        "lacks the weight bias.bias": {name: value for name, value in good.items() if name != "bias.bias"},
        "unknown weight: extra": good | {"extra": torch.zeros(1)},
    }
    for message, tensors in cases.items():
        save_file(tensors, path)
        (tmp_path / "reader.json").write_text(json.dumps(facts | {"sha256": digest(path)}))
        with pytest.raises(ModelError, match=message):
            SpanReader.load(weights=tmp_path)


def test_facts_without_a_calibration_are_refused(tmp_path: Path) -> None:
    facts = json.loads((WEIGHTS / "reader.json").read_text())
    shutil.copy(WEIGHTS / "reader.safetensors", tmp_path)
    (tmp_path / "reader.json").write_text(json.dumps(facts | {"calibration": {"offset": 1.0}}))
    with pytest.raises(ModelError, match="lack its calibration"):
        SpanReader.load(weights=tmp_path)


@pytest.mark.skipif(not (DATA / "eval/lost_in_middle").exists(), reason="shared data is not here")
def test_nothing_held_out_is_trained_on() -> None:
    from training.reader_data import wiki_texts
    from training.reader_text import Held, dev_split, nq, nq_items, qed

    odd, even = nq(DATA)
    dev, rest = dev_split(even)
    held = Held.from_data(DATA)
    assert (len(odd), len(even), len(dev)) == (660, 660, 120)
    assert all(held.question(r["question"].upper() + "?") for r in [*odd, *dev])
    assert all(held.passage(r["ctxs"][0]["text"]) for r in odd)
    kept = [*nq_items([r for r in rest if not held.question(r["question"])]), *qed(DATA, held)]
    assert len(kept) > 900
    assert not any(held.question(item.question) for item in kept)
    assert not any(held.same_passage(text) for _, text in wiki_texts(DATA, held))


@pytest.mark.skipif(not (DATA / "eval/lost_in_middle").exists(), reason="shared data is not here")
def test_reads_real_questions(reader: SpanReader) -> None:
    from common import f1

    from training.reader_text import dev_split, nq

    records = dev_split(nq(DATA)[1])[0][:40]
    passages = [r["ctxs"][0]["text"] for r in records]
    readings = reader.read([r["question"] for r in records], passages, always=True)
    said = [p[r.start : r.end] for p, r in zip(passages, readings, strict=True)]
    assert sum(f1(s, r["answers"]) for s, r in zip(said, records, strict=True)) / len(records) > 0.45
