"""Short chat messages with marked mentions, put together from patterns and the names of the training texts.

They teach that names may be written small and phrases stand by themselves, not what people say.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence

from ctxproc.llm.tagger_model import KINDS

__all__ = ["Slots", "chats"]

Slots = Mapping[str, Sequence[str]]
"""Names by kind."""

Marked = tuple[str, list[tuple[int, int, int]]]
"""A text, and its mentions: first character, one past the last, number of the kind."""

PHRASES: Slots = {
    "a person": (
        "my sister|my brother|my mom|my dad|my best friend|my boss|the kids|my wife|my husband|a friend of mine|the doctor"
        "|our neighbours|my old teacher|my roommate|the landlord|his girlfriend|her son|a colleague|my grandmother|the team"
        "|some guy|my cousin|the nurse|their daughter|my aunt|everyone at work|the new guy|a nice couple|my ex"
    ).split("|"),
    "a place": (
        "the kitchen|our old house|the office|the park|a small town|the beach|my apartment|the garden|the station|the gym"
        "|a little cafe|the airport|the library|the hospital|our room|the city|the lake|my place|the woods"
        "|the new restaurant|a cabin in the mountains|the school|the village|the garage|her flat"
    ).split("|"),
    "an organisation": "the company|my bank|the band|our club|the agency|the army|the church|the union".split("|"),
    "a vehicle": "my car|the bus|the train|his bike|a taxi|the boat|my old van|the ferry|her motorbike".split("|"),
}

PATTERNS = """
i met {person} in {place} last week
{person} moved to {place} in {time}
did {person} tell you about {other}?
my name is {person} and i live in {place}
{a person} works for {organisation}
{person} and {person} are coming on {time}
we're flying to {place} with {a person}
I've been reading {other} since {time}
hi {person}, how was {place}?
{person} says {organisation} is hiring
hey it's {person} from {organisation}
I grew up in {place} but we moved to {place} when I was {number}
{a person} bought {a vehicle} for {number} dollars
can you remind me to call {person} on {time}
ok so {person} was in {a place} with {a person}
we had {number} people over, even {person} came
{person} got married to {person} in {time}
I think {a person} left it in {a vehicle}
I work at {organisation} in {place}
{organisation} just opened an office in {place}
have you ever been to {place}?
{a person} said that {place} is lovely in {time}
I left {organisation} in {time} and joined {organisation}
no idea lol ask {person}
thanks {person}!
{person}'s birthday is {time}
{a person} is called {person}
{a person}, {person}, lives near {a place}
we watched {other} at {a place}
{a vehicle} broke down near {place} so {a person} had to pick us up
{person} never liked {place} anyway
I was born in {place} on {time}
going to {place} tomorrow with {person} and {a person}
{person} studied at {organisation} until {time}
please book a table for {number}
{organisation} wants {number} of them by {time}
who is {person}?
{person} sang {other} at {a place}
she met {person} at {organisation}
the flight from {place} to {place} takes forever
he plays for {organisation} now
Good morning. How are you today?
lol that is so true
yeah I know, it rained the whole day
what should we eat tonight? maybe pasta
I really have to sleep now, talk later
my back hurts and I'm so tired
""".strip().splitlines()

_SLOT = re.compile(r"\{([a-z ]+)\}")


def chats(pools: Slots, count: int, rng: random.Random) -> Iterator[Marked]:
    """Chats of 2 to 9 messages, a line each; half of them in lower case, some with the speaker's name before each line.

    Args:
        pools: names of each kind.
        count: how many.
        rng: draws everything.
    """
    every = {**pools, **PHRASES}
    for _ in range(count):
        people = rng.sample(list(pools["person"]), 2) if rng.random() < 0.4 else []
        low = rng.random() < 0.5
        text, mentions = "", list[tuple[int, int, int]]()
        for number in range(rng.randint(2, 9)):
            said, found = _message(rng.choice(PATTERNS), every, rng)
            if people:
                before = people[number % 2]
                said = f"{before}: {said}"
                shift = len(before) + 2
                found = [(0, len(before), KINDS.index("person"))] + [(a + shift, b + shift, k) for a, b, k in found]
            start = len(text)
            mentions += [(start + a, start + b, kind) for a, b, kind in found]
            text += said + "\n"
        yield (lower(text) if low else text), mentions


def _message(pattern: str, pools: Slots, rng: random.Random) -> Marked:
    """A pattern with its places filled; mostly it begins with a capital and ends with a stop."""
    text, mentions, place = "", list[tuple[int, int, int]](), 0
    for match in _SLOT.finditer(pattern):
        text += pattern[place : match.start()]
        said = rng.choice(pools[match[1]])
        mentions.append((len(text), len(text) + len(said), KINDS.index(match[1])))
        text += said
        place = match.end()
    text += pattern[place:]
    if rng.random() < 0.6:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.5 and text[-1].isalnum():
        text += rng.choice(".!…")
    return text, mentions


def lower(text: str) -> str:
    """In lower case, character by character, so that places stay."""
    return "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)
