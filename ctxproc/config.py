"""Settings: defaults, presets, a configuration file, single values; and where each value came from.

Layers are merged from the weakest to the strongest: defaults, preset, file, ``--set`` and flags. Unknown keys and wrong
values are one-line errors. Files are YAML (safe subset, no aliases) or TOML, at most 1 MB.
"""

from __future__ import annotations

import copy
import os
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from ctxproc.config_faults import unknown, wrong
from ctxproc.errors import ConfigError, UnknownNameError
from ctxproc.textfile import read_text

MAX_FILE_BYTES = 1_000_000

WHOLE = frozenset({"strategy", "retrieval.fuse", "retrieval.where"})
"""Settings that may be mappings and are yet one value: a stronger layer replaces them as a whole."""


def _not_empty(name: str) -> str:
    """A name that is none would mean the folder in which the program was started."""
    if not name.strip():
        raise PydanticCustomError("empty", "a text that is not empty")
    return name


Name = Annotated[str, AfterValidator(_not_empty)]
Grade = Literal["exact", "parallel", "parallel+ape", "link-k", "full"]
Specs = list[str | dict[str, dict[str, Any]]]


class Section(BaseModel):
    """A part of the settings: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ChunkSettings(Section):
    """How documents are split."""

    tokens: int = Field(
        200, ge=8, description="longest chunk, in tokens of the model; less where its window is smaller"
    )
    overlap: int = Field(0, ge=0, description="tokens that a chunk repeats of the one before it")


class RetrievalSettings(Section):
    """Which chunks the strategy gets."""

    search: Specs = Field(
        ["cosine", "bm25"], description="criteria that find chunks; [] gives every chunk to the strategy"
    )
    fuse: str | dict[str, dict[str, float]] = Field(
        "weighted",
        description="how rankings become one: weighted, {weighted: {cosine: 0.7, bm25: 0.3}}, or rrf (reciprocal rank)",
    )
    rescore: Specs = Field([], description="criteria that re-rank what was found, in this order")
    depth: int = Field(100, ge=1, description="candidates of each search, and of the fusion for rescore")
    where: dict[str, Any] = Field(
        {}, description="what may be found: {speaker: alice, year: {'>=': 1900}}, of source, kind, speaker and metadata"
    )
    since: str | None = Field(None, description="what may be found: of this day or time and later; 2024-05-01")
    until: str | None = Field(None, description="what may be found: of this day or time and earlier")
    top_k: int = Field(8, ge=1, description="chunks that the strategy gets")
    embedder: Name = Field("builtin", description="sentence-transformers folder or hub name for criteria that embed")

    @field_validator("since", "until", mode="before")
    @classmethod
    def _written(cls, value: object) -> object:
        """A day that YAML or TOML has read, as text again."""
        return value.isoformat() if isinstance(value, date) else value


class GenerationSettings(Section):
    """How the model writes."""

    max_new_tokens: int = Field(128, ge=1, description="longest reply to one prompt")
    temperature: float = Field(0.0, ge=0, description="0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus; 1 keeps all tokens")
    top_k: int = Field(0, ge=0, description="0 keeps all tokens")
    seed: int = Field(0, ge=0, description="of the sampler")
    stop: list[str] = Field([], description="a reply ends before the first of these")


class AnswerSettings(Section):
    """When to abstain."""

    min_confidence: float = Field(0.08, ge=0, le=1, description="abstain below it, where the model gives a confidence")
    require_evidence: bool = Field(True, description="abstain where no quote is found in the sources")


class ChatSettings(Section):
    """What a chat recalls for each turn."""

    budget: int = Field(
        1500, ge=0, description="tokens of all that is recalled for a turn; less where the model's window is smaller"
    )
    documents: int = Field(3, ge=0, description="chunks of documents that are recalled for a turn")
    min_confidence: float = Field(
        0.5, ge=0, le=1, description="a model that does not write abstains below it; what people say is short"
    )
    read_facts: bool = Field(
        True, description="consolidation looks for facts with the built-in reader too, where no rule finds any"
    )
    instructions: str = Field("", description="what a model that writes is told first; empty: ctxproc's own words")


class LimitSettings(Section):
    """Hard limits; null is no limit."""

    source_bytes: int = Field(1 << 28, ge=1, description="largest source; reading one takes some 15 times its memory")
    files: int = Field(10_000, ge=1, description="files of all sources together")
    text_bytes: int = Field(1 << 28, ge=1, description="text of one PDF, or unpacked parts of one DOCX or EPUB")
    pdf_seconds: int = Field(300, ge=1, description="processor time for one PDF")
    pdf_bytes: int = Field(1 << 31, ge=1, description="memory of the process that reads one PDF")
    archive_entries: int = Field(20_000, ge=1, description="files in one DOCX or EPUB")
    archive_ratio: int = Field(200, ge=1, description="unpacked bytes per packed byte of a part of an archive")
    chunks: int = Field(10_000_000, ge=1, description="chunks of all documents together")
    memories: int = Field(10_000_000, ge=1, description="notes and chunks of one owner in a memory file")
    nodes: int = Field(1_000_000, ge=1, description="concepts of the graph of one owner's passages")
    calls: int | None = Field(None, ge=0, description="model calls of one run")
    run_tokens: int | None = Field(None, ge=0, description="tokens of one run, prompts and replies")


class CacheSettings(Section):
    """What is kept between runs, on this machine only."""

    folder: str = Field("", description="where; empty: the user's cache folder")
    embeddings: bool = Field(True, description="keep embeddings of chunks, by content")
    runs: int = Field(
        100, ge=0, description="traces kept for `ctxproc explain`, with the texts they read; 0 keeps none"
    )


class EndpointSettings(Section):
    """How a model server is used: where ``model`` is ``http://host:port/v1`` or ``...#name``."""

    api: Literal["auto", "chat", "completions"] = Field("auto", description="auto: chat, where the server has it")
    concurrency: int = Field(8, ge=1, le=100, description="requests under way at once")
    timeout: float = Field(600, gt=0, description="seconds for one request, from sending to the end of the answer")
    retries: int = Field(4, ge=0, le=20, description="further attempts after 429, 5xx or a failed connection")
    key_env: str = Field("OPENAI_API_KEY", description="environment variable with the server's key; empty: no key")
    tokenizer: str = Field(
        "", description="folder or hub name of the model's tokenizer; empty: the server counts, or bytes are counted"
    )


class ReuseSettings(Section):
    """How keys and values that a model computed of a chunk are used again."""

    grade: Grade = Field(
        "exact",
        description="exact: as if nothing were reused; parallel: chunks side by side, exact by that method's own rule; "
        "parallel+ape and link-k: approximate; full: no reuse",
    )
    ram_bytes: int = Field(2 << 30, ge=0, description="keys and values kept in memory")
    disk_bytes: int = Field(8 << 30, ge=0, description="keys and values kept on disk, in the cache folder; 0: none")
    device_bytes: int = Field(4 << 30, ge=0, description="keys and values kept on the GPU; unused on a CPU")
    link_tokens: int = Field(16, ge=1, description="link-k: first tokens of each chunk that are computed again")
    temperature: float = Field(
        0.9, gt=0, le=1, description="parallel+ape: divides the attention scores of the chunks; below 1 sharpens them"
    )
    scale: float = Field(
        0.9, gt=0, le=1, description="parallel+ape: factor on the chunks' log-sum-exp; their weight beside the question"
    )


class Settings(Section):
    """Everything that can be set, and its defaults."""

    model: Name = Field(
        "builtin",
        description="builtin (a reader), builtin:causal, a folder, a GGUF file or a hub name of a causal model, or "
        "http://host:port/v1 of a server",
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    dtype: str = Field("auto", description="auto, float32, bfloat16, float16")
    quantise: Literal["none", "int8", "int4"] = Field(
        "none", description="weights in 8 or 4 bits: by torchao on a CPU, bitsandbytes on CUDA"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads; null: the cores that this process may use")
    context_window: int | None = Field(
        None, ge=16, description="tokens of a prompt and its answer; null: the model's own"
    )
    strategy: str | dict[str, dict[str, Any]] = Field(
        "map_rerank", description="name, {name: {parameter: value}}, or selection+strategy such as memrecall+nbce"
    )
    chunk: ChunkSettings = ChunkSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    generation: GenerationSettings = GenerationSettings()
    answer: AnswerSettings = AnswerSettings()
    chat: ChatSettings = ChatSettings()
    limits: LimitSettings = LimitSettings()
    cache: CacheSettings = CacheSettings()
    reuse: ReuseSettings = ReuseSettings()
    endpoint: EndpointSettings = EndpointSettings()


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"retrieval": {"search": ["bm25"], "top_k": 4}},
    "balanced": {},
    "thorough": {"retrieval": {"top_k": 32}, "generation": {"max_new_tokens": 256}},
}

Layer = tuple[str, Mapping[str, Any]]


def resolve(
    *,
    preset: str | None = None,
    file: Path | None = None,
    sets: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> tuple[Settings, dict[str, str]]:
    """The settings, and the origin of each value by its dotted name.

    Args:
        preset: one of `PRESETS`; a file may name one as well (``preset: fast``).
        file: YAML or TOML.
        sets: ``key=value`` with a dotted key and a value in YAML.
        flags: dotted names with values, the strongest layer; None values are left out.

    Raises:
        ConfigError: a key is unknown, a value is wrong, the file cannot be read.
        UnknownNameError: no preset of that name.
    """
    layers: list[Layer] = []
    content = dict(read_file(file)) if file else {}
    named = content.pop("preset", None)
    name = next((one for one in (preset, named) if one is not None), "balanced")
    if name not in PRESETS:
        raise UnknownNameError("preset", str(name), PRESETS)
    layers.append((f"preset {name}", PRESETS[name]))
    if file:
        layers.append((str(file), content))
    layers += [(f"--set {item}", assignment(item)) for item in sets]
    layers += [("flag", nested(key, value)) for key, value in (flags or {}).items() if value is not None]
    values: dict[str, Any] = Settings().model_dump()
    origins = dict.fromkeys(flatten(values), "default")
    for origin, layer in layers:
        merge(values, layer, origins, origin)
    return validated(values, origins), origins


def validated(values: Mapping[str, Any], origins: Mapping[str, str]) -> Settings:
    """The settings with these values.

    Raises:
        ConfigError: one line that names the first wrong key and where it came from.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = next((k for n in range(len(first["loc"]), 0, -1) if (k := dotted(first["loc"][:n])) in origins), "")
        key = key or dotted(first["loc"])
        where = origins.get(key, "")
        known = flatten(Settings().model_dump())
        if first["type"] == "extra_forbidden":
            message = unknown(dotted(first["loc"]), known)
        else:
            message = wrong(key, first, known, key in known and known[key] is None)
        raise ConfigError(message + (f" ({where})" if where not in ("", "default") else "")) from None


def dotted(path: Iterable[str | int]) -> str:
    """A path of keys as one name."""
    return ".".join(map(str, path))


def merge(values: dict[str, Any], layer: Mapping[str, Any], origins: dict[str, str], origin: str, at: str = "") -> None:
    """Put a layer over ``values``, in place; sections are merged, everything else is replaced."""
    for key, value in layer.items():
        name = f"{at}{key}"
        if isinstance(value, Mapping) and isinstance(values.get(key), dict) and name not in origins:
            merge(values[key], value, origins, origin, f"{name}.")
        else:
            values[key] = copy.deepcopy(value)
            origins[name] = origin


def flatten(values: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Dotted names of the single values; those in `WHOLE` and lists count as single."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and at + key not in WHOLE:
            flat.update(flatten(value, f"{at}{key}."))
        else:
            flat[at + key] = value
    return flat


def nested(key: str, value: object) -> dict[str, Any]:
    """``nested("a.b", 1) == {"a": {"b": 1}}``."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value  # type: ignore[return-value]


def assignment(item: str) -> dict[str, Any]:
    """``key=value`` as a layer."""
    key, equals, value = item.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set takes key=value, not {item!r}; `ctxproc config show` lists the keys")
    return nested(key.strip(), load_yaml(value, f"--set {key.strip()}"))


def read_file(file: Path) -> Mapping[str, Any]:
    """A configuration file as a mapping: TOML by its suffix, YAML otherwise.

    Raises:
        ConfigError: it cannot be read, is larger than 1 MB, or is no mapping.
    """
    text = read_text(file, "configuration", MAX_FILE_BYTES, ConfigError)
    if file.suffix.lower() == ".toml":
        try:
            content: object = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigError(f"the configuration {file} is not TOML: {str(error).splitlines()[0]}") from error
    else:
        content = load_yaml(text, str(file)) or {}
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"the configuration {file} must hold keys and values")
    return content


class PlainLoader(yaml.SafeLoader):
    """YAML without aliases, which can be nested into a bomb."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As ever, but an alias is an error."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)


def load_yaml(text: str, where: str) -> Any:  # noqa: ANN401 (a value of any shape)
    """The value that a YAML text describes.

    Raises:
        ConfigError: it is not YAML, uses tags or aliases, or is nested too deeply.
    """
    try:
        return yaml.load(text, PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        mark = getattr(error, "problem_mark", None)
        at = f" (line {mark.line + 1})" if mark and "\n" in text.strip() else ""
        raise ConfigError(f"{where}: not a plain YAML value: {problem}{at}") from error


def cache_folder(settings: Settings) -> Path:
    """Where keys and values, embeddings and traces are kept: as set, or below the user's cache folder.

    Raises:
        ConfigError: it is not set, and the user has no home.
    """
    if settings.cache.folder:
        return Path(settings.cache.folder).expanduser()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ctxproc"
    except RuntimeError as error:
        raise ConfigError("no home folder is known: set XDG_CACHE_HOME or cache.folder to a folder of yours") from error
