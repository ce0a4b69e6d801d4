"""The measures of benchmarks/graph_extraction.py, against values worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from graph_extraction import (
    EXTRACTORS,
    TYPES,
    Annotated,
    capitals,
    counts,
    figures,
    head,
    joined_names,
    mention_counts,
    plain,
    pooled,
    redocred,
    relation_counts,
    reported,
)

from ctxproc.memory.extract.relations import _PATTERNS

DATA = Path(__file__).parents[3] / "shared" / "data"


def test_counts_and_figures_by_hand() -> None:
    assert counts({1, 2, 3}, {2, 3, 4, 5}) == (2, 3, 4)
    assert figures([(2, 3, 4), (0, 1, 0)]) == (2 / 4, 2 / 4, 4 / 8)
    assert figures([(0, 0, 3)]) == figures([(0, 0, 0)]) == (0, 0, 0)


def test_intervals_hold_the_value_and_are_points_where_all_rows_are_alike() -> None:
    assert pooled([(1, 2, 4)] * 9)["f1"] == {"value": 33.3, "low": 33.3, "high": 33.3}
    mixed = pooled([(1, 1, 1), (0, 1, 1)] * 20)["precision"]
    assert mixed["low"] < mixed["value"] == 50.0 < mixed["high"]


def test_tokens_become_running_text() -> None:
    tokens = ["Eve", "(", "born", "1990", ")", ",", "Ana", "'s", "aunt", ",", "left", "."]
    assert plain(tokens) == "Eve (born 1990), Ana's aunt, left."


def test_the_head_of_a_phrase() -> None:
    assert [
        head(p) for p in ("the old house", "the house of Hanover", "her ladies in waiting", "Salt Lake City", "the")
    ] == [
        "house",
        "house",
        "ladies",
        "city",
        "",
    ]


def test_neighbouring_names_are_joined() -> None:
    assert joined_names("Anna met Ana Silva of Lyon in May 2019.") == ["Anna", "Ana Silva of Lyon", "May", "2019"]
    assert capitals("Anna met Ana Silva in May 2019.") == ["Anna", "Ana Silva", "May", "2019."]


def test_mentions_are_counted_by_sentence() -> None:
    document = Annotated(["Anna saw Bo.", "Bo saw a dog."], [["Anna", "Bo"], ["Anna", "Bo"]], [], set())
    assert mention_counts(document, capitals, str) == (3, 3, 4)
    assert mention_counts(document, EXTRACTORS["words"], str) == (3, 6, 4)


def test_relations_are_right_where_pair_type_and_direction_are() -> None:
    things = [{"eve moe", "eve"}, {"lyon"}, {"france"}, {"1990"}]
    labels = {(0, "P19", 1), (2, "P131", 1), (0, "P569", 3)}  # the second in the other direction
    document = Annotated(["Eve Moe was born in Lyon, France."], [[]], things, labels)
    found = relation_counts(document)
    assert found["relations"] == (1, 2, 3)
    assert found["untyped"] == (2, 2, 3)
    assert found["neighbours"] == (2, 2, 3)


def test_every_relation_that_is_found_has_types() -> None:
    assert {relation for relation, _ in _PATTERNS} == set(TYPES)


def test_odd_documents_are_counted_from_one() -> None:
    documents = [Annotated([str(i)], [[]], [], set()) for i in range(1, 6)]
    assert [d.sentences[0] for d in reported(documents, "odd")] == ["1", "3", "5"]
    assert [d.sentences[0] for d in reported(documents, "even")] == ["2", "4"]


@pytest.mark.skipif(not (DATA / "eval" / "redocred").is_dir(), reason="no shared/data/eval/redocred")
def test_documents_are_read_with_their_mentions() -> None:
    first = redocred(DATA)[0]
    assert first.sentences[0].startswith('Wilfried " Willi " Schneider (born 13 March 1963 in Mediaș, Transylvania)')
    assert "Mediaș" in first.mentions[0] and {"transylvania"} in first.things and first.labels
