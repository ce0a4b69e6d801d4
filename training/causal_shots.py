"""Classification from examples in the context: groups of like sentences, and labels that mean nothing or little.

A group holds the sentences around one in MiniLM's space, those with the same word, or those with the same opening. The
label of a query can be told only from the shots that are most like it.
"""

from __future__ import annotations

import random
import re

from training.causal_reading import places
from training.causal_tasks import Example, Part, Source, Task
from training.reader_cloze import STOP, cloze

FIELDS = [("Input", "Label")] * 4 + [
    ("Question", "Type"),
    ("Text", "Category"),
    ("Sentence", "Class"),
    ("Query", "Intent"),
]
HEADS = ["", "", "", "Label the last input as those above are labelled.\n\n", "Read these examples, then reply.\n\n"]


def group(source: Source, rng: random.Random) -> list[str]:
    """At least eight sentences that are alike in some way, in random order."""
    draw = rng.random()
    if draw < 0.55:
        chosen = source.groups[rng.randrange(len(source.groups))].tolist()
        members = [source.pool.sentences[k] for k in chosen[: rng.choice([8, 12, 20])]]
    elif draw < 0.8:
        members = rng.choice(source.pool.holders)
    else:
        members = rng.choice(source.pool.openings)
    return rng.sample(members, min(len(members), 12))


def label(member: str, source: Source, rng: random.Random) -> str:
    """A name for a group: a word or two, in the spellings that data sets have, one in four from the group itself."""
    own = [word for word in re.findall(r"\b[a-z]{4,}", member) if word not in STOP]
    words = rng.sample(source.pool.words[:9000], 2)
    if own and rng.random() < 0.25:
        words[0] = rng.choice(own)
    style = rng.random()
    if style < 0.4:
        return words[0]
    if style < 0.65:
        return "_".join(words)
    if style < 0.75:
        return " ".join(words)
    short = words[0][: rng.randint(3, 4)].upper()
    return short if style < 0.9 else f"{short}:{words[1]}"


def kinds(source: Source, count: int, rng: random.Random) -> list[list[str]]:
    """Groups of questions by what they ask for, told by how they begin; at most so many groups."""
    groups: dict[str, list[str]] = {}
    for _ in range(10 * count):
        entry = rng.choice(source.asked)
        question = rng.choice(entry.pairs)[0] if entry.pairs else ""
        if rng.random() < 0.2:
            spots = places(rng.choice(source.wiki), rng)
            question = cloze(*spots[0], rng) if spots else ""
        if entry.source != "covid" and 3 < len(question.split()) < 16:
            question = question if rng.random() < 0.3 else question[:1].upper() + question[1:].rstrip("?") + "?"
            groups.setdefault(wanted(question), []).append(question)
    groups.pop("", None)
    found = sorted((members for members in groups.values() if len(members) >= 3), key=lambda _: rng.random())
    return [list(dict.fromkeys(members)) for members in found[:count]]


ASKS = (
    ("person", r"who|whose|whom|which (?:person|king|president|actor)|what is the name"),
    (
        "place",
        r"where|what (?:country|city|state|place)|which (?:country|city|state)|in (?:what|which) (?:country|city)",
    ),
    ("time", r"when|what (?:year|date|time)|in (?:what|which) year"),
    ("number", r"how (?:many|much|old|long|far|big|often)|what number"),
    ("reason", r"why|what (?:caused|made|happened because)"),
    ("manner", r"how"),
    ("event", r"what (?:did|happened|will|does)"),
    ("thing", r"what|which"),
)


def wanted(question: str) -> str:
    """What a question asks for, by its first words; "" where they do not tell."""
    return next((name for name, begins in ASKS if re.match(rf"(?:{begins})\b", question.lower())), "")


def shots(source: Source, rng: random.Random) -> Example:
    """Shots, and queries whose groups are among them."""
    classes = rng.choice([2, 3, 4, 5, 6, 8, 10])
    room = source.longest // 30
    per_class = max(1, min(rng.choice([1, 1, 1, 2, 2, 3, 4]), int(room * 0.6) // classes))
    members = kinds(source, classes, rng) if rng.random() < 0.4 else [group(source, rng) for _ in range(classes)]
    classes = len(members)
    if classes < 2:
        return Example([])
    labels = [label(sentences[0], source, rng) for sentences in members]
    asking, naming = rng.choice(FIELDS)
    drawn = [(k, text) for k in range(classes) for text in members[k][:per_class]][: int(room * 0.7)]
    rng.shuffle(drawn)
    shown: set[int] = set()
    example = Example([Part(rng.choice(HEADS))])
    for number, (k, text) in enumerate(drawn):
        joint = "\n\n" if number else ""
        example.context += [Part(f"{joint}{asking}: {text}\n{naming}:"), Part(f" {labels[k]}", 0.3 * (k in shown))]
        shown.add(k)
    queries = [(k, text) for k in shown for text in members[k][per_class : per_class + 3]]
    used = {text for _, text in drawn}
    queries = [(k, text) for k, text in queries if text not in used]
    rng.shuffle(queries)
    for k, text in queries[: max(4, room - len(drawn))]:
        end = [Part(f"\n\n{asking}: {text}\n{naming}:")]
        example.tasks.append(Task(end, [Part(f" {labels[k]}", 1.0)]))
    return example
