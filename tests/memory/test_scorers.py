"""The scorers against slow oracles, and the formulas of their sources."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import transformers
from corpora import TODAY, Letters, corpus_of, passage, random_texts, remembered
from helpers import chunks_of
from models import cross_encoder

from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm.judge import built_in_judge
from ctxproc.memory.base import Passage
from ctxproc.memory.corpus import Corpus, scoring
from ctxproc.memory.criteria import Hit, Scorer, Searcher, catalogue, criterion
from ctxproc.text import words

SEEDS = range(10)
NAMES = ("forgetting", "rouge2", "cross_encoder")


def scorer(name: str, **values: object) -> Scorer:
    made = criterion(name, **values)
    assert isinstance(made, Scorer)
    return made


def hits_of(scores: Sequence[float]) -> list[Hit]:
    """A hit for each place, best first."""
    return sorted((Hit(i, score) for i, score in enumerate(scores)), key=lambda hit: -hit.score)


def drawn(seed: int, n: int = 12) -> list[Hit]:
    rng = random.Random(seed)
    return hits_of([rng.random() for _ in range(n)])


def by_factor(hits: Sequence[Hit], factor: Callable[[int], float]) -> list[tuple[int, float]]:
    """The hits, each score times its factor, best first, equals as they stood."""
    found = [(hit.index, hit.score * factor(hit.index)) for hit in hits]
    return sorted(found, key=lambda item: -item[1])


def assert_same(found: Sequence[Hit], expected: Sequence[tuple[int, float]]) -> None:
    assert [hit.index for hit in found] == [index for index, _ in expected]
    assert [hit.score for hit in found] == pytest.approx([score for _, score in expected], abs=1e-6)


# Time.


def aged(days: Sequence[float | None], recalls: Sequence[int], recalled: Sequence[float | None]) -> Corpus:
    """Notes of so many days ago; those without an age are chunks of documents, whose time is not known."""

    def one(i: int, age: float | None) -> Passage:
        last = recalled[i]
        told = TODAY - timedelta(days=1000.0 if age is None else age)  # a chunk's is when it was filed
        when = None if last is None else TODAY - timedelta(days=last)
        return passage(
            i, f"note {i}", told, kind="note" if age is not None else "chunk", recalls=recalls[i], recalled=when
        )

    return remembered([one(i, age) for i, age in enumerate(days)])


def memories(seed: int, n: int = 12) -> tuple[list[float | None], list[int], list[float | None]]:
    rng = random.Random(seed)
    days = [rng.choice([None, rng.uniform(-2, 90)]) for _ in range(n)]
    recalls = [rng.randint(0, 6) for _ in range(n)]
    return days, recalls, [rng.uniform(0, 20) if count else None for count in recalls]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("half_life", [0.5, 30.0])
def test_recency_halves_a_score_with_each_half_life(seed: int, half_life: float) -> None:
    days, recalls, recalled = memories(seed)
    found = scorer("recency", half_life_days=half_life).score(aged(days, recalls, recalled), "?", drawn(seed))
    assert_same(found, by_factor(drawn(seed), lambda i: 2.0 ** (-max(0.0, days[i] or 0.0) / half_life)))


@pytest.mark.parametrize("seed", SEEDS)
def test_proof_forgetting_is_the_papers_retention_with_strength_in_days(seed: int) -> None:
    days, recalls, recalled = memories(seed)

    def retention(i: int) -> float:
        since = recalled[i] if recalled[i] is not None else days[i]
        return math.exp(-max(0.0, since or 0.0) / (1 + recalls[i]))

    found = scorer("forgetting").score(aged(days, recalls, recalled), "?", drawn(seed))
    assert_same(found, by_factor(drawn(seed), retention))


def retained(days: float, recalls: int, **values: object) -> float:
    corpus = aged([1000.0], [recalls], [days])
    return scorer("forgetting", **values).score(corpus, "?", [Hit(0, 1.0)])[0].shares["forgetting"]


def test_proof_retention_grows_with_strength_falls_with_time_and_begins_at_1() -> None:
    for days, weaker in itertools.product((0.1, 1.0, 5.0, 30.0), range(6)):
        assert retained(days, weaker + 1) > retained(days, weaker) > retained(2 * days, weaker)
        assert retained(0.0, weaker) == 1
    assert [round(retained(5, s), 3) for s in (0, 1, 4)] == [0.007, 0.082, 0.368]  # not .368, .135, .007 of the code


def test_proof_a_recall_resets_the_time_and_what_was_recalled_outlives_its_equal() -> None:
    corpus = aged([40.0, 40.0], [0, 1], [None, 0.0])
    found = scorer("forgetting").score(corpus, "?", [Hit(0, 0.9), Hit(1, 0.2)])
    assert [hit.index for hit in found] == [1, 0] and found[0].score == 0.2
    assert found[1].score == pytest.approx(0.9 * math.exp(-40))


@pytest.mark.parametrize("half_life", [0.1, 30.0])
def test_forgetting_halves_what_was_never_recalled_after_a_half_life(half_life: float) -> None:
    for recalls in range(4):
        assert retained(half_life * (1 + recalls), recalls, half_life_days=half_life) == pytest.approx(0.5)


def test_what_has_no_time_and_what_lies_ahead_keeps_its_score() -> None:
    corpus = aged([None, -3.0], [0, 0], [None, None])
    for name in ("recency", "forgetting"):
        assert_same(scorer(name).score(corpus, "?", [Hit(0, 0.5), Hit(1, 0.4)]), [(0, 0.5), (1, 0.4)])


# Words.


@pytest.mark.parametrize("seed", SEEDS)
def test_rouge2_is_the_share_of_the_querys_pairs_counted_one_by_one(seed: int) -> None:
    texts = random_texts(seed, 12)
    query = " ".join(texts[3].split()[:5]) + " " + " ".join(texts[7].split()[:4])
    asked = list(itertools.pairwise(words(query, query=True)))

    def factor(i: int) -> float:
        left = list(itertools.pairwise(words(texts[i], query=True)))
        found = 0
        for pair in asked:
            if pair in left:
                left.remove(pair)
                found += 1
        return (1 + found / len(asked)) / 2

    found = scorer("rouge2").score(corpus_of(texts), query, drawn(seed))
    assert_same(found, by_factor(drawn(seed), factor))
    assert {hit.index: hit.shares["rouge2"] for hit in found}[3] > 0.7


def test_rouge2_leaves_the_order_where_no_pair_is_shared() -> None:
    found = scorer("rouge2").score(corpus_of(["a b", "c d"]), "x", [Hit(1, 0.9), Hit(0, 0.8)])
    assert_same(found, [(1, 0.45), (0, 0.4)])


@pytest.mark.parametrize("threshold", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_dedupe_leaves_out_what_resembles_a_better_one(seed: int, threshold: float) -> None:
    rng = random.Random(seed)
    texts = random_texts(seed, 8)
    for text in list(texts):
        own = text.split()
        own[rng.randrange(len(own))] = "other"
        texts += [" ".join(own), text.upper() + "!"]
    hits = drawn(seed, len(texts))
    kept: list[Hit] = []
    for hit in hits:
        pairs = set(itertools.pairwise(words(texts[hit.index])))
        others = [set(itertools.pairwise(words(texts[one.index]))) for one in kept]
        if not any(len(pairs & other) >= threshold * len(pairs | other) for other in others):
            kept.append(hit)
    assert scorer("dedupe", threshold=threshold).score(corpus_of(texts), "?", hits) == kept
    assert len(kept) < len(hits)


def test_dedupe_of_short_and_empty_texts() -> None:
    texts = ["yes", "Yes!", "no", "", "...", "yes no"]
    found = scorer("dedupe").score(corpus_of(texts), "?", hits_of([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]))
    assert [hit.index for hit in found] == [0, 2, 3, 5]


# Diversity and documents.


@pytest.mark.parametrize("balance", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_proof_mmr_takes_at_each_step_what_the_formula_says(seed: int, balance: float) -> None:
    texts = random_texts(seed, 12)
    hits = drawn(seed)
    low, high = hits[-1].score, hits[0].score
    vectors = [Letters().embed([text])[0].astype(float) for text in texts]
    taken: list[tuple[int, float]] = []
    left = list(hits)
    while left:
        values = []
        for hit in left:
            nearest = max((float(vectors[hit.index] @ vectors[i]) for i, _ in taken), default=0.0)
            relevance = (hit.score - low) / (high - low)
            values.append(balance * relevance - (1 - balance) * nearest + (1 - balance))
        best = max(range(len(left)), key=lambda i: round(values[i], 6))
        taken.append((left.pop(best).index, values[best]))
    found = scorer("mmr", balance=balance).score(corpus_of(texts), "?", hits)
    assert [hit.score for hit in found] == pytest.approx([score for _, score in taken], abs=1e-5)
    if balance:
        assert [hit.index for hit in found] == [index for index, _ in taken]
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    assert all(-1e-6 <= hit.score <= 1 for hit in found)


def test_proof_mmr_with_all_weight_on_relevance_is_the_ranking_itself_and_a_copy_comes_after_others() -> None:
    texts = ["abc abc", "abc abc", "xyz xyz", "abd"]
    hits = hits_of([0.9, 0.89, 0.5, 0.1])
    assert [hit.index for hit in scorer("mmr", balance=1).score(corpus_of(texts), "?", hits)] == [0, 1, 2, 3]
    assert [hit.index for hit in scorer("mmr", balance=0.5).score(corpus_of(texts), "?", hits)][:2] == [0, 2]
    assert scorer("mmr").score(corpus_of(texts), "?", []) == []


def test_neighbours_add_the_continuation_behind_each_hit_and_stop_at_the_end_of_a_document() -> None:
    one, two = chunks_of("a0. ", "a1. ", "a2. "), chunks_of("b0. ", "b1. ")
    corpus = Corpus([*one, *two], Letters())
    hits = [Hit(1, 0.9, {"bm25": 0.9}), Hit(4, 0.5), Hit(2, 0.4, {"bm25": 0.4})]
    found = scorer("neighbours").score(corpus, "?", hits)
    assert [(hit.index, hit.score) for hit in found] == [(1, 0.9), (2, 0.9), (4, 0.5)]
    assert found[1].shares == {"bm25": 0.4, "neighbours": 0.9} and found[0].shares == {"bm25": 0.9}
    wide = scorer("neighbours", after=2, before=1).score(corpus, "?", [Hit(1, 0.9), Hit(3, 0.5)])
    assert [(hit.index, hit.score) for hit in wide] == [(1, 0.9), (2, 0.9), (0, 0.9), (3, 0.5), (4, 0.5)]
    assert scorer("neighbours", after=0).score(corpus, "?", hits) == hits


def test_neighbours_are_not_what_only_happens_to_stand_beside_a_chunk() -> None:
    one, two = chunks_of("a0. ", "a1. ", "a2. "), chunks_of("b0. ", "b1. ")
    for chunks in ([one[0], one[2]], [one[0], two[1]], [one[2], one[0]]):
        assert scorer("neighbours").score(Corpus(chunks, Letters()), "?", [Hit(0, 0.9)]) == [Hit(0, 0.9)]


def test_proof_retro_neighbours_are_the_nearest_by_distance_each_with_its_continuation() -> None:
    texts = [f"{text} " for text in random_texts(2, 20)]
    corpus = Corpus(chunks_of(*texts), Letters())
    asked = Letters().embed(["abc ab"])[0]
    near = np.argsort([np.linalg.norm(Letters().embed([text])[0] - asked) for text in texts], kind="stable")[:2]
    found = corpus.select("abc ab", 4, search=["l2"], rescore=["neighbours"], depth=2)
    expected = list(dict.fromkeys(i for place in near.tolist() for i in (place, place + 1) if i < 20))
    assert [hit.index for hit in found][: len(expected)] == expected


def test_notes_have_no_neighbours() -> None:
    corpus = aged([1.0, 2.0, 3.0], [0] * 3, [None] * 3)
    hits = [Hit(1, 0.9)]
    assert scorer("neighbours", after=2, before=1).score(corpus, "?", hits) == hits


# Models.


def test_a_cross_encoder_weighs_each_pair_as_the_model_itself_does(tmp_path: Path) -> None:
    texts = ["the lamp is lit", "rain fell on the sea", "maren keeps the lamp"]
    query = "who keeps the lamp"
    cross_encoder(tmp_path, [*texts, query])
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    own = transformers.BertForSequenceClassification.from_pretrained(tmp_path).eval()

    def slow(i: int) -> float:
        with torch.no_grad():
            return float(own(**tokenizer(query, texts[i], return_tensors="pt")).logits.sigmoid())

    hits = hits_of([0.9, 0.8, 0.7])
    config = json.loads((tmp_path / "config.json").read_text())
    config["sentence_transformers"] = {"activation_fn": "torch.nn.modules.linear.Identity"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    made = scorer("cross_encoder", model=str(tmp_path))
    assert_same(made.score(corpus_of(texts), query, hits), by_factor(hits, slow))
    assert made.score(corpus_of(texts), query, []) == []
    assert len({round(slow(i), 4) for i in range(3)}) == 3


def test_without_a_model_the_built_in_judge_weighs() -> None:
    texts = ["rain fell on the sea and on the ships", "the lamp of Milford is kept by old Maren", "bread needs salt"]
    query = "who keeps the lamp of Milford"
    hits = hits_of([0.9, 0.8, 0.7])

    probabilities = built_in_judge().score(query, (), texts)

    def slow(i: int) -> float:
        return probabilities[i]

    found = scorer("cross_encoder", weight=1.0).score(corpus_of(texts), query, hits)
    assert_same(found, by_factor(hits, slow))
    assert found[0].index == 1
    usual = scorer("cross_encoder").score(corpus_of(texts), query, hits)
    assert_same(usual, by_factor(hits, lambda i: slow(i) ** 0.25))
    half = scorer("cross_encoder", weight=0.5).score(corpus_of(texts), query, hits)
    assert_same(half, by_factor(hits, lambda i: math.sqrt(slow(i))))
    unchanged = scorer("cross_encoder", weight=0.0).score(corpus_of(texts), query, hits)
    assert [hit.score for hit in unchanged] == [hit.score for hit in hits]
    with pytest.raises(ConfigError, match="weight is at least 0"):
        scorer("cross_encoder", weight=-1.0)


def test_a_cross_encoder_that_cannot_be_loaded_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for missing in ("/nowhere/at/all", str(tmp_path)):
        with pytest.raises(ModelError, match="cannot be loaded") as caught:
            scorer("cross_encoder", model=missing).score(corpus_of(["a"]), "a", [Hit(0, 1.0)])
        assert "\n" not in str(caught.value)


class Telling:
    """A `Reader` whose likelihoods are told beforehand: by text, of the question or of the draft."""

    def __init__(self, of_question: dict[str, float], of_draft: dict[str, float], drafted: str = "Maren") -> None:
        self.of_question, self.of_draft, self.drafted = of_question, of_draft, drafted
        self.asked: list[str] = []

    def check(self, question: bool) -> None:
        self.asked.append(f"check {question}")

    def draft(self, contexts: Sequence[str]) -> str:
        self.asked.append(f"draft {len(contexts)}")
        return self.drafted

    def likelihoods(self, contexts: Sequence[str], draft: str = "") -> list[float]:
        self.asked.append(f"score {draft}")
        known = self.of_draft if draft else self.of_question
        return [known[text] for text in contexts]


TEXTS = ["salt", "lamp", "rain", "maren"]
QUESTION = {"": -3.0, "salt": -3.2, "lamp": -0.1, "rain": -math.inf, "maren": math.nan}
DRAFT = {"": -2.0, "salt": -2.0, "lamp": -1.0, "rain": -4.0, "maren": -0.5}


def read(name: str, reader: Telling | None, hits: Sequence[Hit], **values: object) -> list[Hit]:
    return scorer(name, **values).score(corpus_of(TEXTS).read_by(reader), "who?", hits)


@pytest.mark.parametrize("words", ["question", "draft"])
def test_proof_likelihood_is_the_chance_that_the_chunk_and_not_nothing_gave_the_words(words: str) -> None:
    reader, hits = Telling(QUESTION, DRAFT), drawn(4, 4)
    known = QUESTION if words == "question" else DRAFT

    def factor(i: int) -> float:
        having, lacking = math.exp(known[TEXTS[i]]), math.exp(known[""])
        return 0.5 if math.isnan(having) else having / (having + lacking)

    assert_same(read("likelihood", reader, hits, words=words), by_factor(hits, factor))
    drafted = ["draft 4"] if words == "draft" else []
    assert reader.asked == [f"check {words == 'question'}", *drafted, "score Maren" if drafted else "score "]


@pytest.mark.parametrize("words", ["question", "draft"])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_proof_utility_is_realms_credit_with_a_null_document(words: str, temperature: float) -> None:
    hits = drawn(4, 4)
    known = QUESTION if words == "question" else DRAFT
    scores = [hit.score for hit in hits]
    prior = torch.tensor([*scores, sum(scores) / 4], dtype=torch.float64) / temperature
    prior.requires_grad_()
    log_p = [known[TEXTS[hit.index]] for hit in hits] + [known[""]]
    usable = torch.tensor([-1e9 if math.isnan(x) or math.isinf(x) else x for x in log_p], dtype=torch.float64)
    (usable + prior.log_softmax(-1)).logsumexp(-1).backward()  # type: ignore[no-untyped-call]
    assert prior.grad is not None
    given = prior.grad[:-1].tolist()
    expected = sorted(((hit.index, max(0.0, r)) for hit, r in zip(hits, given, strict=True)), key=lambda item: -item[1])
    found = read("utility", Telling(QUESTION, DRAFT), hits, words=words, temperature=temperature)
    assert_same(found, expected)
    assert {h.index: h.shares["utility"] for h in found} == pytest.approx(
        {hit.index: r for hit, r in zip(hits, given, strict=True)}
    )
    assert 0 < found[0].score <= 1


def test_without_a_draft_or_credit_the_candidates_stay_as_they_are() -> None:
    hits = drawn(1, 4)
    for name in ("likelihood", "utility"):
        silent = Telling(QUESTION, DRAFT, drafted="")
        assert read(name, silent, hits, words="draft") == hits and len(silent.asked) == 2
        assert read(name, Telling(QUESTION, DRAFT), []) == []
    flat = dict.fromkeys(QUESTION, -1.0)
    assert read("utility", Telling(flat, flat), hits) == hits
    silent = Telling(dict.fromkeys(QUESTION, -math.inf), DRAFT)
    assert read("utility", silent, hits) == hits
    assert [hit.shares["likelihood"] for hit in read("likelihood", silent, hits)] == [0.5] * 4


def test_without_a_language_model_they_are_refused_in_one_line() -> None:
    for name in ("likelihood", "utility"):
        with pytest.raises(ModelError, match=f"criterion {name} asks the language model") as caught:
            read(name, None, drawn(1, 4))
        assert "\n" not in str(caught.value)


# All of them.


WRONG: list[tuple[str, dict[str, object]]] = [
    ("recency", {"half_life_days": 0}),
    ("forgetting", {"half_life_days": -1.0}),
    ("forgetting", {"half_life_days": "long"}),
    ("mmr", {"balance": 1.1}),
    ("dedupe", {"threshold": 0}),
    ("neighbours", {"after": -1}),
    ("likelihood", {"words": "answer"}),
    ("utility", {"words": "title"}),
    ("utility", {"temperature": 0.0}),
    ("rouge2", {"n": 2}),
]


@pytest.mark.parametrize(("name", "values"), WRONG, ids=str)
def test_wrong_parameters_are_refused_in_one_line(name: str, values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"criterion {name}") as caught:
        criterion(name, **values)
    assert "\n" not in str(caught.value)


def test_every_criterion_is_a_frozen_searcher_or_scorer_with_a_reference() -> None:
    kinds = Counter(Searcher if issubclass(catalogue.get(name), Searcher) else Scorer for name in catalogue.names())
    assert kinds[Searcher] >= 4 and kinds[Scorer] >= 9
    for name in catalogue.names():
        made = criterion(name)
        assert isinstance(made, Searcher | Scorer) and made.name == name and type(made).__doc__
        with pytest.raises((FrozenInstanceError, AttributeError)):
            made.name = "other"  # type: ignore[misc]


def test_factors_multiply_so_that_their_order_does_not_matter(tmp_path: Path) -> None:
    texts = random_texts(3, 12)
    cross_encoder(tmp_path, texts)
    notes = [passage(i, text, TODAY - timedelta(days=i), recalls=i % 3) for i, text in enumerate(texts)]
    corpus, query = remembered(notes), " ".join(texts[2].split()[:6])
    specs: list[object] = [
        {"forgetting": {"half_life_days": 30}},
        "rouge2",
        {"cross_encoder": {"model": str(tmp_path)}},
    ]
    found = [corpus.select(query, 12, rescore=order) for order in itertools.permutations(specs)]  # type: ignore[arg-type]
    for other in found[1:]:
        assert [hit.index for hit in other] == [hit.index for hit in found[0]]
        assert [hit.score for hit in other] == pytest.approx([hit.score for hit in found[0]])
    fused = {hit.index: hit.score for hit in corpus.select(query, 12)}
    products = {hit.index: fused[hit.index] * math.prod(hit.shares[name] for name in NAMES) for hit in found[0]}
    highest = max(products.values())
    expected = {index: product / highest * max(fused.values()) for index, product in products.items()}
    assert {hit.index: hit.score for hit in found[0]} == pytest.approx(expected)
    assert all(
        fused[hit.index] == pytest.approx(hit.shares["cosine"] + hit.shares.get("bm25", 0.0)) for hit in found[0]
    )


def test_the_best_keeps_the_score_of_the_fusion_whatever_the_scorers_take_away() -> None:
    corpus = aged([400.0, 500.0, 600.0], [0] * 3, [None] * 3)
    fused = corpus.select("note", 3)
    found = corpus.select("note", 3, rescore=[{"recency": {"half_life_days": 50}}])
    assert [hit.index for hit in found] == [0, 1, 2] and found[0].score == fused[0].score
    assert found[0].shares["recency"] == pytest.approx(2.0**-8)
    assert found[2].score / found[0].score == pytest.approx(fused[2].score / fused[0].score * 2.0**-4)


def test_scorers_see_as_many_candidates_as_asked_for_and_top_k_comes_last() -> None:
    days = [float(40 - i) for i in range(40)]
    corpus = aged(days, [0] * 40, [None] * 40)
    wide = corpus.select("note", 3, search=["bm25"], rescore=["recency"], depth=40)
    assert wide[0].index > 20
    narrow = corpus.select("note", 3, search=["bm25"], rescore=["recency"], depth=5)
    assert {hit.index for hit in narrow} <= set(range(5))
    assert len(corpus.select("note", 30, search=["bm25"], rescore=["recency"], depth=5)) == 30


@dataclass(frozen=True)
class Doubling(Scorer):
    """Gives every hit twice; tells how many it got."""

    seen: list[int]

    name: ClassVar[str] = "doubling"

    def score(self, corpus: Corpus, query: str, hits: Sequence[Hit]) -> list[Hit]:
        self.seen.append(len(hits))
        return [*hits, *hits]


def test_no_scorer_gets_more_than_the_depth() -> None:
    corpus = corpus_of([f"{letter} {'lamp ' * (i % 3 + 1)}" for i, letter in enumerate("abcdefghijklmnopqrst")])
    seen: list[int] = []
    corpus.select("qrst lamp", 2, rescore=[Doubling(seen), Doubling(seen)], depth=6)
    assert seen == [6, 6]


def test_a_searcher_cannot_rescore() -> None:
    with pytest.raises(ConfigError, match=r"bm25 searches and cannot re-rank; use it under retrieval\.search"):
        scoring(["bm25"])


def test_the_clock_is_the_corpus_own() -> None:
    corpus = aged([1.0], [0], [None])
    later: datetime = TODAY + timedelta(days=29)
    corpus.clock = lambda: later
    assert scorer("recency").score(corpus, "?", [Hit(0, 1.0)])[0].score == pytest.approx(0.5)
