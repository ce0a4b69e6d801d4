"""What a comparison compares: ways, each a strategy with retrieval criteria and a model; and what names an answer of one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctxproc.catalogue import Spec
from ctxproc.config import load_yaml, validated
from ctxproc.errors import ConfigError

if TYPE_CHECKING:
    from ctxproc.compare_questions import Question
    from ctxproc.config import Settings

FORM = 1
"""Of a key; a change makes every answer that was kept unknown."""

ALL, NONE = "all", "none"
UNTOLD = frozenset({"cache", "chat", "threads", "strategy", "model"})
"""Settings on which no answer depends, and those that a way names itself."""

Search = tuple[Spec, ...]


@dataclass(frozen=True)
class Way:
    """A strategy, the criteria that find its chunks, and the model that reads.

    Attributes:
        strategy: a name or spec.
        search: names or specs of searchers; empty gives every chunk to the strategy.
        model: as the settings name it.
    """

    strategy: Spec
    search: Search
    model: str

    @property
    def criteria(self) -> str:
        """The criteria by name."""
        return "+".join(map(named, self.search)) or NONE

    def settings(self, settings: Settings) -> Settings:
        """These settings with what the way names.

        Raises:
            ConfigError: a spec has a wrong form.
        """
        values: dict[str, Any] = settings.model_dump()
        values.update(strategy=self.strategy, model=self.model)
        values["retrieval"]["search"] = list(self.search)
        return validated(values, {})


def named(spec: Spec) -> str:
    """A spec in words: its name, with its parameters in brackets."""
    if isinstance(spec, str):
        return spec
    [(name, parameters)] = spec.items()
    told = ", ".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in parameters.items()
    )
    return f"{name}({told})" if told else name


def ways_of(
    settings: Settings, strategies: Sequence[Spec], criteria: Sequence[Search], models: Sequence[str]
) -> list[Way]:
    """Every combination, those of one model together, and of these those of one set of criteria.

    Args:
        settings: name the criteria and the model, where none are given.
        strategies: names or specs; "all" is every strategy that is not named besides, that of the settings first.
        criteria: searchers, as `retrieval.search` has them.
        models: as the setting ``model``.

    Raises:
        UnknownNameError: a strategy or criterion does not exist.
        ConfigError: a spec has a wrong form or parameter, or stands there twice.
    """
    from ctxproc.memory.corpus import searching
    from ctxproc.memory.fuse import fusion
    from ctxproc.strategies import catalogue, make

    own = settings.strategy
    others = sorted((name for name in catalogue.names() if name not in strategies), key=lambda name: name != own)
    wanted = [one for spec in strategies for one in (others if spec == ALL else [spec])]
    for spec in wanted:
        make(spec)
    searches = list(criteria) or [tuple(settings.retrieval.search)]
    for search in searches:
        fusion(settings.retrieval.fuse, [one.name for one in searching(search)])
    ways = [
        Way(strategy, search, model)
        for model in models or [settings.model]
        for search in searches
        for strategy in wanted
    ]
    labels = [(named(way.strategy), way.criteria, way.model) for way in ways]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"{label[0]} with {label[1]} and {label[2]} is named twice; once is enough")
    if not ways:
        raise ConfigError("there is nothing to compare: name a strategy")
    return ways


def listed(text: str, option: str) -> list[Spec]:
    """The specs of an option: names between commas, or specs in YAML such as ``{map_rerank: {prior: 0}}``.

    Raises:
        ConfigError: it is no such list.
    """
    found = load_yaml(f"[{text}]", option)
    for one in found:
        mapping = isinstance(one, Mapping) and len(one) == 1 and all(isinstance(v, Mapping) for v in one.values())
        if not (isinstance(one, str) and one.strip()) and not mapping:
            raise ConfigError(f"{option} takes names between commas, or {{name: {{parameter: value}}}}, not {one!r}")
    return [one.strip() if isinstance(one, str) else one for one in found]


def searches(text: str, option: str) -> list[Search]:
    """The criteria of an option: ``bm25+cosine,bm25`` is both together, then one alone; ``none`` searches nothing."""
    found: list[Search] = []
    for one in listed(text, option):
        parts = [part.strip() for part in one.split("+")] if isinstance(one, str) else [one]
        found.append(() if parts == [NONE] else tuple(parts))
    return found


def key_of(way: Way, settings: Settings, model: str, sources: Sequence[tuple[str, str]], question: Question) -> str:
    """What names the answer of a way to a question, 64 hex digits: equal only where nothing that matters differs.

    That is the question and its task, the sources' names and bytes, the way, this version of ctxproc, and all settings but
    those of caches, chats and threads. Gold answers are not in it: they may be mended without asking again.

    Args:
        way: with what is not in the settings.
        settings: of the comparison.
        model: its fingerprint.
        sources: (name, sha256) of each.
        question: as it is asked.
    """
    values = settings.model_dump()
    about = {
        "form": FORM,
        "version": own_version(),
        "strategy": way.strategy,
        "search": way.search,
        "model": [way.model, model],
        "settings": {name: value for name, value in values.items() if name not in UNTOLD},
        "sources": sources,
        "question": [question.text, question.asked],
    }
    text = json.dumps(about, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def model_print(model: str) -> str:
    """What tells one state of a model from another: names, sizes and times of its files, and the digest of what is shipped.

    A model that is no file here, on a hub or a server, is told by its name alone.
    """
    path = Path(model)
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
    told = [(one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in files]
    return json.dumps([told, shipped_print()])


@cache
def shipped_print() -> str:
    """The digest of the weights that come with ctxproc: built-in models and criteria depend on them."""
    folder, digest = Path(__file__).parent / "llm" / "weights", hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".safetensors", ".json"):
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def own_version() -> str:
    """The version of ctxproc that is installed; "" where it is not."""
    try:
        return version("ctxproc")
    except PackageNotFoundError:
        return ""
