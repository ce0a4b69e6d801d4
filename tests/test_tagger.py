"""The built-in tagger: its network and its windows value by value against slow ones, and what it finds."""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertModel

from ctxproc.config import ConfigError
from ctxproc.errors import ModelError
from ctxproc.llm.delta import trunk_weights
from ctxproc.llm.shelf import WEIGHTS
from ctxproc.llm.tagger import (
    OVERLAP,
    ROOM,
    WINDOW,
    Calibration,
    Tagged,
    Tagger,
    windows,
)
from ctxproc.llm.tagger_choice import chosen, nearest
from ctxproc.llm.tagger_model import (
    BLOCK,
    IMPOSSIBLE,
    KINDS,
    LAYER,
    LONGEST,
    NAMES,
    PARTS,
    RANK,
    Batch,
    Layer,
    TaggerModel,
    Thing,
    distances,
    layer_name,
    turned,
)
from ctxproc.llm.tagger_words import Splitter, Words, shape
from ctxproc.llm.trunk import trunk_folder
from ctxproc.memory.criteria import criterion
from ctxproc.memory.extract.stems import stem
from ctxproc.memory.extract.tagger import said

NEWS = (
    "Angela Merkel was born in Hamburg, Germany, in 1954. She studied in Leipzig. In 2005 Merkel became the Chancellor of "
    "Germany. On 3 May 2011 she met Barack Obama in Washington."
)
TOWN = "Milford is a small town in Devon, England. It lies on the river Aske."
CHAT = "hi, my sister moved to berlin in 2019. anna works for google now"
NOVEL = "Elizabeth Bennet went to London with her aunt, and Mr. Darcy stayed in the house."


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger.load()


@pytest.fixture(scope="module")
def splitter() -> Splitter:
    return Splitter(trunk_folder())


def small(own: int = 1, seed: int = 0) -> TaggerModel:
    """A network of random weights with the trunk's vocabulary."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=30522, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    return TaggerModel(BertModel(config, add_pooling_layer=False), own, 3).eval()


def small_tagger(splitter: Splitter, least: float = 0.0) -> Tagger:
    calibration = Calibration((least,) * len(KINDS), 0.0, 1.0, 0.0, 0.0, 1.0)
    return Tagger(small(), splitter, ["a", "b", "c"], calibration)


def found(tagger: Tagger, text: str) -> dict[str, str]:
    return {text[one.start : one.end]: one.kind for one in tagger.tag([text])[0].mentions}


def test_names_times_and_places_of_an_article(tagger: Tagger) -> None:
    mentions = found(tagger, NEWS)
    wanted = {"Angela Merkel": "person", "Hamburg": "place", "Germany": "place", "Leipzig": "place"}
    assert wanted.items() <= mentions.items() and {"Merkel", "Barack Obama"} <= set(mentions)
    assert mentions["1954"] == mentions["2005"] == mentions["3 May 2011"] == "time"


def test_a_chat_in_lower_case_has_names_and_phrases(tagger: Tagger) -> None:
    mentions = found(tagger, CHAT)
    assert {"my sister": "a person", "berlin": "place", "2019": "time", "anna": "person"}.items() <= mentions.items()


def test_a_novel_has_people_by_name_and_by_phrase(tagger: Tagger) -> None:
    mentions = found(tagger, NOVEL)
    wanted = {"Elizabeth Bennet": "person", "London": "place", "Mr. Darcy": "person", "the house": "a place"}
    assert wanted.items() <= mentions.items() and mentions["her aunt"] == "a person"


def test_relations_hold_between_mentions_and_read_from_head_to_tail(tagger: Tagger) -> None:
    [tagged] = tagger.tag([TOWN])
    texts = [TOWN[one.start : one.end] for one in tagged.mentions]
    related = {(texts[one.head], one.name, texts[one.tail]) for one in tagged.relations}
    assert ("Milford", "is located in", "England") in related and ("England", "is located in", "Milford") not in related
    assert all(0 < one.score < 1 for one in (*tagged.mentions, *tagged.relations))


def test_concepts_are_single_words_without_function_words(tagger: Tagger) -> None:
    words = [NOVEL[a:b] for a, b in tagger.tag([NOVEL], relations=False)[0].concepts]
    assert {"Elizabeth", "Bennet", "London", "aunt", "Darcy", "house"} <= set(words)
    assert not {"went", "to", "with", "her", "and", "in", "the", "."} & set(words)


@pytest.mark.parametrize(
    "text",
    [
        "Zoë moved to Zürich and met José Núñez in São Paulo.",
        "Zoe\u0308 moved to Zu\u0308rich and met Jose\u0301 Nu\u0301n\u0303ez in Sa\u0303o Paulo.",
        "😀😀 Angela Merkel 👩‍👩‍👧 visited Paris 🇫🇷 in 2005 😀",
        "東京の話: Angela Merkel visited 東京 in 2005. 他们在北京。",
        "\r\n\tAngela Merkel\x00 visited\u200b Paris\u00a0in 2005\u2028and left.\ufeff",
        "İstanbul and ﬁne ǆ Angela Merkel visited Paris in 2005.",
    ],
)
def test_characters_are_those_of_the_text_as_given(tagger: Tagger, text: str) -> None:
    [tagged] = tagger.tag([text])
    said = [text[one.start : one.end] for one in tagged.mentions]
    for name in ("Zürich", "Zu\u0308rich", "Angela Merkel", "José Núñez", "Jose\u0301 Nu\u0301n\u0303ez"):
        assert name not in text or any(name in one for one in said)
    assert tagged.mentions and all(one == one.strip() and one for one in said)


def test_words_have_their_characters_and_spelling(splitter: Splitter) -> None:
    text = "Zoe\u0308's NATO 3rd McGill X. 東京😀 e\u0301e\u0301"
    [words] = splitter.split([text])
    assert [text[a:b] for a, b in words.spans] == [
        *("Zoe\u0308", "'", "s", "NATO", "3rd", "McGill", "X", ".", "東", "京", "😀", "e\u0301e\u0301")
    ]
    assert words.shapes == [12, 8, 1, 3, 7, 5, 4, 8, 19, 9, 8, 1]
    assert [shape(word, True) for word in ("a", "1", "!", "IBM")] == [11, 16, 18, 13]


def test_a_layer_is_the_trunks_own() -> None:
    torch.manual_seed(0)
    trunk = BertModel.from_pretrained(trunk_folder(), add_pooling_layer=False).eval()
    config, weights = trunk.config, trunk_weights()
    layer = Layer(config.hidden_size, config.num_attention_heads, config.intermediate_size)
    layer.load_state_dict(
        {
            f"{mine}.{part}": weights[layer_name(2, theirs, part).removeprefix("trunk.")]
            for mine, theirs in LAYER.items()
            for part in ("weight", "bias")
        }
    )
    ids = torch.randint(1000, 20_000, (1, 9))
    with torch.no_grad():
        states = trunk(input_ids=ids, output_hidden_states=True).hidden_states
        mine, attention = layer(states[2], torch.zeros(1, 1, 1, 9))
    assert torch.allclose(mine, states[3], atol=1e-5)
    assert torch.allclose(attention.sum(-1), torch.ones(1, config.num_attention_heads, 9), atol=1e-5)


def test_spans_score_as_the_formula_says_and_padding_changes_nothing(splitter: Splitter) -> None:
    model, items = small(2), splitter.split(["Anna met Bob in Lyon yesterday", "so what"])
    with torch.no_grad():
        batch = Batch.of(items)
        read = model.read(batch)
        scores = model.spans(read, batch.words)
        left, right = (turned(part) for part in model.pointer(read.words).chunk(2, -1))
        start, end = model.border(read.words).chunk(2, -1)
        alone = Batch.of(items[1:])
        assert torch.allclose(model.read(alone).words[0], read.words[1, :2], atol=1e-6)
    for row, item in enumerate(items):
        for a in range(batch.words.shape[1]):
            for further in range(LONGEST):
                b = a + further
                if b >= len(item):
                    assert (scores[row, :, a, further] == IMPOSSIBLE).all() or a >= len(item)
                    continue
                expected = left[row, a] @ right[row, b] / math.sqrt(RANK) + start[row, a] + end[row, b]
                assert torch.allclose(scores[row, :, a, further], expected, atol=1e-5)


def test_turned_vectors_agree_by_their_distance_alone() -> None:
    torch.manual_seed(1)
    one, other = torch.randn(8), torch.randn(8)
    first, second = (turned(vector.expand(1, 12, 8))[0] for vector in (one, other))
    assert torch.allclose(first[0] @ second[3], first[7] @ second[10], atol=1e-5)
    assert not torch.allclose(first[0] @ second[3], first[0] @ second[4], atol=1e-3)


def test_pairs_of_things_score_as_one_by_one(splitter: Splitter) -> None:
    model, [item] = small(2, seed=3), splitter.split(["Anna met Bob in Lyon and Anna left Bob there"])
    things = [Thing([(0, 0), (6, 6)], 0), Thing([(2, 2), (8, 8)], 0), Thing([(4, 4)], 1)]
    batch = Batch.of([item])
    with torch.no_grad():
        read = model.read(batch)
        scores = model.related(read, 0, batch, things)
        for i, one in enumerate(things):
            for j, other in enumerate(things):
                vectors, looks = [], []
                for thing in (one, other):
                    spans = [read.words[0, a] for a, _ in thing.spans]
                    vectors.append(torch.log(sum(torch.exp(span) for span in spans)) + model.kind.weight[thing.kind])  # type: ignore[call-overload]
                    rows = [read.attention[0, :, batch.first[0, a]] for a, _ in thing.spans]
                    looks.append(torch.stack(rows).mean(0))
                weights = (looks[0] * looks[1]).sum(0)
                context = (weights / (weights.sum() + 1e-5)) @ read.tokens[0]
                head = model.head(torch.cat([vectors[0], context])) + model.apart.weight[distances(things)[i, j]]
                tail = model.tail(torch.cat([vectors[1], context]))
                parts = [part.tanh().reshape(PARTS, BLOCK) for part in (head, tail)]
                products = torch.cat([torch.outer(a, b).flatten() for a, b in zip(*parts, strict=True)])
                assert torch.allclose(scores[i, j], model.pair(products), atol=1e-5)


def test_distances_grow_with_the_words_between_and_know_the_direction() -> None:
    things = [Thing([(first, first)], 0) for first in (0, 3, 40, 400)]
    assert distances(things).tolist() == [[0, 1, 3, 4], [6, 0, 3, 4], [8, 8, 0, 4], [9, 9, 9, 0]]


def slow_chosen(scores: torch.Tensor, least: float) -> list[tuple[int, int, int]]:
    """By trying spans from the best on."""
    spans = sorted(
        (
            (float(scores[k, a, d]), k, a, a + d)
            for k in range(len(KINDS))
            for a in range(scores.shape[1])
            for d in range(4)
        ),
        reverse=True,
    )
    kept: list[tuple[int, int, int]] = []
    for score, kind, a, b in spans:
        if score <= least:
            continue
        words, ok = set(range(a, b + 1)), True
        for c, d, other in kept:
            others = set(range(c, d + 1))
            if words & others:
                both_names = kind < len(NAMES) and other < len(NAMES)
                nested = words < others or others < words
                ok &= nested and not both_names
        if ok:
            kept.append((a, b, kind))
    return sorted(kept)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 7))
def test_of_spans_that_cannot_stand_together_the_best_stays(seed: int, size: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.full((len(KINDS), size, LONGEST), IMPOSSIBLE)
    for a in range(size):
        for further in range(min(4, size - a)):
            scores[:, a, further] = torch.randn(len(KINDS), generator=generator) - 1
    assert [one[:3] for one in chosen(scores, 0.0)] == slow_chosen(scores, 0.0)
    assert chosen(scores, torch.full((len(KINDS),), 0.5)) == chosen(scores, 0.5)


def words_of(sizes: list[int]) -> Words:
    """Words of so many tokens each."""
    first, last, at = [], [], 0
    for size in sizes:
        first.append(at)
        at += size
        last.append(at - 1)
    spans = [(3 * k, 3 * k + 2) for k in range(len(sizes))]
    return Words(list(range(at)), first, last, spans, [1] * len(sizes))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 3000))
def test_pieces_overlap_fit_and_answer_for_each_word_once(seed: int, count: int) -> None:
    words = words_of(random.Random(seed).choices((1, 1, 1, 2, 3, 100), (9, 9, 9, 4, 2, 1), k=count))
    cut = windows(words)
    assert [word for one in cut for word in range(one.low, one.high)] == list(range(count))
    for one in cut:
        piece = words.slice(one.start, one.end)
        assert one.start <= one.low < one.high <= one.end and len(piece.ids) <= (WINDOW if len(cut) > 1 else ROOM)
        assert piece.first[0] == 0 and piece.last[-1] == len(piece.ids) - 1
        assert piece.ids == words.ids[piece.ids[0] : piece.ids[-1] + 1]
    assert len(cut) == (count > 0) if len(words.ids) <= ROOM else len(cut) > 1


def test_a_short_text_is_read_alike_alone_and_among_others(tagger: Tagger) -> None:
    texts = [NEWS, CHAT, NOVEL, "", NEWS * 9]
    together = tagger.tag(texts)
    for text, one in zip(texts[:4], together, strict=False):
        alone = tagger.tag([text])[0]
        assert [m[:3] for m in alone.mentions] == [m[:3] for m in one.mentions] and alone.concepts == one.concepts
        assert all(
            math.isclose(a.score, b.score, abs_tol=1e-3) for a, b in zip(alone.mentions, one.mentions, strict=True)
        )


def test_what_lies_at_a_border_of_pieces_is_found_once(tagger: Tagger) -> None:
    text = "\n".join([NEWS] * 30)
    [tagged] = tagger.tag([text])
    said = [text[one.start : one.end] for one in tagged.mentions]
    assert len(windows(Splitter(trunk_folder()).split([text])[0])) > 2
    assert said.count("Angela Merkel") == said.count("Barack Obama") == said.count("Leipzig") == 30
    assert len({(one.start, one.end) for one in tagged.mentions}) == len(said)
    assert all(0 <= one.head < len(said) and 0 <= one.tail < len(said) for one in tagged.relations)


def test_the_nearest_mentions_stand_for_a_pair() -> None:
    assert nearest(Thing([(0, 1), (30, 30)], 0), Thing([(27, 28), (90, 91)], 1)) == ((30, 30), (27, 28))


@pytest.mark.parametrize("text", ["", " ", "\n\n", "...", "?!" * 300, "😀", "\u0301\u0301", "\x00\x01"])
def test_nothing_is_found_where_there_is_nothing(tagger: Tagger, text: str) -> None:
    assert tagger.tag([text]) == [Tagged([], [], [])] and tagger.tag([]) == []


@pytest.mark.parametrize("text", ["a", "ሰላም ለዓለም", "𒀀𒁀 𒂀", "مرحبا بالعالم", "สวัสดีชาวโลก", "a" * 400])
def test_any_script_gives_spans_of_the_text(tagger: Tagger, text: str) -> None:
    [tagged] = tagger.tag([text])
    assert all(0 <= one.start < one.end <= len(text) for one in tagged.mentions)


@pytest.mark.parametrize("part", ["a", "?", "Anna met Bob. "])
def test_a_million_characters_are_read(splitter: Splitter, part: str) -> None:
    text = (part * (1_000_000 // len(part) + 1))[:1_000_000]
    [tagged] = small_tagger(splitter, least=50.0).tag([text], batch_size=32)
    assert tagged.mentions == [] and all(set(text[a:b]) <= set(part) for a, b in tagged.concepts[:9])


def test_an_overlap_holds_a_mention_on_either_side() -> None:
    assert OVERLAP >= 2 * LONGEST


def test_damaged_files_are_named(tmp_path: Path) -> None:
    for name in ("tagger.json", "tagger.safetensors"):
        shutil.copy(WEIGHTS / name, tmp_path / name)
    facts = json.loads((tmp_path / "tagger.json").read_text(encoding="utf-8"))
    for wrong in (
        {**facts, "calibration": {}},
        {**facts, "calibration": {**facts["calibration"], "least": [0.0]}},
        {key: value for key, value in facts.items() if key != "relations"},
        {**facts, "relations": 3},
        {**facts, "own": facts["own"] + 1},
    ):
        (tmp_path / "tagger.json").write_text(json.dumps(wrong), encoding="utf-8")
        with pytest.raises(ModelError, match="tagger"):
            Tagger.load(weights=tmp_path)
    with pytest.raises(ModelError, match="tagger"):
        Tagger.load(weights=tmp_path / "none")


def test_concepts_of_sentences_know_what_is_part_of_a_name(tagger: Tagger) -> None:
    text = "Angela Merkel visited Paris. Her sister has two dogs."
    made = said(text, tagger.tag([text], relations=False)[0])
    assert [sentence.strip() for sentence, _ in made] == ["Angela Merkel visited Paris.", "Her sister has two dogs."]
    assert [(one.stem, one.proper) for one in made[0][1]] == [("angela", True), ("merkel", True), (stem("Paris"), True)]
    assert {"sister", "dog"} <= {one.stem for one in made[1][1]} and not any(one.proper for one in made[1][1])


def test_the_criterion_refuses_an_unknown_finder() -> None:
    with pytest.raises(ConfigError, match="concepts is one of rules, tagger, not 'magic'"):
        criterion("graph", concepts="magic")
