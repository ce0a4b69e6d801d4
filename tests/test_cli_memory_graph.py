"""``ctxproc memory graph`` from outside."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest
from test_cli_memory import memory, run

from ctxproc.memory.base import Note, Owner
from ctxproc.memory.store import SqliteStore

CANARY = "Xylophonia"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A memory of two notes, and another user's in the same file."""
    path = tmp_path / "me.ctxproc"
    memory(path, "add", "--note", "Anselm met Brida in Lyon.")
    memory(path, "add", "--note", "Brida keeps a lantern. <script>alert(1)</script>")
    memory(path, "add", "--note", f"My dentist is called {CANARY}.", "--user", "bob")
    return path


def test_the_graph_is_drawn_as_a_page_and_as_graphml(store: Path, tmp_path: Path) -> None:
    assert memory(store, "graph", "--out", str(tmp_path / "g.html")) == "7 names and concepts drawn\n"
    page = (tmp_path / "g.html").read_text("utf-8")
    assert ">lantern</text>" in page and page.count("<script") == 1 and "What alice said" in page
    memory(store, "graph", "--out", str(tmp_path / "g.GraphML"))
    labels = nx.get_node_attributes(nx.read_graphml(tmp_path / "g.GraphML"), "label")
    assert {"Anselm", "Brida", "Lyon", "lantern"} <= set(labels.values())


def test_facts_are_drawn_with_their_relations(store: Path, tmp_path: Path) -> None:
    about = {
        "subject": "alice",
        "relation": "lives in",
        "object": "Lyon",
        "turn": 1,
        "start": 0,
        "end": 5,
        "by": "test",
    }
    kept = {**about, "single": True, "ends": False, "said": "2026-05-01T00:00:00+00:00"}
    with SqliteStore(store) as opened:
        opened.add(Owner("alice"), [Note("alice lives in Lyon.", "fact", metadata=kept)])
    memory(store, "graph", "--out", str(tmp_path / "g.graphml"))
    drawn = nx.read_graphml(tmp_path / "g.graphml", force_multigraph=True)
    labels = nx.get_node_attributes(drawn, "label")
    facts = [(labels[a], d["label"], labels[b]) for a, b, d in drawn.edges(data=True) if d["kind"] == "fact"]
    assert facts == [("alice", "lives in", "Lyon")]


def test_nothing_of_another_user_is_drawn(store: Path, tmp_path: Path) -> None:
    for name in ("g.html", "g.graphml"):
        memory(store, "graph", "--out", str(tmp_path / name))
        assert CANARY.lower() not in (tmp_path / name).read_text("utf-8").lower()
    memory(store, "graph", "--out", str(tmp_path / "b.html"), "--user", "bob")
    assert CANARY in (tmp_path / "b.html").read_text("utf-8")


def test_the_strongest_nodes_are_drawn_and_the_rest_is_told(store: Path, tmp_path: Path) -> None:
    said = memory(store, "graph", "--out", str(tmp_path / "g.html"), "--nodes", "2")
    assert said == "2 names and concepts drawn; 5 weaker ones are left out\n"
    assert "The 5 with the weakest links are left out." in (tmp_path / "g.html").read_text("utf-8")


def test_wrong_usage_is_one_line_and_exit_2(store: Path, tmp_path: Path) -> None:
    (tmp_path / "there.html").write_text("mine")
    for out, said in (
        ("x.png", "ends in .html or .graphml"),
        ("there.html", "is there already"),
        ("no/x.html", "cannot write"),
    ):
        assert said in memory(store, "graph", "--out", str(tmp_path / out), code=2)
    assert (tmp_path / "there.html").read_text() == "mine"
    assert "there is no memory file" in memory(tmp_path / "none", "graph", "--out", str(tmp_path / "x.html"), code=2)
    assert run("memory", "graph", "--memory", str(store), "--out", "x.html", "--nodes", "401", code=2).stdout == ""


def test_more_concepts_than_the_limit_are_refused(store: Path, tmp_path: Path) -> None:
    said = memory(store, "graph", "--out", str(tmp_path / "g.html"), "--set", "limits.nodes=2", code=1)
    assert "more than 2 concepts; raise limits.nodes" in said and not (tmp_path / "g.html").exists()


def test_the_criterion_is_listed_with_its_parameter() -> None:
    listed = run("criteria").stdout
    assert "graph " in listed.partition("retrieval.rescore:")[0] and "damping = 0.5" in listed
