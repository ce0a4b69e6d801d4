"""The drawing of a graph: what is in it, by value; hostile names stay text; the same drawing each time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import pytest
from corpora import passage
from hostile import NAMES, PATHS

from ctxproc.errors import UsageError
from ctxproc.memory.base import Passage
from ctxproc.memory.facts import Facts
from ctxproc.memory.graph import ConceptGraph
from ctxproc.memory.graph_draw import Drawing, clean, drawing, graphml, places, write
from ctxproc.memory.graph_page import SCRIPT, page

MAY, JUNE = (datetime(2026, month, 1, tzinfo=UTC) for month in (5, 6))
HOSTILE = (
    "<script>alert(1)</script>",
    "</title></svg><script src=//x.example/x.js></script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "]]><!ENTITY x SYSTEM 'file:///etc/passwd'>",
    "&lt;b&gt; &amp;",
    "\x00\x0b\ufffe nul",
    *NAMES,
)


def fact(key: int, subject: str, relation: str, object_: str, time: datetime = MAY, **more: object) -> Passage:
    about = {"subject": subject, "relation": relation, "object": object_, "turn": 1, "start": 0, "end": 1}
    rest = {"single": True, "ends": False, "said": time.isoformat(), "by": "test", **more}
    return passage(key, f"{subject} {relation} {object_}.", time, kind="fact", metadata={**about, **rest})


def graph_of(*texts: str) -> ConceptGraph:
    graph = ConceptGraph()
    for key, text in enumerate(texts, 1):
        graph.update([passage(key, text, MAY, kind="turn")])
    return graph


def drawn_of(texts: tuple[str, ...], *rows: Passage, most: int = 80) -> Drawing:
    return drawing(graph_of(*texts), Facts.of(rows).all, most)


def test_concepts_links_and_facts_are_drawn_and_a_name_that_is_a_concept_is_one_node() -> None:
    rows = (fact(10, "Anselm", "lives in", "Lyon"), fact(11, "anselm", "lives in", "Paris", JUNE))
    drawn = drawn_of(("Anselm met Brida.", "Anselm met Brida again."), *rows)
    assert drawn.left_out == 0
    labels = {node: about["label"] for node, about in drawn.graph.nodes(data=True)}
    assert labels == {"c:anselm": "Anselm", "n:lyon": "Lyon", "n:paris": "Paris", "c:brida": "Brida"}
    assert drawn.graph.nodes["c:anselm"] == {"label": "Anselm", "mentions": 2, "facts": 2, "t": 2}
    edges = {(labels[one], labels[other]): about for one, other, about in drawn.graph.edges(data=True)}
    assert edges["Anselm", "Brida"] == {"kind": "beside", "strength": 2, "t": 2}
    assert edges["Anselm", "Lyon"]["until"] == JUNE.isoformat() and edges["Anselm", "Paris"]["until"] == ""
    assert edges["Anselm", "Paris"] | {"since": ""} == {
        "kind": "fact",
        "strength": 1,
        "passage": 11,
        "label": "lives in",
        "since": "",
        "until": "",
    }


def test_what_never_held_is_not_drawn() -> None:
    rows = (fact(10, "Anselm", "lives in", "Lyon"), fact(11, "Anselm", "lives in", "", JUNE, ends=True))
    assert [about["label"] for _, about in drawn_of((), *rows).graph.nodes(data=True)] == ["Anselm", "Lyon"]


def test_the_weakest_are_left_out_and_the_page_says_so() -> None:
    texts = ("Anselm met Brida.", "Anselm met Brida.", "Brida met Corvin.", "Dorian!", "Anselm met Corvin.")
    drawn = drawn_of(texts, fact(10, "Egon", "likes", "tea"), most=4)
    assert [about["label"] for _, about in drawn.graph.nodes(data=True)] == ["Egon", "tea", "Anselm", "Brida"]
    assert drawn.left_out == 2 and "The 2 with the weakest links are left out." in page(drawn, "x")
    assert "left out" not in page(drawn_of(texts), "x")


def test_graphml_is_read_back_by_networkx_with_every_value(tmp_path: Path) -> None:
    rows = [fact(10 + i, name, "is", f"{name} too") for i, name in enumerate(HOSTILE) if name.strip()]
    drawn = drawn_of(("Anselm met Brida.",), *rows)
    write(tmp_path / "x.graphml", graphml(drawn))
    read = nx.read_graphml(tmp_path / "x.graphml", force_multigraph=True)
    assert dict(read.nodes(data=True)) == dict(drawn.graph.nodes(data=True))
    assert sorted(map(repr, read.edges(data=True))) == sorted(map(repr, drawn.graph.edges(data=True)))
    ElementTree.fromstring((tmp_path / "x.graphml").read_bytes())


class Elements(HTMLParser):
    """Collects elements, their attributes and all text outside of the page's own style and script."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_text_wherever_it_stands(name: str) -> None:
    rows = (fact(10, name, name, f"{name} other"), fact(11, "Anselm", name, name))
    made = page(drawn_of((f"Anselm met Brida {name}.",), *rows), name)
    found = Elements()
    found.feed(made)
    assert found.tags.count("script") == 1 and made.count(SCRIPT) == 1
    assert set(found.tags) <= {*"html head meta title style body p b svg g line path circle text script".split()}
    assert not any(name.startswith("on") or name in ("src", "href") for name in found.attributes)
    assert clean(name) in "".join(found.texts) and "\0" not in made


def test_a_page_fetches_nothing() -> None:
    made = page(drawn_of(("Anselm met Brida.",)), "x")
    outside = re.findall(r"(?:https?:)?//[a-z]\S*|url\(|import|fetch\(", made)
    assert outside == ['//www.w3.org/2000/svg"'] or set(outside) == {'http://www.w3.org/2000/svg"'}
    assert "default-src 'none'" in made and "script-src 'sha256-" in made


def test_the_script_is_the_one_that_the_policy_names() -> None:
    import base64
    import hashlib

    made = page(drawn_of(("Anselm met Brida.",)), "x")
    [script] = re.findall(r"<script>(.*?)</script>", made, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in made


def test_places_lie_in_the_picture_and_what_is_linked_is_nearer() -> None:
    texts = tuple(f"{a} met {b}." for group in ("ABCD", "EFGH") for a in group for b in group if a < b)
    drawn = drawn_of(tuple(re.sub(r"\b([A-H])\b", r"\1nselm", text) for text in texts))
    found = places(drawn)
    assert all(0 <= value <= 1 for spot in found.values() for value in spot)
    assert {value for spot in found.values() for value in spot} >= {0.0, 1.0}

    def apart(one: str, other: str) -> float:
        return sum((a - b) ** 2 for a, b in zip(found[f"c:{one}nselm"], found[f"c:{other}nselm"], strict=True))

    near = [apart(a, b) for group in ("abcd", "efgh") for a in group for b in group if a < b]
    assert max(near) < min(apart(a, b) for a in "abcd" for b in "efgh")


def test_an_empty_graph_and_a_single_node_are_drawn() -> None:
    assert places(drawn_of(())) == {} and "0 names and concepts" in page(drawn_of(()), "x")
    assert places(drawn_of(("Anselm!",))) == {"c:anselm": (0.5, 0.5)}
    ElementTree.parse(StringIO(graphml(drawn_of(()))))


def test_the_page_is_the_same_in_every_process() -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:];"
        "from test_graph_draw import *;"
        "print(page(drawn_of(('Anselm met Brida.', 'Corvin met Brida.', 'Dorian met Corvin and Egon.'),"
        " fact(9, 'Anselm', 'likes', 'tea')), 'x'))"
    )
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    pages = {
        subprocess.run(
            [sys.executable, "-c", code, *folders],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(pages) == 1


@pytest.mark.parametrize("path", PATHS)
def test_a_file_that_cannot_be_written_is_one_line(path: str) -> None:
    with pytest.raises(UsageError, match="name another file"):
        write(Path(path), "x")


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    write(file, "one")
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="is there already"):
        write(file, "two")
    assert file.read_text() == "one" and list(tmp_path.iterdir()) == [file]
