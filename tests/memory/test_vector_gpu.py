"""Structures on a GPU: the real ones where there is one, else their logic over FAISS's CPU indexes in their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctxproc.errors import UsageError
from ctxproc.memory import vector_frozen
from ctxproc.memory.base import Matrix
from ctxproc.memory.vector import VectorIndex
from tests.memory.vectors import METRICS, brute, unit_vectors

faiss = pytest.importorskip("faiss")
GPU = vector_frozen.on_gpu()
COUNT = 4000
VECTORS = unit_vectors(COUNT, 24, clusters=200)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU, or CPU indexes that are made and called as FAISS's GPU indexes are, with their limit of 2,048 rows."""
    if GPU:
        return

    class Flat(faiss.IndexFlatIP):
        def __init__(self, resources: object, dimensions: int) -> None:
            super().__init__(dimensions)

        def search(self, query: Matrix, k: int, params: object = None) -> Any:  # noqa: ANN401 - FAISS's own
            assert k <= 2048
            return faiss.IndexFlatIP.search(self, query, k)

    def lists(resources: object, dimensions: int, count: int, metric: int, config: object) -> faiss.IndexIVFFlat:
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimensions), dimensions, count, metric)
        index.cp.min_points_per_centroid = 1
        return index

    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexFlatIP", Flat, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexIVFFlat", lists, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexIVFFlatConfig", object, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)


def built(kind: str, vectors: Matrix = VECTORS) -> VectorIndex:
    return VectorIndex.build([(np.arange(len(vectors)), vectors.copy())], len(vectors), vectors.shape[1], kind, "cuda")


@pytest.mark.parametrize("spread", [0.0, 5e-4])
def test_flat_on_a_gpu_is_exact_with_ties_and_removed_vectors(gpu: None, spread: float) -> None:
    vectors = (
        VECTORS * (1 + spread * np.linspace(-1, 1, COUNT, dtype=np.float32))[:, None]
    )  # as half precision leaves them
    vectors[100:160] = vectors[0]
    index = built("auto", vectors)
    assert type(index._state.frozen.structure).__name__ == "_Flat"
    index.remove(np.arange(0, 900, 3))
    keep = np.setdiff1d(np.arange(COUNT), np.arange(0, 900, 3))
    for query in [vectors[0], vectors[7] * 2, vectors[9] + vectors[10]]:
        for metric in METRICS:
            for k in (1, 10, 100):
                found, scores = index.search(query, k, metric)
                wanted, values = brute(keep, vectors[keep], query, k, metric)
                assert found.tolist() == wanted
                np.testing.assert_allclose(scores, values, rtol=2e-7)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_structures_on_a_gpu_find_as_much_as_they_state(gpu: None, kind: str) -> None:
    index = built(kind)
    assert index.recall >= 0.95
    found = 0
    for query in VECTORS[:40]:
        got, _ = index.search(query, 10)
        found += len(set(got.tolist()) & set(brute(np.arange(COUNT), VECTORS, query, 10, "cosine")[0]))
    assert found / 400 >= 0.93


def test_removed_vectors_on_a_gpu_are_not_found_and_others_take_their_place(gpu: None) -> None:
    index = built("ivf")
    gone = index.search(VECTORS[0], 60)[0]
    index.remove(gone)
    found = index.search(VECTORS[0], 20)[0]
    assert len(found) == 20
    assert not np.isin(found, gone).any()


def test_a_file_from_a_gpu_is_read_without_one_and_back(gpu: None, tmp_path: Path) -> None:
    index = built("flat")
    index.write(tmp_path / "index")
    for device in ("cpu", "cuda"):
        again = VectorIndex.read(tmp_path / "index", device)
        assert (again._state.frozen.structure is None) == (device == "cpu")
        for query in VECTORS[:20]:
            assert again.search(query, 10)[0].tolist() == index.search(query, 10)[0].tolist()


def test_lists_from_a_gpu_are_read_without_one_as_a_flat_index(gpu: None, tmp_path: Path) -> None:
    built("ivf").write(tmp_path / "index")
    again = VectorIndex.read(tmp_path / "index", "cpu")
    assert again.kind == "flat"
    assert again.search(VECTORS[3], 10)[0].tolist() == brute(np.arange(COUNT), VECTORS, VECTORS[3], 10, "cosine")[0]


@pytest.mark.skipif(GPU, reason="there is a GPU")
def test_without_a_gpu_asking_for_one_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="FAISS has no GPU here"):
        VectorIndex(3, device="cuda")
