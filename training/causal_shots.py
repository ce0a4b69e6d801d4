"""Classification from examples in the context: groups of like sentences, and labels that mean nothing or little.

A group holds the sentences around one in MiniLM's space, those with the same word, or those with the same opening. The
label of a query can be told only from the shots that are most like it.
"""

from __future__ import annotations

import random
import re
import string

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


KINDS = (
    ("abbreviation acronym short", r"what does .* stand for|what is .* short for|what is the abbreviation"),
    (
        "person human who individual",
        r"who|whose|whom|which (?:person|king|president|actor)|what is the name of the man",
    ),
    (
        "location place where",
        r"where|what (?:country|city|state|place|river|town)|which (?:country|city|state|town)"
        r"|(?:in|from) (?:what|which) (?:country|city|town|state)",
    ),
    ("number date time when", r"when|what (?:year|date|time)|in (?:what|which) year"),
    ("number amount count", r"how (?:many|much|old|long|far|big|often|tall)|what number"),
    ("description reason cause", r"why|what (?:caused|made|happened because)"),
    (
        "description definition meaning",
        r"what (?:is|are) (?:an? )?\w+$|what does \w+ mean|how (?:do|does|did|is|are|can)",
    ),
    ("event action happening", r"what (?:did|happened|will|does)"),
    ("entity thing object", r"(?:what|which) (?!is |are |was |were )\w+"),
)
"""What a question asks for: names of it, and how such questions begin."""


def wanted(question: str) -> str:
    """The names of what a question asks for, by its words; "" where they do not tell."""
    bare = question.lower().rstrip("? ")
    return next((names for names, begins in KINDS if re.match(rf"(?:{begins})\b", bare)), "")


def a_question(source: Source, rng: random.Random) -> str:
    """One that somebody asked, in a book or of a passage, or that is made here; "" where none was found."""
    draw = rng.random()
    if draw < 0.08:
        letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(2, 5)))
        form = rng.choice(["what does {} stand for", "what is {} short for", "what is the abbreviation for {}"])
        return form.format(letters if "short" in form or "stand" in form else rng.choice(source.pool.words[:9000]))
    if draw < 0.16:
        word = rng.choice(source.pool.words[:9000])
        return rng.choice(["what is {}", "what is a {}", "what are {}s", "what does {} mean"]).format(word)
    if draw < 0.35:
        return rng.choice(source.pool.sentences)
    if draw < 0.5:
        spots = places(rng.choice(source.wiki), rng)
        return cloze(*spots[0], rng) if spots else ""
    entry = rng.choice(source.asked)
    return rng.choice(entry.pairs)[0] if entry.pairs and entry.source != "covid" else ""


def kinds(source: Source, count: int, rng: random.Random) -> dict[str, list[str]]:
    """Questions by the names of what they ask for; at most so many kinds."""
    found: dict[str, list[str]] = {}
    for _ in range(14 * count):
        question = a_question(source, rng).strip()
        if 2 < len(question.split()) < 16 and (names := wanted(question)):
            bare = question.rstrip("? ")
            found.setdefault(names, []).append(bare if rng.random() < 0.3 else f"{bare[:1].upper()}{bare[1:]} ?")
    usable = [names for names, members in found.items() if len(set(members)) >= 3]
    return {names: list(dict.fromkeys(found[names])) for names in rng.sample(usable, min(count, len(usable)))}


def grouped(source: Source, count: int, rng: random.Random) -> tuple[list[list[str]], list[str]]:
    """Groups of sentences and a label for each, no two alike."""
    if rng.random() < 0.5:
        found = kinds(source, count, rng)
        members = list(found.values())
        telling = rng.random() < 0.6
        labels = [
            rng.choice(names.split()) if telling else label(members[k][0], source, rng) for k, names in enumerate(found)
        ]
    else:
        members = [group(source, rng) for _ in range(count)]
        labels = [label(sentences[0], source, rng) for sentences in members]
    kept = {text: k for k, text in enumerate(labels)}
    return [members[k] for k in kept.values()], list(kept)


def shots(source: Source, rng: random.Random) -> Example:
    """Shots, and queries whose groups are among them."""
    classes = rng.choice([2, 3, 4, 5, 6, 8, 10])
    room = source.longest // 30
    per_class = max(1, min(rng.choice([1, 1, 1, 2, 2, 3, 4]), int(room * 0.6) // classes))
    members, labels = grouped(source, classes, rng)
    classes = len(members)
    if classes < 2:
        return Example([])
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
