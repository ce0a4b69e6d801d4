"""Questions that need two blocks, the second of which is found only with the first one kept.

From the relations of Re-DocRED: (A, R1, B) with its evidence in one block and (B, R2, C) in another give "the R2 of the
R1 of A", which names A alone. From plain text: two passages that share a rare name; the question is one of the other
sentence about that name, in which the name is replaced by what the first passage says of it. From StrategyQA: facts
that a question needs, some kept, one to be found.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.judge_near import Pool
from training.reader_cloze import cloze, find_spans, sentences
from training.reader_relations import ASK
from training.reader_text import detokenise, normal

__all__ = ["Group", "facts", "named", "related"]

THE = {
    "P17": "the country of {h}", "P131": "the place where {h} is", "P27": "the country that {h} is from",
    "P19": "the birthplace of {h}", "P20": "the place where {h} died", "P175": "the performer of {h}",
    "P161": "the star of {h}", "P57": "the director of {h}", "P58": "the screenwriter of {h}", "P50": "the author of {h}",
    "P86": "the composer of {h}", "P162": "the producer of {h}", "P170": "the creator of {h}",
    "P178": "the developer of {h}", "P123": "the publisher of {h}", "P176": "the maker of {h}",
    "P264": "the record label of {h}", "P495": "the country where {h} originated", "P463": "the group {h} belongs to",
    "P361": "what {h} is part of", "P26": "the spouse of {h}", "P40": "the child of {h}", "P22": "the father of {h}",
    "P25": "the mother of {h}", "P3373": "the sibling of {h}", "P127": "the owner of {h}",
    "P749": "the parent company of {h}", "P112": "the founder of {h}", "P159": "the city where {h} is based",
    "P740": "the place where {h} was formed", "P69": "the school where {h} studied", "P108": "the employer of {h}",
    "P54": "the team {h} plays for", "P118": "the league of {h}", "P241": "the military branch of {h}",
    "P102": "the political party of {h}", "P36": "the capital of {h}", "P6": "the head of government of {h}",
    "P35": "the president of {h}", "P166": "the award {h} won", "P800": "the famous work of {h}",
    "P449": "the network that aired {h}", "P206": "the body of water {h} is on", "P155": "what came before {h}",
    "P156": "what came after {h}", "P179": "the series {h} is part of", "P1441": "the work in which {h} appears",
    "P674": "the character of {h}", "P272": "the company that produced {h}", "P551": "the place where {h} lived",
    "P607": "the war {h} fought in", "P710": "the participant of {h}", "P1344": "the event {h} took part in",
    "P150": "a district of {h}", "P276": "the place of {h}", "P527": "the member of {h}",
}  # fmt: skip


@dataclass(frozen=True)
class Group:
    """A query, the blocks kept so far, a block that is needed next, and blocks that are not."""

    query: str
    block: str
    others: list[str]
    kind: str
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edge:
    """A relation with its block: sentences from ``first`` up to ``end`` of a document."""

    document: int
    head: int
    relation: str
    tail: int
    first: int
    end: int


class Document:
    """A document of Re-DocRED, to be cut into blocks of sentences."""

    def __init__(self, number: int, record: dict[str, Any]) -> None:
        """Keep the record."""
        self.number, self.record = number, record
        self.names = [max((m["name"] for m in entity), key=len) for entity in record["vertexSet"]]

    def text(self, first: int, end: int, title: str = "") -> str:
        """Sentences as one text, a title line before it if there is one."""
        body = detokenise([word for sentence in self.record["sents"][first:end] for word in sentence])[0]
        return f"{title}\n{body}" if title else body

    def edges(self, rng: random.Random) -> Iterator[Edge]:
        """The relations that can be asked for, with a block of two to four sentences around their evidence."""
        count = len(self.record["sents"])
        for label in self.record["labels"]:
            seen = sorted(label["evidence"])
            if label["r"] in ASK and seen and seen[-1] - seen[0] < 4:
                first = max(0, seen[0] - rng.randint(0, 1))
                end = min(count, max(seen[-1] + 1, first + rng.randint(2, 4)))
                yield Edge(self.number, label["h"], label["r"], label["t"], first, end)

    def holds(self, entity: int, first: int, end: int) -> bool:
        """Whether these sentences mention the entity."""
        return any(first <= mention["sent_id"] < end for mention in self.record["vertexSet"][entity])

    def windows(self) -> list[str]:
        """Blocks of three sentences, with the document's title."""
        count = len(self.record["sents"])
        return [self.text(k, min(k + 3, count), str(self.record["title"])) for k in range(0, count, 3)]


def related(records: Sequence[dict[str, Any]], pool: Pool, rng: random.Random, most: int) -> Iterator[Group]:
    """Groups from relations: one hop, and both hops of two; at most ``most`` pairs of relations."""
    documents = [Document(k, record) for k, record in enumerate(records)]
    edges = [edge for document in documents for edge in document.edges(rng)]
    from_name: dict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        from_name[documents[edge.document].names[edge.head]].append(edge)
    pairs = []
    for one in edges:
        name = documents[one.document].names[one.tail]
        for two in from_name[name] if one.relation in THE else []:
            same = one.document == two.document
            apart = one.end <= two.first or two.end <= one.first
            loops = documents[two.document].names[two.tail] == documents[one.document].names[one.head]
            if not loops and (
                (same and apart and documents[one.document].holds(two.head, two.first, two.end)) or not same
            ):
                pairs.append((one, two))
    rng.shuffle(pairs)
    heads: dict[tuple[int, int, str], int] = defaultdict(int)
    taken = 0
    for one, two in pairs:
        key = (one.document, one.head, one.relation)
        if taken < most and heads[key] < 2:
            heads[key] += 1
            taken += 1
            yield from _both(documents, one, two, pool, rng)


def _both(documents: Sequence[Document], one: Edge, two: Edge, pool: Pool, rng: random.Random) -> Iterator[Group]:
    """The first hop with nothing kept, and the second with the first block kept."""
    d1, d2 = documents[one.document], documents[two.document]
    a, b = d1.names[one.head], d1.names[one.tail]
    title = a if rng.random() < 0.5 else str(d1.record["title"])
    first = d1.text(one.first, one.end, title if rng.random() < 0.8 else "")
    second = d2.text(two.first, two.end, b if rng.random() < 0.6 else "")
    query = rng.choice(ASK[two.relation]).format(h=THE[one.relation].format(h=a))
    query = query.lower() if rng.random() < 0.4 else f"{query[:1].upper()}{query[1:]}?"
    own = [w for w in d1.windows() if f" {normal(b)} " not in f" {normal(w)} "]
    others = pool.of(f"{query} {first}", [b], 5, [first, second], rng)
    yield Group(query, second, [*rng.sample(own, min(2, len(own))), *others], "hop-2", (first,))
    if rng.random() < 0.3:  # what a search without the first block should find as well
        yield Group(query, second, others, "hop-0")
    if rng.random() < 0.5:
        yield Group(query, first, pool.of(query, [a], 6, [first, second], rng), "hop-1")


def named(passages: Sequence[tuple[str, str]], pool: Pool, rng: random.Random, most: int) -> Iterator[Group]:
    """Groups from passages (document, text) that share a rare name, at most ``most`` pairs."""
    places: dict[str, set[int]] = defaultdict(set)
    for k, (_, text) in enumerate(passages):
        for span in find_spans(text):
            name = text[span.start : span.end]
            if span.kind in {"name", "person", "place"} and (" " in name or len(name) > 7):
                places[name].add(k)
    rare = [(name, sorted(found)) for name, found in sorted(places.items()) if 2 <= len(found) <= 4]
    rng.shuffle(rare)
    taken = 0
    for name, found in rare:
        x, y = rng.sample(found, 2)
        other = passages[x][0] != passages[y][0]
        if taken < most and other and (query := bridged(passages[x][1], passages[y][1], name, rng)):
            taken += 1
            others = pool.of(f"{query} {passages[x][1]}", [name], 6, [], rng)
            yield Group(query, passages[y][1], others, "name-2", (passages[x][1],))


def bridged(first: str, second: str, name: str, rng: random.Random) -> str:
    """A question about a sentence of ``second`` that names what ``first`` says of the name; "" where none can be made."""
    told = [s for s in _holding(first, name) if len(s.split()) > 6]
    asked = [s for s in _holding(second, name) if len(s.split()) > 6]
    if not told or not asked:
        return ""
    sentence, about = rng.choice(asked), rng.choice(told)
    spans = [s for s in find_spans(sentence) if name not in sentence[s.start : s.end]]
    if not spans:
        return ""
    bare = set(normal(name).split())
    left = [word for word in cloze(sentence, rng.choice(spans), rng).rstrip("?").split() if normal(word) not in bare]
    at = len(about[: about.find(name)].split())
    words = about.split()
    near = [w for w in words[max(0, at - 5) : at + len(name.split()) + 6] if normal(w) not in bare]
    link = rng.choice(["of the one that", "of", "for", "the one", ""])
    query = " ".join([*left, link, *near]).split()
    return " ".join(query).lower() if rng.random() < 0.5 else " ".join(query)


def _holding(text: str, name: str) -> list[str]:
    return [text[a:b] for a, b in sentences(text) if name in text[a:b]]


def facts(data: Path, rng: random.Random) -> Iterator[Group]:
    """Groups from StrategyQA: the facts that a question needs, one to be found, of the others some kept."""
    records = json.loads((data / "eval/strategyqa/train.json").read_text(encoding="utf-8"))
    pool = Pool([fact for record in records for fact in record["facts"]])
    for record in _shuffled(records, rng):
        needed = list(dict.fromkeys(record["facts"]))
        if len(needed) < 2:
            continue
        rng.shuffle(needed)
        kept = tuple(needed[1 : rng.randint(1, len(needed))])
        others = pool.of(" ".join([record["question"], *kept]), [], 6, needed, rng)
        yield Group(record["question"], needed[0], others, "fact-2" if kept else "fact-1", kept)


def _shuffled(records: Iterable[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    some = list(records)
    rng.shuffle(some)
    return some
