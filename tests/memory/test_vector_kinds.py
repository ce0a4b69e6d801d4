"""Structures over many vectors: what they find, against all vectors; the choice among them; their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ctxproc.errors import UsageError
from ctxproc.memory import vector_frozen, vector_kinds
from ctxproc.memory.base import Ids, Matrix
from ctxproc.memory.vector import VectorIndex
from ctxproc.memory.vector_part import Metric
from tests.memory.vectors import METRICS, brute, unit_vectors

pytest.importorskip("faiss")

COUNT = 4000
VECTORS = unit_vectors(COUNT, 24, clusters=200)
IDS = np.random.default_rng(5).permutation(10 * COUNT)[:COUNT]


def built(kind: str) -> VectorIndex:
    batches = [(IDS[i : i + 512], VECTORS[i : i + 512].copy()) for i in range(0, COUNT, 512)]
    return VectorIndex.build(batches, COUNT, 24, kind, "cpu")


@pytest.fixture(params=["flat", "hnsw", "ivf"], scope="module")
def index(request: pytest.FixtureRequest) -> VectorIndex:
    return built(str(request.param))


def recall(index: VectorIndex, ids: Ids, vectors: Matrix, queries: Matrix, metric: Metric = "cosine") -> float:
    """The share of the ten nearest that is found; scores of what is found must be brute force's."""
    found = 0
    for query in queries:
        got, scores = index.search(query, 10, metric)
        wanted, _ = brute(ids, vectors, query, 10, metric)
        rows = {int(i): row for row, i in enumerate(ids)}
        mine = vectors[[rows[i] for i in got.tolist()]]
        values = dict(zip(*brute(got, mine, query, 10, metric), strict=True))
        np.testing.assert_allclose(scores, [values[i] for i in got.tolist()], rtol=2e-7)
        assert (np.diff(scores) <= 0).all()
        assert len(got) == len(wanted)
        found += len(set(got.tolist()) & set(wanted))
    return found / (10 * len(queries))


@pytest.mark.parametrize("metric", METRICS)
def test_recall_is_at_least_what_is_stated_and_scores_are_brute_forces(index: VectorIndex, metric: Metric) -> None:
    queries = unit_vectors(25, 24, seed=0, clusters=200) * 3  # near what is stored, of another length
    assert index.recall == 1.0 if index.kind == "flat" else 0.95 <= index.recall <= 1.0
    assert recall(index, IDS, VECTORS, queries, metric) >= 0.93


def test_the_structure_reads_a_part_of_the_vectors(index: VectorIndex) -> None:
    """Else its recall would prove nothing."""
    structure = index._state.frozen.structure
    if index.kind == "ivf":
        sizes = np.diff(structure._starts)
        assert len(sizes) == 128
        assert structure.depth * sizes.mean() < COUNT / 2
    elif index.kind == "hnsw":
        assert structure.depth < COUNT / 2
    else:
        assert structure is None


def test_vectors_and_scopes_are_exact_whatever_the_kind(index: VectorIndex) -> None:
    some = np.sort(IDS[::37])
    rows = np.argsort(IDS)[np.searchsorted(np.sort(IDS), some)]
    np.testing.assert_array_equal(index.vectors(some), VECTORS[rows])
    assert index.ids.tolist() == sorted(IDS.tolist())
    for query in VECTORS[:10]:
        for metric in METRICS:
            assert index.search(query, 10, metric, some)[0].tolist() == brute(IDS, VECTORS, query, 10, metric, some)[0]


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_what_was_removed_is_not_found_and_the_rest_still_is(kind: str) -> None:
    index = built(kind)
    near = [index.search(query, 100)[0] for query in VECTORS[:5]]
    gone = np.unique(np.concatenate(near))[:500]  # all around the queries: the first to come upon
    index.remove(gone)
    keep = ~np.isin(IDS, gone)
    assert len(index) == keep.sum()
    for query in VECTORS[:5]:
        found = index.search(query, 50)[0]
        assert len(found) == 50
        assert not np.isin(found, gone).any()
    assert recall(index, IDS[keep], VECTORS[keep], VECTORS[:5]) >= 0.9


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_what_is_added_is_found_at_once_and_frozen_when_a_fifth_has_changed(kind: str) -> None:
    index = built(kind)
    more, ids = unit_vectors(2200, 24, seed=9), np.arange(100_000, 102_200)
    for start in range(0, 2200, 200):
        index.add(ids[start : start + 200], more[start : start + 200])
        assert index.search(more[start], 1)[0].tolist() == [ids[start]]
    tail = len(index._state.tail.ids)
    assert 0 < tail <= 0.2 * len(index) < 2200
    assert index.kind == kind
    assert recall(index, np.concatenate([IDS, ids]), np.concatenate([VECTORS, more]), more[:20]) >= 0.93


def test_vectors_of_other_lengths_lie_beside_the_structure_and_are_found_exactly() -> None:
    vectors = VECTORS.copy()
    vectors[::10] *= 5
    vectors[5] = 0
    index = VectorIndex.build([(IDS, vectors.copy())], COUNT, 24, "ivf", "cpu")
    assert index.kind == "ivf"
    assert len(index._state.tail.ids) == COUNT // 10 + 1
    for metric in METRICS:
        for query in VECTORS[:20:10]:  # the longest are the best by the inner product
            found, _ = index.search(query, 5, metric)
            wanted, _ = brute(IDS, vectors, query, 5, metric)
            assert len(set(found.tolist()) & set(wanted)) >= 4
    index.remove([IDS[5]])
    index.add([IDS[5]], [VECTORS[5]])
    assert index.search(VECTORS[5], 1)[0].tolist() == [IDS[5]]


def test_many_vectors_of_other_lengths_have_no_structure() -> None:
    vectors = VECTORS * np.linspace(0.5, 2, COUNT, dtype=np.float32)[:, None]
    index = VectorIndex.build([(IDS, vectors.copy())], COUNT, 24, "hnsw", "cpu")
    assert (index.kind, index.recall) == ("flat", 1.0)
    assert (
        index.search(VECTORS[0], 10, "inner_product")[0].tolist()
        == brute(IDS, vectors, VECTORS[0], 10, "inner_product")[0]
    )


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_a_structure_that_finds_too_few_at_any_depth_is_not_used(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_kinds, "RECALL", 1.1)
    index = built(kind)
    assert (index.kind, index.recall) == ("flat", 1.0)
    assert index.search(VECTORS[3], 10)[0].tolist() == brute(IDS, VECTORS, VECTORS[3], 10, "cosine")[0]


def test_a_structure_is_searched_deeper_until_it_finds_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    depths = []
    for wanted in (0.5, 0.99):
        monkeypatch.setattr(vector_kinds, "RECALL", wanted)
        index = built("ivf")
        assert index.recall >= wanted
        depths.append(index._state.frozen.structure.depth)
    assert depths[0] < depths[1]


@pytest.mark.parametrize(("count", "kind"), [(3000, "flat"), (3001, "hnsw"), (3500, "hnsw"), (3501, "ivf")])
def test_auto_chooses_by_size(count: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_frozen, "MANY", 3000)
    monkeypatch.setattr(vector_frozen, "TOO_MANY", 3500)
    index = VectorIndex.build([(IDS[:count], VECTORS[:count].copy())], count, 24, device="cpu")
    assert index.kind == kind


def test_without_faiss_auto_reads_all_and_a_kind_that_needs_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vector_frozen, "_faiss", lambda: False)
    monkeypatch.setattr(vector_frozen, "MANY", 1000)
    assert built("auto").kind == "flat"
    with pytest.raises(UsageError, match=r"needs FAISS: pip install 'ctxproc\[cpu\]'"):
        built("hnsw")


def test_a_file_gives_back_the_same_index(index: VectorIndex, tmp_path: Path) -> None:
    index.write(tmp_path / "index")
    again = VectorIndex.read(tmp_path / "index", "cpu")
    assert (again.kind, again.recall, len(again)) == (index.kind, index.recall, len(index))
    for query in VECTORS[:30]:
        for k in (1, 10, 100):
            for mine, other in zip(index.search(query, k), again.search(query, k), strict=True):
                assert mine.tolist() == other.tolist()


def test_a_file_of_a_graph_is_read_without_faiss_as_a_flat_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_frozen, "MANY", 1000)
    built("auto").write(tmp_path / "index")
    assert VectorIndex.read(tmp_path / "index", "cpu").kind == "hnsw"
    monkeypatch.setattr(vector_frozen, "_faiss", lambda: False)
    again = VectorIndex.read(tmp_path / "index", "cpu")
    assert again.kind == "flat"
    assert again.search(VECTORS[3], 10)[0].tolist() == brute(IDS, VECTORS, VECTORS[3], 10, "cosine")[0]


def test_a_file_keeps_what_was_changed_since_it_was_frozen_and_can_be_changed_on(tmp_path: Path) -> None:
    for kind in ("flat", "hnsw", "ivf"):
        index = built(kind)
        index.remove(IDS[:50])
        index.add([200_000, 200_001], VECTORS[:2])
        index.write(tmp_path / kind)
        again = VectorIndex.read(tmp_path / kind, "cpu")
        again.remove([200_001])
        again.add([200_002], VECTORS[2:3])
        assert again.ids.tolist() == sorted([*IDS[50:].tolist(), 200_000, 200_002])
        assert [int(again.search(VECTORS[i], 1)[0][0]) for i in (0, 2)] == [200_000, 200_002]
        assert index.ids.tolist() == sorted([*IDS[50:].tolist(), 200_000, 200_001])


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_a_file_that_is_cut_or_foreign_is_a_value_error(kind: str, tmp_path: Path) -> None:
    built(kind).write(tmp_path / "index")
    raw = (tmp_path / "index").read_bytes()
    for wrong in (b"", b"garbage" * 100, raw[:10], raw[:100], raw[: len(raw) // 2], b"ctxarr01" + b"\xff" * 50):
        (tmp_path / "wrong").write_bytes(wrong)
        with pytest.raises(ValueError):
            VectorIndex.read(tmp_path / "wrong", "cpu")


def test_an_id_that_comes_twice_while_building_is_refused() -> None:
    with pytest.raises(UsageError, match="an id came twice"):
        VectorIndex.build([([1, 2], VECTORS[:2]), ([2], VECTORS[2:3])], 3, 24)
