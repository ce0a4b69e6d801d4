"""Vector indexes: every result against brute force, value by value."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ctxproc.errors import UsageError
from ctxproc.memory.base import Ids, Matrix
from ctxproc.memory.vector import VectorIndex
from tests.memory.vectors import METRICS, brute, unit_vectors

NUMBERS = st.integers(-8000, 8000).map(lambda i: i / 8)  # sums of their products are exact in float64, in any order


def same(index: VectorIndex, ids: Ids, vectors: Matrix, query: Matrix, k: int, among: Ids | None = None) -> None:
    """Whether a search by each metric gives what brute force gives: ids equal, scores to the last bit but one."""
    for metric in METRICS:
        found, scores = index.search(query, k, metric, among)
        wanted, values = brute(ids, vectors, query, k, metric, among)
        assert found.tolist() == wanted
        np.testing.assert_allclose(scores, values, rtol=2e-7, atol=1e-30)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_vectors_are_found_as_by_brute_force_after_adding_and_removing(data: st.DataObject) -> None:
    dimensions = data.draw(st.integers(1, 5))
    few = st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0])  # many equal ones
    numbers = data.draw(st.sampled_from([few, NUMBERS]))
    count = data.draw(st.integers(1, 25))
    vectors = data.draw(arrays(np.float32, (count, dimensions), elements=numbers))
    ids = np.array(data.draw(st.permutations(range(count))), dtype=np.int64)
    gone = ids[: data.draw(st.integers(0, count))]
    index = VectorIndex(dimensions)
    index.add(ids, vectors)
    index.remove(gone)
    again = gone[: data.draw(st.integers(0, len(gone)))]
    index.add(again, vectors[np.searchsorted(np.sort(ids), again)])
    held = {int(i): vectors[row] for row, i in enumerate(ids) if i not in gone}
    held |= {int(i): vectors[i] for i in again}
    numbers_held = np.array(sorted(held), dtype=np.int64)
    rows = np.array([held[i] for i in numbers_held.tolist()], dtype=np.float32).reshape(-1, dimensions)
    assert index.ids.tolist() == numbers_held.tolist()
    query = data.draw(arrays(np.float32, dimensions, elements=numbers))
    among = np.array(sorted(data.draw(st.sets(st.integers(0, 50)))), dtype=np.int64)
    for k in (0, 3, 100):
        same(index, numbers_held, rows, query, k)
    same(index, numbers_held, rows, query, 3, among)
    np.testing.assert_array_equal(index.vectors(numbers_held), rows)


def test_equal_vectors_come_by_id_however_many_and_wherever_they_lie() -> None:
    vector = np.float32([0.3, -0.7, 0.1])
    ids = np.random.default_rng(0).permutation(5000)
    index = VectorIndex(3)
    for some in np.array_split(ids, 7):
        index.add(some, np.tile(vector, (len(some), 1)))
    for metric in METRICS:
        found, scores = index.search([1, 2, 3], 10, metric)
        assert found.tolist() == list(range(10))
        assert len(set(scores.tolist())) == 1


def test_vectors_that_differ_less_than_float32_can_sum_are_ranked_as_float64_ranks_them() -> None:
    rng = np.random.default_rng(1)
    base = rng.standard_normal(384).astype(np.float32)
    vectors = base + rng.choice([-1, 1], (2000, 384)).astype(np.float32) * 1e-7
    query = rng.standard_normal(384).astype(np.float32)
    index = VectorIndex(384)
    index.add(np.arange(2000), vectors)
    same(index, np.arange(2000), vectors, query, 25)


def test_a_zero_vector_has_cosine_zero_and_a_zero_query_finds_by_id() -> None:
    index = VectorIndex(2)
    index.add([4, 7, 1], [[0, 0], [1, 0], [-1, 0]])
    found, scores = index.search([2, 0], 3)
    assert (found.tolist(), scores.tolist()) == ([7, 4, 1], [1.0, 0.0, -1.0])
    found, scores = index.search([0, 0], 2)
    assert (found.tolist(), scores.tolist()) == ([1, 4], [0.0, 0.0])


def test_very_long_and_very_short_vectors_are_scored_without_overflow() -> None:
    vectors = np.float32([[1e14, 1e14], [1e-20, 0], [3, 4]])
    index = VectorIndex(2)
    index.add([0, 1, 2], vectors)
    same(index, np.arange(3), vectors, np.float32([1e14, 0]), 3)
    same(index, np.arange(3), vectors, np.float32([1e-10, 0]), 3)


def test_an_id_that_is_added_again_has_the_new_vector_only() -> None:
    index = VectorIndex(2)
    index.add([1, 2], [[1, 0], [0, 1]])
    index.add([1], [[0, -1]])
    assert index.search([1, 0], 5)[0].tolist() == [1, 2]
    assert index.vectors([1, 2]).tolist() == [[0, -1], [0, 1]]
    assert len(index) == 2


def test_an_empty_index_finds_nothing_and_takes_its_dimensions_from_the_first_vectors() -> None:
    index = VectorIndex()
    assert [column.tolist() for column in index.search([1, 2, 3], 5)] == [[], []]
    index.add([], [])
    index.add([9], [[1, 2, 3]])
    assert index.dimensions == 3
    assert index.search([1, 2, 3], 5)[0].tolist() == [9]
    index.remove([9, 10])
    assert (len(index), index.search([1, 2, 3], 5)[0].tolist()) == (0, [])


@pytest.mark.parametrize(
    ("ids", "vectors", "says"),
    [
        ([1], [[1, 2]], "shape (1, 3) are needed here, not (1, 2)"),
        ([1, 2], [[1, 2, 3]], "shape (2, 3)"),
        ([1], [1, 2, 3], "shape (1, 3)"),
        ([1], [[1, float("nan"), 3]], "not finite"),
        ([1], [[1, float("inf"), 3]], "not finite"),
        ([1], [[1, 1e300, 3]], "not finite"),
        ([1], [["a", "b", "c"]], "rows of numbers"),
        ([1, 1], [[1, 2, 3], [1, 2, 3]], "distinct"),
        ([-1], [[1, 2, 3]], "at least 0"),
        ([1.5], [[1, 2, 3]], "whole numbers"),
    ],
)
def test_what_cannot_be_added_is_one_clear_error_and_nothing_is_added(
    ids: list[object], vectors: list[object], says: str
) -> None:
    index = VectorIndex(3)
    index.add([5], [[1, 1, 1]])
    with pytest.raises(UsageError, match=says.replace("(", r"\(").replace(")", r"\)")):
        index.add(ids, vectors)
    assert index.ids.tolist() == [5]


def test_what_cannot_be_asked_is_one_clear_error() -> None:
    index = VectorIndex(2)
    index.add([5], [[1, 1]])
    with pytest.raises(UsageError, match=r"\(1, 2\) are needed here, not \(1, 3\)"):
        index.search([1, 2, 3], 1)
    with pytest.raises(UsageError, match="not finite"):
        index.search([1, float("nan")], 1)
    with pytest.raises(UsageError, match="no metric is called 'dot'; there are: cosine, inner_product, l2"):
        index.search([1, 2], 1, "dot")
    with pytest.raises(UsageError, match="no vector of the id 6"):
        index.vectors([5, 6])
    with pytest.raises(UsageError, match="no vector index is called 'tree'; there are: auto, flat, hnsw, ivf"):
        VectorIndex(2, "tree")


def test_a_small_owner_beside_a_large_one_gets_what_brute_force_gives() -> None:
    large, small = unit_vectors(3000, seed=1), unit_vectors(5, seed=2)
    ids = np.arange(3005)
    index = VectorIndex(16, "ivf")
    index.add(ids[:3000], large)
    index.add(ids[3000:], small)
    for query in large[:20]:  # the large owner has thousands that are nearer
        same(index, ids, np.concatenate([large, small]), query, 10, ids[3000:])


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 1.0])
def test_a_scope_of_any_size_is_searched_exactly(share: float) -> None:
    vectors = unit_vectors(4000)
    rng = np.random.default_rng(3)
    among = np.sort(rng.choice(4000, int(share * 4000), replace=False))
    among_and_others = np.concatenate([among, [9000, 9001]])
    index = VectorIndex(16, "flat")
    index.add(np.arange(4000), vectors)
    index.remove(among[::9])
    keep = np.setdiff1d(np.arange(4000), among[::9])
    same(index, keep, vectors[keep], vectors[17], 10, among_and_others)


def test_readers_beside_a_writer_see_whole_changes_only() -> None:
    vectors = unit_vectors(3000)
    index = VectorIndex(16)
    index.add(np.arange(100), vectors[:100])
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found, scores = index.search(vectors[0], 3, "inner_product", [0, 1, 2])
            if found.tolist() != wanted or not np.allclose(scores, values):
                wrong.append((found, scores))

    wanted, values = brute(np.arange(3), vectors[:3], vectors[0], 3, "inner_product")
    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for start in range(100, 3000, 50):
        index.add(np.arange(start, start + 50), vectors[start : start + 50])
        index.remove(np.arange(start, start + 25))
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong
    keep = np.array([i for i in range(3000) if i < 100 or i % 50 >= 25])
    assert index.ids.tolist() == keep.tolist()
    same(index, keep, vectors[keep], vectors[1], 10)
