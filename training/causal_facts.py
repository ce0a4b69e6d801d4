"""Look-up: made-up facts between sentences of a book, as lines or as JSON, and questions that each name one of them.

The words of a question stand in other facts of the same context too, each by itself: only all of them together find
the right one.
"""

from __future__ import annotations

import json
import random
import string

from training.causal_tasks import SHORT, Example, Part, Source, asked, brief, missing, prefix, reply
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
    if draw < 0.3:
        return "".join(rng.sample(SYLLABLES, rng.randint(2, 3))).capitalize()
    one = rng.choice(source.pool.names)
    return one if draw < 0.7 or " " in one else f"{one} {rng.choice(source.pool.names).split()[-1]}"


def entity(source: Source, rng: random.Random) -> str:
    """What a fact is about: mostly a name, else "the" with two words."""
    return name(source, rng) if rng.random() < 0.75 else "the " + " ".join(rng.sample(source.pool.words[:8000], 2))


def facts(source: Source, rng: random.Random) -> Example:
    """An example of look-up in one of three layouts."""
    draw = rng.random()
    if draw < 0.25:
        return pairs(source, rng)
    room = int(source.longest * rng.uniform(0.1, 0.5) / 1.35)  # words
    count = max(1, min(int(rng.uniform(0.1, 0.9) * room / 11), 14))
    entities = list(dict.fromkeys(entity(source, rng) for _ in range(max(2, count * 2 // 3))))
    words = rng.sample(source.pool.words[:6000], max(2, count * 2 // 3))
    drawn = [(e, w) for e in entities for w in words]
    rng.shuffle(drawn)
    told = [made(e, w, source, rng) for e, w in drawn[:count]]
    text = scatter([statement for statement, _, _ in told], room - 11 * count, source, rng)
    framed = rng.random() < 0.7
    example = Example([prefix(), Part(text)] if framed else [Part(text)])
    form = rng.randrange(len(SHORT))
    for statement, question, answer in rng.sample(told, min(len(told), rng.randint(3, 6))):
        if framed and rng.random() < 0.3:
            example.tasks.append([*asked("answer", question), *reply(answer, statement)])
        else:
            example.tasks.append([*brief(question, form), *reply(answer)])
    if len(drawn) > count and rng.random() < 0.4:
        _, question, _ = made(*drawn[count], source, rng)
        example.tasks.append([*(asked("answer", question) if framed else brief(question, form)), *missing()])
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
    """Keys and values, as JSON or as lines."""
    kinds = rng.choice([("words", "words"), ("name", "number"), ("code", "code"), ("words", "code"), ("name", "words")])
    count = rng.randint(2, max(3, source.longest // 40))
    table = {value(kinds[0], source, rng): value(kinds[1], source, rng) for _ in range(count)}
    if rng.random() < 0.5:
        text, ask, quote = (
            json.dumps(table, indent=rng.choice([None, 1])),
            '\n\nKey: "{}"\nCorresponding value:',
            '"{}"',
        )
    else:
        text, ask, quote = "\n".join(f"{k}: {v}" for k, v in table.items()), "\n\n{}:", "{}"
    chosen = rng.sample(sorted(table), min(len(table), 8))
    tasks = [[Part(ask.format(key)), Part(" " + quote.format(table[key]), 1.0)] for key in chosen]
    return Example([prefix(), Part(text)] if rng.random() < 0.3 else [Part(text)], tasks)
