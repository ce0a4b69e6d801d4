"""The index of words against rank-bm25 and the formula written out, while chunks come and go."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from ctxproc.memory import lexical, lexical_file, postings
from ctxproc.memory.lexical import LexicalIndex, Parameters, agrees
from ctxproc.memory.postings import Postings
from ctxproc.text import words

SCRIPTS = (
    "lamp Lamp LAMP, the sea-wall 1923 café naïve Straße мир МИР שלום हिन्दी में 灯 灯塔 燈塔守 海 カタカナ ひらがな"
    " 서울 서울역 ﬁn e\u0301 x_y 👍"
).split()
TEXTS = st.lists(st.lists(st.sampled_from(SCRIPTS), max_size=7).map(" ".join), max_size=9)
QUERIES = st.lists(st.sampled_from([*SCRIPTS, "absent"]), max_size=5).map(" ".join)
PARAMETERS = st.sampled_from(
    [Parameters(), Parameters(k1=1.2, b=0.5), Parameters(0, 1, 0.1), Parameters(b=0, epsilon=1)]
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks, rows and parts so small that few chunks fill many of them."""
    for module, name, value in (
        (lexical, "BLOCK", 7),
        (postings, "BLOCK", 7),
        (lexical, "CACHED", 5),
        (lexical, "ROW", 3),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(lexical, "PARTS", 4)


def index_of(texts: Sequence[str], ids: Sequence[int] | None = None) -> LexicalIndex:
    index = LexicalIndex()
    index.add(range(len(texts)) if ids is None else ids, texts)
    return index


def slow_scores(texts: Sequence[str], query: str, parameters: Parameters) -> list[float]:
    """The repaired formula, word by word and chunk by chunk."""
    found, n_chunks = [words(text) for text in texts], len(texts)
    vocabulary = {word for chunk in found for word in chunk}
    n = {word: sum(word in chunk for chunk in found) for word in vocabulary}
    plain = {word: math.log(n_chunks - n[word] + 0.5) - math.log(n[word] + 0.5) for word in vocabulary}
    mean = math.fsum(plain.values()) / len(plain) if plain else 0
    total, scores = sum(map(len, found)), [0.0] * n_chunks
    for word in words(query, query=True):
        for i, chunk in enumerate(found if word in vocabulary else []):
            weight = plain[word] if plain[word] >= 0 else parameters.epsilon * mean
            if weight <= 1e-12:
                weight = parameters.epsilon * math.log(1 + (n_chunks - n[word] + 0.5) / (n[word] + 0.5))
            share = 1 - parameters.b + parameters.b * len(chunk) * n_chunks / total
            if word in chunk:
                scores[i] += (
                    weight * chunk.count(word) * (parameters.k1 + 1) / (chunk.count(word) + parameters.k1 * share)
                )
    return scores


def best(scores: Sequence[float], ids: Sequence[int], k: int) -> list[int]:
    ranked = sorted((-score, id_) for score, id_ in zip(scores, ids, strict=True) if score > 0)
    return [id_ for _, id_ in ranked[:k]]


def random_text(rng: random.Random, longest: int = 40) -> str:
    return " ".join(f"w{int(rng.expovariate(0.08))}" for _ in range(rng.randint(0, longest)))


@settings(max_examples=300, deadline=None)
@given(TEXTS, QUERIES, PARAMETERS)
def test_scores_are_the_repaired_formula_in_any_script(texts: list[str], query: str, parameters: Parameters) -> None:
    expected = slow_scores(texts, query, parameters)
    index = index_of(texts)
    assert index.scores(query, parameters) == pytest.approx(expected, abs=1e-12)
    ids, scores = index.search(query, 4, parameters)
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    assert scores == pytest.approx([expected[i] for i in ids], abs=1e-12)
    assert len(ids) == min(4, sum(score > 0 for score in expected))
    assert agrees(index, texts, [query])


@settings(max_examples=300, deadline=None)
@given(TEXTS, QUERIES)
def test_scores_are_above_zero_exactly_where_a_word_is_shared(texts: list[str], query: str) -> None:
    asked = set(words(query, query=True))
    scores = index_of(texts).scores(query)
    assert [score > 0 for score in scores] == [bool(asked & set(words(text))) for text in texts]
    assert (scores >= 0).all()


@pytest.mark.parametrize("parameters", [Parameters(), Parameters(k1=1.2, b=0.5), Parameters(epsilon=0.1)])
def test_scores_equal_those_of_rank_bm25_where_it_weighs_every_word(parameters: Parameters) -> None:
    compared = 0
    for seed in range(20):
        rng = random.Random(seed)
        texts = [random_text(rng) for _ in range(40 + seed)]
        plain = BM25Okapi([words(t) for t in texts], k1=parameters.k1, b=parameters.b, epsilon=parameters.epsilon)
        if min(plain.idf.values()) <= 0:
            continue
        compared += 1
        index = index_of(texts)
        for query in ("w1 w3 w9", "w2 w2 w40", "absent w5"):
            assert np.abs(index.scores(query, parameters) - plain.get_scores(query.split())).max() < 1e-6
    assert compared >= 10


def test_words_of_more_than_half_of_the_chunks_weigh_a_share_of_the_mean_weight() -> None:
    rng = random.Random(4)
    texts = [f"{'the ' * (i % 10 > 1)}{random_text(rng)}" for i in range(300)]
    plain = BM25Okapi([words(text) for text in texts])
    assert plain.idf["the"] == pytest.approx(0.25 * plain.average_idf) and plain.average_idf > 0
    index = index_of(texts)
    assert np.abs(index.scores("the w1") - plain.get_scores(["the", "w1"])).max() < 1e-9
    index.remove([1])  # where the mean is no longer that of before
    plain = BM25Okapi([words(text) for i, text in enumerate(texts) if i != 1])
    assert np.abs(index.scores("the") - plain.get_scores(["the"])).max() < 1e-9


def test_a_mean_weight_that_is_zero_but_for_rounding_is_zero() -> None:
    chunks_with = {"a": 4, "b": 6, "c": 10, "d": 22}  # of 23: the weights' arguments multiply to exactly 1
    texts = [" ".join(word for word, n in chunks_with.items() if i < n) for i in range(23)]
    plain = [math.log(23 - n + 0.5) - math.log(n + 0.5) for n in chunks_with.values()]
    assert 0 < abs(math.fsum(plain)) < 1e-15
    index = index_of(texts)
    assert index.scores("d", Parameters(b=0))[21] == pytest.approx(0.25 * math.log(1 + 1.5 / 22.5))
    assert agrees(index, texts, ["d"])


def test_bm25_by_hand() -> None:
    texts = ["cat sat", "dog ran far", "bird flew", "fish swam", "ant hid"]
    idf, mean = np.log(5 - 1 + 0.5) - np.log(1.5), 11 / 5
    expected = idf * 2.5 / (1 + 1.5 * (1 - 0.75 + 0.75 * 3 / mean))
    assert index_of(texts).scores("dog") == pytest.approx([0, expected, 0, 0, 0])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", range(25))
def test_after_adding_and_removing_in_any_order_all_is_as_if_built_of_what_is_left(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    index, held = LexicalIndex(), dict[int, str]()
    for _ in range(30):
        match rng.choice("add add add remove edit file".split()):
            case "add":
                new = [i for i in rng.sample(range(200), rng.randint(0, 9)) if i not in held]
                added = {i: random_text(rng, 9) for i in new}
                index.add(new, list(added.values()))
                held |= added
            case "edit" if held:
                edited = rng.choice(list(held))
                held[edited] = random_text(rng, 9)
                index.remove([edited])
                index.add([edited], [held[edited]])
            case "file":
                index.write(tmp_path / "words")
                index = LexicalIndex.read(tmp_path / "words")
            case _:
                gone = rng.sample(range(200), rng.randint(0, 60))
                index.remove(gone)
                held = {i: text for i, text in held.items() if i not in gone}
        ids = sorted(held)
        texts = [held[i] for i in ids]
        fresh = index_of(texts, ids)
        assert index.ids.tolist() == ids and len(index) == len(ids)
        among = np.array(sorted(rng.sample(range(200), 80)))
        for query in ("w1 w3 w0", "w2 w2 w11", "w5"):
            scores = fresh.scores(query)
            assert np.abs(index.scores(query) - scores).max(initial=0) < 1e-9
            k = rng.randint(0, 12)
            assert index.search(query, k)[0].tolist() == best(scores.tolist(), ids, k)
            inside = [(s, i) for s, i in zip(scores.tolist(), ids, strict=True) if i in among]
            expected = best([s for s, _ in inside], [i for _, i in inside], k)
            assert index.search(query, k, among=among)[0].tolist() == expected
    index.write(tmp_path / "kept")
    fresh.write(tmp_path / "fresh")
    assert (tmp_path / "kept").read_bytes() == (tmp_path / "fresh").read_bytes()


@pytest.mark.usefixtures("small")
def test_chunks_added_one_by_one_are_merged_into_few_parts() -> None:
    rng = random.Random(1)
    texts = [random_text(rng, 9) for _ in range(300)]
    index, most = LexicalIndex(), 0
    for i, text in enumerate(texts):
        index.add([i], [text])
        most = max(most, len(index._parts))
    assert most <= 8
    assert index.scores("w1 w2").tolist() == pytest.approx(index_of(texts).scores("w1 w2").tolist(), abs=1e-12)


@pytest.mark.usefixtures("small")
def test_equal_parts_beyond_the_limit_become_one() -> None:
    index = LexicalIndex()
    for i in range(5):
        index.add([i], ["a lamp"])
        assert len(index._parts) == (i + 1 if i < 4 else 1)


@pytest.mark.parametrize("ids", [[1, 1], [3, 9], [1], [1, 2, 4]])
def test_an_id_that_is_held_or_stands_twice_is_refused_and_nothing_is_added(ids: list[int]) -> None:
    index = index_of(["a lamp"], [9])
    with pytest.raises(ValueError, match="an id of its own"):
        index.add(ids, ["one", "two"])
    assert index.ids.tolist() == [9] and index.search("one two", 5)[0].tolist() == []


def test_equals_come_by_id_and_k_counts() -> None:
    index = index_of(["same text"] * 4 + ["text"], [40, 30, 20, 10, 50])
    index.add([15, 5], ["same text", "other"])
    assert index.search("same", 3)[0].tolist() == [10, 15, 20]
    assert index.search("same", 100)[0].tolist() == [10, 15, 20, 30, 40]
    assert index.search("same", 2, among=np.array([5, 20, 30, 99]))[0].tolist() == [20, 30]
    for found in (index.search("same", 0), index.search("", 5), index.search("none", 5), LexicalIndex().search("a", 5)):
        assert found[0].dtype == np.int64 and len(found[0]) == len(found[1]) == 0


def test_counts_beyond_a_byte_are_kept(tmp_path: Path) -> None:
    texts = ["lamp " * 70_000, "lamp " * 300, "lamp sea", "sea", "wall", "fog"]
    for some in (texts, texts[1:], texts[2:]):
        index = index_of(some)
        index.write(tmp_path / "words")
        expected = slow_scores(some, "lamp sea", Parameters())
        assert LexicalIndex.read(tmp_path / "words").scores("lamp sea") == pytest.approx(expected, abs=1e-12)


def test_a_file_holds_no_word_that_only_removed_chunks_had(tmp_path: Path) -> None:
    index = index_of(["the secret is xylophone", "the lamp"])
    index.add([7], ["another quixotic secret"])
    index.remove([0, 7])
    index.write(tmp_path / "words")
    data = (tmp_path / "words").read_bytes()
    assert b"lamp\nthe" in data
    assert not any(word in data for word in (b"secret", b"xylophone", b"quixotic"))


def garbage(whole: bytes) -> Iterator[bytes]:
    """A file cut, lengthened, and with each byte of its numbers turned."""
    yield from (b"", b"ctxproc", b"\0" * 64, b"\xff" * 500, whole[:-1], whole + b"x", whole[:40], b"X" + whole[1:])
    for place in range(16, 56):
        yield whole[:place] + bytes([whole[place] ^ 0x81]) + whole[place + 1 :]


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "words"
    index_of(["the lamp", "the sea and the fog", ""]).write(path)
    for data in garbage(path.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="words"):
            LexicalIndex.read(path)


def test_a_turned_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "words"
    index_of(["the lamp", "the sea and the fog", ""]).write(path)
    whole = path.read_bytes()
    refused = 0
    for place in range(64, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x80]) + whole[place + 1 :])
        try:
            ids, _ = LexicalIndex.read(path).search("the lamp", 3)
        except ValueError:
            refused += 1
        else:
            assert len(ids) <= 3
    assert refused > (len(whole) - 64) / 2


SOUND = {
    "ids": [3, 5],
    "lengths": [2, 1],
    "terms": [0, 1],
    "starts": [0, 2, 3],
    "places": [0, 1, 0],
    "counts": [1, 1, 1],
}


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"counts": [0, 2, 1]}, ["a", "b"]),
        ({"counts": [1, 1, 2]}, ["a", "b"]),
        ({"lengths": [-1, 4]}, ["a", "b"]),
        ({"ids": [5, 3]}, ["a", "b"]),
        ({"ids": [5, 5]}, ["a", "b"]),
        ({"places": [0, 2, 0]}, ["a", "b"]),
        ({"places": [-1, 1, 0]}, ["a", "b"]),
        ({"starts": [0, 3, 3]}, ["a", "b"]),
        ({"starts": [1, 2, 3]}, ["a", "b"]),
        ({"starts": [0, 1, 2]}, ["a", "b"]),
        ({}, ["a", "a"]),
        ({}, ["a"]),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(
    wrong: dict[str, list[int]], names: list[str], tmp_path: Path
) -> None:
    types = {"ids": np.int64, "starts": np.int64, "counts": np.uint8}
    for values, letters, refused in ((SOUND, ["a", "b"], False), (SOUND | wrong, names, True)):
        arrays = {name: np.array(numbers, types.get(name, np.int32)) for name, numbers in values.items()}
        lexical_file.write(tmp_path / "words", letters, Postings(**arrays))  # type: ignore[arg-type]
        if refused:
            with pytest.raises(ValueError, match="damaged"):
                LexicalIndex.read(tmp_path / "words")
        else:
            assert LexicalIndex.read(tmp_path / "words").ids.tolist() == [3, 5]


def test_agrees_tells_another_index_apart() -> None:
    rng = random.Random(2)
    texts = [random_text(rng) for _ in range(60)]
    index, queries = index_of(texts), ["w1 w2", "w7 w30"]
    assert (
        agrees(index, texts, queries)
        and agrees(LexicalIndex(), [], queries)
        and agrees(index_of(["", "!"]), ["", "!"], queries)
    )
    assert not agrees(index, texts[1:], queries)
    changed = next(i for i, text in enumerate(texts) if "w1" in text.split())
    assert not agrees(index, [*texts[:changed], "w2", *texts[changed + 1 :]], queries)
    index.remove([5])
    assert not agrees(index, texts, queries) and agrees(index, texts[:5] + texts[6:], queries)


@pytest.mark.parametrize("wrong", [{"k1": -1}, {"k1": math.inf}, {"b": 2}, {"b": math.nan}, {"epsilon": 0}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needs k1"):
        Parameters(**wrong)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_has_the_same_words_beside_other_letters(text: str) -> None:
    assert words(text + " é") == [*words(text), "é"]
