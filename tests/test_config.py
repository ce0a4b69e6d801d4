"""Settings: layers, origins, and one clear line for everything that is wrong."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from ctxproc.config import MAX_FILE_BYTES, PRESETS, Settings, flatten, resolve
from ctxproc.document import Limits
from ctxproc.errors import ConfigError, UnknownNameError


def test_defaults_are_the_balanced_preset() -> None:
    settings, origins = resolve()
    assert settings == Settings()
    assert set(origins.values()) == {"default"}
    assert set(origins) == set(flatten(settings.model_dump()))


def test_stronger_layers_win_and_every_value_names_its_layer(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("preset: fast\nretrieval: {top_k: 5}\nmodel: here\n", encoding="utf-8")
    settings, origins = resolve(file=file, sets=["retrieval.top_k=6", "chunk.tokens=99"], flags={"model": "there"})
    assert (settings.retrieval.top_k, settings.chunk.tokens, settings.model) == (6, 99, "there")
    assert settings.retrieval.search == ["bm25"]
    assert origins["retrieval.top_k"] == "--set retrieval.top_k=6"
    assert origins["retrieval.search"] == "preset fast"
    assert origins["model"] == "flag"
    settings, origins = resolve(file=file)
    assert (settings.retrieval.top_k, origins["retrieval.top_k"], origins["model"]) == (5, str(file), str(file))
    assert resolve(file=file, preset="balanced")[0].retrieval.search == ["cosine", "bm25"]


def test_toml_and_yaml_say_the_same(tmp_path: Path) -> None:
    toml, yml = tmp_path / "c.toml", tmp_path / "c.yml"
    toml.write_text('strategy = {map_rerank = {}}\n[retrieval]\nsearch = ["cosine", {bm25 = {k1 = 1.2}}]\n')
    yml.write_text("strategy: {map_rerank: {}}\nretrieval: {search: [cosine, {bm25: {k1: 1.2}}]}\n")
    assert resolve(file=toml)[0] == resolve(file=yml)[0]
    assert resolve(file=yml)[0].retrieval.search == ["cosine", {"bm25": {"k1": 1.2}}]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name: str) -> None:
    assert isinstance(resolve(preset=name)[0], Settings)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("retrieval.nonesuch=1", "there is no setting retrieval.nonesuch; there are: .*retrieval.top_k"),
        ("nonesuch=1", "there is no setting nonesuch; `ctxproc config show` lists all"),
        ("retrieval.serach=[bm25]", r"no setting retrieval.serach; did you mean retrieval.search\?"),
        ("retrieval.top-k=4", r"did you mean retrieval.top_k\? \(--set"),
        ("top_k=4", r"no setting top_k; did you mean generation.top_k or retrieval.top_k\?"),
        ("Retrieval.Top_K=4", r"did you mean retrieval\?"),
        ("retrieval.search=bm25", r"retrieval.search: a list, such as \[bm25\], is wanted, not 'bm25' \(--set"),
        ("retrieval.search.bm25.k1=1.2", r"a list, such as \[\{bm25: \{k1: 1.2\}\}\], is wanted"),
        ("retrieval.search=[3]", r"retrieval.search: a name, or \{name: \{parameter: value\}\}, is wanted, not '3'"),
        ("retrieval.top_k=many", "retrieval.top_k: a whole number is wanted, not 'many'"),
        ("retrieval.top_k=0", "retrieval.top_k: 1 or more is wanted, not '0'"),
        ("generation.top_p=2", "generation.top_p: 1.0 or less is wanted"),
        ("generation.top_p=0", "generation.top_p: more than 0.0 is wanted"),
        ("limits.calls=none", "limits.calls: a whole number or null is wanted, not 'none'"),
        ("answer.require_evidence=maybe", "true or false is wanted"),
        ("quantise=int2", "quantise: 'none', 'int8' or 'int4' is wanted, not 'int2'"),
        ("strategy=", r"strategy: a name, or \{name: .* is wanted, not null"),
        ("retrieval=3", "retrieval is a section, not '3': set one of retrieval.search, .*retrieval.embedder"),
        ("model.deep=3", "model: a text is wanted"),
        ("model=''", "model: a text that is not empty is wanted, not ''"),
        ("retrieval.embedder=' '", "retrieval.embedder: a text that is not empty"),
        ("top_k", "takes key=value"),
        ("=3", "takes key=value"),
        ("model=!!python/object/apply:os.system [true]", "not a plain YAML value"),
        ("model=&a [*a, *a]", "aliases"),
        ("model=[", "not a plain YAML value"),
    ],
)
def test_a_wrong_value_is_one_clear_line(item: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(sets=[item])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"a: &a [x, x]\nb: [*a, *a]\n",
        b"!!python/object/apply:os.system ['echo']\n",
        b"- a list\n",
        b"1: 2\n",
        b"\xff\xfe\x00",
        b"model: builtin\n" + b"#" * MAX_FILE_BYTES,
        b"[" * 50_000,
        b"model: {x: 1}\n",
    ],
)
def test_a_hostile_or_broken_file_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        resolve(file=file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_an_unknown_preset_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        resolve(file=tmp_path / "nowhere.yaml")
    with pytest.raises(UnknownNameError, match="balanced, fast, thorough"):
        resolve(preset="slow")
    with pytest.raises(UnknownNameError, match="no preset is called ''"):
        resolve(preset="")


def test_a_fault_of_a_longer_file_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("retrieval:\n  top_k: 3\n top: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"c\.yaml: not a plain YAML value: .* \(line 3\)$"):
        resolve(file=file)


def test_the_limits_of_loading_can_all_be_set_and_have_the_same_defaults() -> None:
    chosen = Settings().limits.model_dump()
    for item in fields(Limits):
        assert chosen[item.name] == item.default


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("")
    assert resolve(file=file)[0] == Settings()
