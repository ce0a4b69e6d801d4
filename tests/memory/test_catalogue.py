"""Criteria and strategies of other packages: by path, by entry point; what cannot be imported is one line."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from click.testing import CliRunner
from corpora import corpus_of

import ctxproc.catalogue
from ctxproc import ScriptedLLM
from ctxproc.ask import Library
from ctxproc.cli.catalogues import criteria
from ctxproc.config import resolve
from ctxproc.document import Document
from ctxproc.errors import ConfigError, UnknownNameError
from ctxproc.memory.criteria import Hit, catalogue
from ctxproc.strategies import catalogue as strategies

OWN = '''
from dataclasses import dataclass
from typing import ClassVar

from ctxproc.memory.criteria import Hit, Scorer, Searcher
from ctxproc.strategies.stuff import Stuff


@dataclass(frozen=True)
class Longest(Searcher):
    """The longest chunks."""

    least: int = 0

    name: ClassVar[str] = "longest"

    def search(self, corpus, query, k, among=None):
        places = range(len(corpus.chunks)) if among is None else among.tolist()
        sizes = {i: len(corpus.chunks[i].text) for i in places}
        order = sorted((i for i in places if sizes[i] >= self.least), key=lambda i: -sizes[i])
        return [Hit(i, float(sizes[i])) for i in order[:k]]


@dataclass(frozen=True)
class Backwards(Scorer):
    """The last becomes the first."""

    name: ClassVar[str] = "backwards"

    def score(self, corpus, query, hits):
        return list(reversed(hits))


@dataclass(frozen=True)
class Mine(Stuff):
    """As stuff."""

    name: ClassVar[str] = "mine"


@dataclass(frozen=True)
class Nameless(Searcher):
    def search(self, corpus, query, k, among=None):
        return []


class Other:
    pass
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package of the user's."""
    folder = tmp_path / "users_own"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "ways.py").write_text(OWN)
    (folder / "broken.py").write_text("import nonesuch_at_all\n")
    (folder / "wrong.py").write_text("def (\n")
    (folder / "raising.py").write_text("raise RuntimeError('first line\\nsecond')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("users_own")]:
        monkeypatch.delitem(sys.modules, name)
    return "users_own"


def offer(monkeypatch: pytest.MonkeyPatch, **points: str) -> None:
    """As if an installed package had these entry points."""

    def found(group: str) -> list[EntryPoint]:
        return [EntryPoint(name, value, group) for name, value in points.items() if group == "ctxproc.criteria"]

    monkeypatch.setattr(ctxproc.catalogue, "entry_points", found)


@pytest.mark.parametrize("path", ["users_own.ways:Longest", "users_own.ways.Longest"])
def test_a_criterion_is_found_by_its_path_with_parameters(own: str, path: str) -> None:
    corpus = corpus_of(["aa", "a", "aaaa", "aaa"])
    hits = corpus.select("?", 3, search=[{path: {"least": 2}}], rescore=[path.replace("Longest", "Backwards")])
    assert [hit.index for hit in hits] == [0, 3, 2] and hits[2].shares == {"longest": 1.0}
    with pytest.raises(ConfigError, match=f"criterion {path} has no parameter 'most'; it has: least"):
        catalogue.make({path: {"most": 1}})


def test_entry_points_are_listed_and_imported_only_when_named(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, longest=f"{own}.ways:Longest", broken=f"{own}.broken:X", cosine=f"{own}.ways:Longest")
    assert {"longest", "broken", "cosine", "bm25"} <= set(catalogue.names())
    assert "longest" not in strategies.names() and f"{own}.ways" not in sys.modules
    assert catalogue.get("cosine").__module__ == "ctxproc.memory.criteria.cosine"
    assert corpus_of(["aa", "aaa"]).select("?", 1, search=["longest"]) == [Hit(1, 1.0, {"longest": 1.0})]
    assert f"{own}.broken" not in sys.modules
    with pytest.raises(
        ConfigError, match=r"criterion broken cannot be imported: ModuleNotFoundError: .*nonesuch_at_all"
    ):
        catalogue.get("broken")
    with pytest.raises(UnknownNameError, match=r"there are: bm25, broken, .*longest"):
        catalogue.get("largest")


def test_what_cannot_be_imported_is_told_and_the_others_are_listed(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, longest=f"{own}.ways:Longest", broken=f"{own}.broken:X")
    listed = CliRunner().invoke(criteria)
    assert listed.exit_code == 0 and "\nlongest       The longest chunks.\n    least = 0\n" in listed.stdout
    assert listed.stderr.startswith("ctxproc: criterion broken cannot be imported: ") and listed.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("users_own.broken:X", "cannot be imported: ModuleNotFoundError: No module named 'nonesuch_at_all'"),
        ("users_own.wrong:X", "cannot be imported: SyntaxError: "),
        ("users_own.raising:X", "cannot be imported: RuntimeError: first line"),
        ("users_own.ways:Missing", "cannot be imported: AttributeError: "),
        ("nonesuch_at_all.ways:X", "cannot be imported: ModuleNotFoundError: "),
        ("users_own.ways:Other", "must be a Criterion with a name"),
        ("users_own.ways:Nameless", "must be a Criterion with a name"),
        ("users_own.ways:dataclass", "must be a Criterion with a name"),
        ("users_own.ways:Mine", "must be a Criterion with a name"),
        (":", "cannot be imported: ValueError: "),
        ("..", "cannot be imported: "),
        (".ways:X", "cannot be imported: TypeError: "),
        ("../../etc/passwd", "cannot be imported: "),
    ],
)
def test_what_is_no_criterion_is_refused_in_one_line(own: str, path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"criterion .*{message}") as caught:
        catalogue.get(path)
    assert "\n" not in str(caught.value)


def test_a_strategy_of_the_users_answers(own: str) -> None:
    chosen, _ = resolve(sets=[f"strategy={own}.ways:Mine", f"retrieval.search=['{own}.ways:Longest']", "cache.runs=0"])
    llm = ScriptedLLM(["Maren\nQuote: The lamp is kept by Maren."])
    document = Document.from_text("The lamp is kept by Maren. " * 3)
    answer = Library([document], chosen, llm=llm).ask("Who keeps the lamp?")
    assert (answer.text, answer.strategy) == ("Maren", "mine")
