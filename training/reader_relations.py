"""Questions from the relations of Re-DocRED, phrased as people type them into a search box.

The answer of (head, relation, tail) is every mention of every tail that the head has for this relation. For a few
relations that are nearly always annotated, a head that lacks one gives a question without an answer.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from training.reader_cloze import Example
from training.reader_text import detokenise

__all__ = ["relation_examples"]

ASK: dict[str, list[str]] = {
    "P17": [
        "what country is {h} in",
        "which country is {h} located in",
        "{h} is in which country",
        "what country is {h} from",
    ],
    "P131": [
        "where is {h} located",
        "where is {h}",
        "{h} is located in",
        "what state is {h} in",
        "what city is {h} in",
    ],
    "P276": ["where did {h} take place", "where is {h} held", "where was {h}", "location of {h}"],
    "P27": ["what country is {h} from", "what nationality is {h}", "where does {h} come from"],
    "P569": ["when was {h} born", "{h} date of birth", "what year was {h} born", "when is {h} birthday"],
    "P570": ["when did {h} die", "what year did {h} die", "{h} date of death", "when did {h} pass away"],
    "P19": ["where was {h} born", "where is {h} from", "birthplace of {h}", "what city was {h} born in"],
    "P20": ["where did {h} die", "where was {h} when he died", "place of death of {h}"],
    "P577": ["when did {h} come out", "when was {h} released", "what year was {h} published", "release date of {h}"],
    "P571": ["when was {h} founded", "when did {h} start", "what year was {h} established", "when was {h} created"],
    "P576": ["when did {h} end", "when was {h} dissolved", "what year did {h} close"],
    "P580": ["when did {h} start", "when did {h} begin", "what year did {h} start"],
    "P582": ["when did {h} end", "what year did {h} finish", "when was {h} over"],
    "P585": ["when did {h} take place", "when was {h}", "what year was {h}", "when did {h} happen"],
    "P175": ["who sings {h}", "who sang {h}", "who performed {h}", "{h} was sung by", "who is the singer of {h}"],
    "P161": ["who starred in {h}", "who plays in {h}", "who is in the cast of {h}", "who acted in {h}"],
    "P57": ["who directed {h}", "who is the director of {h}", "{h} was directed by"],
    "P58": ["who wrote the screenplay for {h}", "who wrote the script of {h}", "who wrote {h}"],
    "P50": ["who wrote {h}", "who is the author of {h}", "{h} was written by"],
    "P86": ["who composed {h}", "who wrote the music for {h}", "who wrote {h}"],
    "P676": ["who wrote the lyrics of {h}", "who wrote the words to {h}", "who wrote the song {h}"],
    "P162": ["who produced {h}", "who is the producer of {h}", "{h} was produced by"],
    "P170": ["who created {h}", "who is the creator of {h}", "who made {h}", "who came up with {h}"],
    "P178": ["who developed {h}", "who made {h}", "which company developed {h}"],
    "P123": ["who published {h}", "what company published {h}", "who is the publisher of {h}"],
    "P176": ["who makes {h}", "who manufactures {h}", "what company made {h}", "who built {h}"],
    "P264": ["what record label is {h} on", "which label released {h}", "who released {h}"],
    "P495": ["what country is {h} from", "where did {h} originate", "where does {h} come from"],
    "P463": ["what group is {h} a member of", "what band is {h} in", "which organization does {h} belong to"],
    "P527": ["what is {h} made of", "who is in {h}", "what does {h} consist of", "who are the members of {h}"],
    "P361": ["what is {h} part of", "{h} is part of what", "{h} belongs to which"],
    "P1344": ["what event did {h} take part in", "what did {h} compete in", "which games did {h} play in"],
    "P710": ["who took part in {h}", "who fought in {h}", "who participated in {h}", "who competed in {h}"],
    "P607": ["what war did {h} fight in", "which war was {h} in", "what battle did {h} take part in"],
    "P26": ["who is {h} married to", "who did {h} marry", "who is the wife of {h}", "who is the husband of {h}"],
    "P40": [
        "who is the child of {h}",
        "who are {h}'s children",
        "what is the name of {h}'s son",
        "who is {h}'s daughter",
    ],
    "P22": ["who is the father of {h}", "who is {h}'s father", "who was {h}'s dad"],
    "P25": ["who is the mother of {h}", "who is {h}'s mother", "who was {h}'s mom"],
    "P3373": ["who is {h}'s brother", "who is the sister of {h}", "who are the siblings of {h}"],
    "P127": ["who owns {h}", "who is the owner of {h}", "what company owns {h}"],
    "P749": ["what is the parent company of {h}", "who owns {h}", "which company is {h} part of"],
    "P112": ["who founded {h}", "who started {h}", "who is the founder of {h}"],
    "P159": ["where is {h} based", "where is the headquarters of {h}", "where is {h} headquartered"],
    "P740": ["where was {h} formed", "where did {h} form", "where is the band {h} from"],
    "P69": ["where did {h} go to school", "where did {h} go to college", "what university did {h} attend"],
    "P108": ["who does {h} work for", "where did {h} work", "what company did {h} work for"],
    "P54": ["what team does {h} play for", "who did {h} play for", "which club did {h} play for"],
    "P118": ["what league does {h} play in", "which league is {h} in"],
    "P241": ["what branch of the military was {h} in", "which force did {h} serve in"],
    "P102": ["what political party was {h}", "which party does {h} belong to", "{h} is a member of which party"],
    "P140": ["what religion is {h}", "which religion does {h} follow", "{h} belongs to which religion"],
    "P172": ["what ethnicity is {h}", "what ethnic group is {h}"],
    "P1412": ["what language does {h} speak", "which language did {h} write in"],
    "P37": ["what language is spoken in {h}", "official language of {h}", "what is the official language of {h}"],
    "P364": ["what language is {h} in", "original language of {h}"],
    "P36": ["what is the capital of {h}", "capital city of {h}", "the capital of {h} is"],
    "P1376": ["{h} is the capital of what", "what country is {h} the capital of"],
    "P6": ["who is the head of government of {h}", "who was the mayor of {h}", "who is the prime minister of {h}"],
    "P35": ["who is the president of {h}", "who was the head of state of {h}"],
    "P488": ["who is the chairman of {h}", "who is the president of {h}", "who leads {h}"],
    "P166": ["what award did {h} win", "which prize did {h} receive", "what did {h} win"],
    "P800": ["what is {h} famous for", "what did {h} write", "what is {h} best known for"],
    "P449": ["what channel is {h} on", "what network did {h} air on", "where can i watch {h}"],
    "P400": ["what platform is {h} on", "what console is {h} for", "what can you play {h} on"],
    "P206": ["what body of water is {h} on", "what river is {h} on", "which sea is {h} in"],
    "P403": ["where does {h} end", "what does the {h} flow into", "{h} empties into what"],
    "P706": ["where is {h} located", "what is {h} located on", "which island is {h} on"],
    "P30": ["what continent is {h} in", "which continent is {h} on"],
    "P155": ["what came before {h}", "what is the album before {h}", "what precedes {h}"],
    "P156": ["what comes after {h}", "what is the next one after {h}", "what follows {h}"],
    "P179": ["what series is {h} part of", "which series does {h} belong to"],
    "P1441": ["what is {h} from", "what book is {h} in", "which series does {h} appear in", "what show is {h} in"],
    "P674": ["who is the main character in {h}", "what are the characters in {h}", "who is in {h}"],
    "P137": ["who operates {h}", "who runs {h}"],
    "P272": ["which company produced {h}", "who made the movie {h}", "what studio made {h}"],
    "P136": ["what genre is {h}", "what kind of music is {h}"],
    "P279": ["what is {h} a type of", "{h} is a kind of what"],
    "P31": ["what is {h}", "what kind of thing is {h}"],
    "P39": ["what position did {h} hold", "what was {h}'s job"],
    "P551": ["where does {h} live", "where did {h} live"],
    "P937": ["where did {h} work", "where was {h} active"],
    "P355": ["what company does {h} own", "what are the subsidiaries of {h}"],
    "P150": ["what are the districts of {h}", "what does {h} contain", "what towns are in {h}"],
    "P194": ["what is the parliament of {h} called", "what is the legislature of {h}"],
}
SURE = {
    "P569": "PER",
    "P570": "PER",
    "P19": "PER",
    "P20": "PER",
    "P26": "PER",
    "P69": "PER",
    "P22": "PER",
    "P166": "PER",
}


def relation_examples(documents: list[dict[str, Any]], rng: random.Random) -> Iterator[Example]:
    """One group per question: the document; ``group`` is unique, so that negatives can be added to it."""
    for number, document in enumerate(documents):
        text, places = _layout(document)
        heads = {k: _name(entity) for k, entity in enumerate(document["vertexSet"])}
        tails: dict[tuple[int, str], set[int]] = defaultdict(set)
        for label in document["labels"]:
            tails[label["h"], label["r"]].add(label["t"])
        for (head, relation), found in tails.items():
            if relation not in ASK or (relation in {"P131", "P17"} and rng.random() > 0.2):
                continue
            spans = sorted({places(m) for t in found for m in document["vertexSet"][t]})
            question = rough(rng.choice(ASK[relation]).format(h=heads[head]), rng)
            yield Example(question, text, spans, "relation", f"r{number}-{head}-{relation}")
        for relation, kind in SURE.items():
            for head, entity in enumerate(document["vertexSet"]):
                if entity[0]["type"] == kind and (head, relation) not in tails and rng.random() < 0.06:
                    question = rough(rng.choice(ASK[relation]).format(h=heads[head]), rng)
                    yield Example(question, text, [], "relation-none", f"n{number}-{head}-{relation}")


def _layout(document: dict[str, Any]) -> tuple[str, Any]:
    """The document's text, and a function from a mention to its characters."""
    text, starts = detokenise([word for sentence in document["sents"] for word in sentence])
    first = [0]
    for sentence in document["sents"]:
        first.append(first[-1] + len(sentence))

    def place(mention: dict[str, Any]) -> tuple[int, int]:
        begin, end = (first[mention["sent_id"]] + k for k in mention["pos"])
        return starts[begin], len(text[: starts[end] if end < len(starts) else None].rstrip())

    return text, place


def _name(entity: list[dict[str, Any]]) -> str:
    return str(max((mention["name"] for mention in entity), key=len))


def rough(question: str, rng: random.Random) -> str:
    """Lower case as typed, nine times in ten."""
    return question.lower() if rng.random() < 0.9 else question[:1].upper() + question[1:] + "?"
