"""Look-up: made-up facts between sentences of a book, as lines or as JSON, and questions that each name one of them.

The words of a question stand in other facts of the same context too, each by itself: only all of them together find
the right one.
"""

from __future__ import annotations

import json
import random
import string
import uuid

from training.causal_tasks import (
    FRAMED,
    READING,
    SHORT,
    Example,
    Part,
    Source,
    Task,
    asked,
    brief,
    missing,
    prefix,
    replied,
)
from training.reader_cloze import sentences

FACTS = [
    ("The {w} of {e} is {v}.", "What is the {w} of {e}?", "any"),
    ("{e}'s {w} is {v}.", "What is {e}'s {w}?", "any"),
    ("The {w} code for {e} is {v}.", "What is the {w} code for {e}?", "code"),
    ("The special {w} number for {e} is: {v}.", "What is the special {w} number for {e}?", "number"),
    ("{e} lives at the {w} in {v}.", "Where does {e} live, at the {w} of which place?", "name"),
    ("{e} bought the {w} in {v}.", "When did {e} buy the {w}?", "year"),
    ("In {v} {e} lost a {w}.", "In what year did {e} lose a {w}?", "year"),
    ("{v} gave the {w} to {e}.", "Who gave the {w} to {e}?", "name"),
    ("{e} paid {v} pounds for the {w}.", "How much did {e} pay for the {w}?", "number"),
    ("{e} met {v} at the {w}.", "Whom did {e} meet at the {w}?", "name"),
    ("{e} hid the {w} under the {v}.", "Where did {e} hide the {w}?", "words"),
    ("The {w} that {e} wears is {v}.", "What is the {w} that {e} wears like?", "words"),
    ("For the {w}, ask {v}, not {e}.", "Whom should one ask for the {w}, if not {e}?", "name"),
    ("{e} counted {v} of them near the {w}.", "How many did {e} count near the {w}?", "number"),
    ("{v} is the {w} of {e}.", "Who or what is the {w} of {e}?", "any"),
    ("Remember that {e} calls the {w} {v}.", "What does {e} call the {w}?", "words"),
    ("The {w} of {e} was painted by {v}.", "Who painted the {w} of {e}?", "name"),
    ("The {w} at {e} is known as {v}.", "What is the {w} at {e} known as?", "name"),
    ("The {w} near {e} is looked after by {v}.", "Who looks after the {w} near {e}?", "name"),
    ("The {w} of {e} was sold to {v}.", "To whom was the {w} of {e} sold?", "name"),
    ("The {w} of {e} came from the city of {v}.", "From which city did the {w} of {e} come?", "name"),
    ("The {w} in {e} was opened in {v} and is still there.", "When was the {w} in {e} opened?", "year"),
    ("The first {w} that came to {e} was called {v}.", "What was the first {w} that came to {e} called?", "name"),
    ("{v} founded the {w} of {e}.", "By whom was the {w} of {e} founded?", "name"),
]
PAIRS = [
    ("uuid", "uuid"),
    ("uuid", "uuid"),
    ("words", "words"),
    ("name", "number"),
    ("code", "code"),
    ("words", "code"),
    ("name", "words"),
    ("words", "number"),
]
TOKENS = {"uuid": 28, "words": 4, "name": 4, "number": 4, "code": 7}
JSON_HEAD = "Extract the value of the given key from the JSON object below.\n\nJSON data:\n"
NEEDLES = [
    ("One of the special magic numbers for {k} is: {v}.", "What is the special magic number for {k}?"),
    ("The pass key of {k} is {v}. Remember it. {v} is the pass key of {k}.", "What is the pass key of {k}?"),
    ("{k} has the secret word {v}.", "Which secret word has {k}?"),
    ("The best thing to do in {k} is {v}.", "What is the best thing to do in {k}?"),
]
SYLLABLES = "ba ko li mer tan dov ris el qua zen tor mi sha ul gar pel no vi hest lun bry ford ton wick dale".split()


def value(kind: str, source: Source, rng: random.Random) -> str:
    """Something to look up: a number, a year, a code, a name, or a word or two."""
    if kind == "any":
        kind = rng.choice(["number", "code", "name", "words", "words"])
    if kind == "number":
        number = rng.randrange(10 ** rng.randint(1, 7))
        return f"{number:,}" if rng.random() < 0.2 else str(number)
    if kind == "year":
        return str(rng.randrange(1100, 2030))
    if kind == "uuid":
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))
    if kind == "code":
        return code(rng)
    if kind == "name":
        return name(source, rng)
    return " ".join(rng.sample(source.pool.words[:8000], rng.choice([1, 1, 2, 3])))


def code(rng: random.Random) -> str:
    """Such as KX-4419, a7f3c02b or a UUID's first half."""
    if rng.random() < 0.5:
        letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(1, 4)))
        return f"{letters}-{rng.randrange(10 ** rng.randint(2, 5))}"
    digits = "".join(rng.choices("0123456789abcdef", k=rng.choice([4, 8, 8, 12])))
    return f"{digits[:8]}-{digits[8:]}" if len(digits) > 8 else digits


def name(source: Source, rng: random.Random) -> str:
    """A name from the books, two of them, or one that nobody has."""
    draw = rng.random()
    if draw < (0.55 if source.closing else 0.3):
        return "".join(rng.sample(SYLLABLES, rng.randint(2, 3))).capitalize()
    one = rng.choice(source.pool.names)
    return one if rng.random() < 0.6 or " " in one else f"{one} {rng.choice(source.pool.names).split()[-1]}"


def entity(source: Source, rng: random.Random) -> str:
    """What a fact is about: mostly a name, else "the" with two words."""
    return name(source, rng) if rng.random() < 0.75 else "the " + " ".join(rng.sample(source.pool.words[:8000], 2))


def facts(source: Source, rng: random.Random) -> Example:
    """An example of look-up between sentences of a book: at first with little else in between, later with a page of it."""
    late = min(1.0, source.progress / 0.4)
    page = rng.random() < (0.75 if source.closing else 0.4 * late)
    room = int(source.longest * (rng.uniform(0.5, 0.8) if page else rng.uniform(0.15, 0.3 + 0.3 * late)) / 1.4)  # words
    count = rng.randint(2, 4) if page else max(2, min(int(rng.uniform(0.15, 1.0 - 0.3 * late) * room / 11), 14))
    entities = list(dict.fromkeys(entity(source, rng) for _ in range(max(2, count * 2 // 3))))
    words = rng.sample(source.pool.words[:6000], max(2, count * 2 // 3))
    drawn = [(e, w) for e in entities for w in words]
    rng.shuffle(drawn)
    told = [made(e, w, source, rng) for e, w in drawn[:count]]
    text = scatter([statement for statement, _, _ in told], room - 11 * count, source, rng)
    framed, form = source.framed(rng), rng.randrange(len(SHORT))
    example = Example([prefix(), Part(text)] if framed else [Part(text)])
    for statement, question, answer in rng.sample(told, min(len(told), rng.randint(4, 8))):
        if framed:
            draw = rng.random()
            example.tasks.append(replied(asked("answer", question), answer, statement, open_end=draw < 0.7))
        else:
            example.tasks.append(replied(brief(question, form), answer))
    if len(drawn) > count and source.progress > READING and rng.random() < (0.05 if source.closing else 0.15):
        _, question, _ = made(*drawn[count], source, rng)
        example.tasks.insert(1, missing(asked("answer", question) if framed else brief(question, form)))
    return example


def made(e: str, w: str, source: Source, rng: random.Random) -> tuple[str, str, str]:
    """Statement, question and answer of one fact."""
    statement, question, kind = rng.choice(FACTS)
    v = value(kind, source, rng)
    said = statement.format(e=e, w=w, v=v)
    return said if said.startswith(v) else said[:1].upper() + said[1:], question.format(e=e, w=w), v


def scatter(statements: list[str], words: int, source: Source, rng: random.Random) -> str:
    """The statements at random places between sentences of a book, of about so many words."""
    filler: list[str] = []
    while words > 10:
        passage = rng.choice(source.pool.passages)
        parts = [passage[a:b].strip() for a, b in sentences(passage)]
        while parts and words > 10:
            words -= len(parts[0].split())
            filler.append(parts.pop(0))
    for statement in statements:
        filler.insert(rng.randint(0, len(filler)), statement)
    return " ".join(filler)


def pairs(source: Source, rng: random.Random) -> Example:
    """Keys and values, as JSON, as lines, or as sentences of the needle kind; half of the codes are UUIDs."""
    kinds = rng.choice(PAIRS)
    room = source.longest * rng.uniform(0.3, 0.75)
    each = sum(TOKENS[kind] for kind in kinds) + 4
    table = {value(kinds[0], source, rng): value(kinds[1], source, rng) for _ in range(max(2, int(room / each)))}
    draw = rng.random() + 0.1 * (late := source.progress >= FRAMED)
    weight = 2.0 if late and "uuid" in kinds else 1.0
    head, text, ask, reply = "", "\n".join(f"{k}: {v}" for k, v in table.items()), "\n\n{}:", "{}"
    if draw < 0.5 or kinds == ("uuid", "uuid"):
        head = rng.choice(["", "", JSON_HEAD])
        text = json.dumps(table, indent=rng.choice([None, 1]))
        text = text.replace('", "', '",\n "') if rng.random() < 0.4 else text
        ask, reply = rng.choice(['\n\nKey: "{}"\nCorresponding value:', '\n\n"{}":']), '"{}"'
    elif draw < 0.75 + 0.15 * late:
        statement, question = rng.choice(NEEDLES)
        text = rng.choice([" ", "\n"]).join(statement.format(k=k, v=v) for k, v in table.items())
        ask = rng.choice(SHORT).format(question.format(k="{}"))
        if late and source.framed(rng):
            keys = rng.sample(sorted(table), min(len(table), 7))
            asking = [(asked("answer", question.format(k=key)), key) for key in keys]
            return Example([prefix(), Part(text)], [replied(parts, table[key], open_end=True) for parts, key in asking])
    chosen = rng.sample(sorted(table), min(len(table), 7))
    tasks = [Task([Part(ask.format(key))], [Part(" " + reply.format(table[key]), weight)]) for key in chosen]
    framed = rng.random() < 0.2
    return Example([prefix(), Part(text)] if framed else [Part(head + text)], tasks)
