"""What may stand as the object of an English statement: a place, an employer, a job, a name, a thing.

Each kind takes the text that follows a verb, up to the end of the clause, and gives the objects at its beginning, or none.
They would rather give none: "I live in fear" and "I love it" state nothing to remember.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ctxproc.memory.extract import words_en as en

Kind = Callable[[str], list[str]]

UPPER = "A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĖĘĚĞĢĪĮİĶĹĻĽŁŃŅŇŌŐŒŔŘŚŞŠŢŤŪŮŰŲŹŻŽ"
CAPITAL = rf"(?!I\b)[{UPPER}](?:[\w&-]|'(?!s\b))*"
NAME = rf"{CAPITAL}(?: (?:(?:de|da|di|van|von|der|den|bin|al|el|la) ){{0,2}}{CAPITAL}){{0,2}}"
MONTH = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?)"
)
MONTHS_AND_DAYS = frozenset(
    "january february march april may june july august september october november december monday tuesday wednesday"
    " thursday friday saturday sunday christmas easter".split()
)
_PROPER = re.compile(
    rf"(?:the )?{CAPITAL}(?:'s| & (?={CAPITAL})|\. (?=[{UPPER}])|[ ](?:(?:of|the|de|del|la|las|los|upon|am|for|da"
    rf"|do)[ ]){{0,2}}(?={CAPITAL})|{CAPITAL})*"
)
_END = re.compile(
    r"\s+(?:and (?=(?:i|we|my|he|she|they|it|now|also|then)\b)|but|so|because|since|when|while|which|who|that"
    r"|where|until|till|after|before"
    r"|though|although|if|unless|now(?!here)|nowadays|these days|any ?more|any longer|at the moment|right now|currently"
    r"|last|next|this|every|again|already|too|also|as well|instead|anyway|lol|haha|btw|by the way|then|starting"
    r"|beginning|as of"
    r"|of course|such as|including|to be honest|tbh|today|tomorrow|yesterday|recently|lately|finally|together|more"
    r" than|a lot|very much|so much"
    r"|the most|most of all|best|for (?:a|the|my|\d|two|three|many|several|some|now|years|fun)|in (?:my|the"
    r" (?:summer|winter|morning|evening))"
    r"|(?:in|on|around|from) (?:the )?(?:\d|"
    + MONTH
    + r"\b|mondays?|tuesdays?|wednesdays?|thursdays?|fridays?|saturdays?|sundays?)"
    r"|(?:about |around )?\w+ (?:years?|months?|weeks?|days?) ago|with|to|from|during|even|especially|like|just"
    r"|except|ago|at all|haha|though)\b.*",
    re.IGNORECASE,
)
_EDGE = " \t\"'“”‘’-–—…*_~^"
_POINTING = frozenset("it them him her you us this that these those".split())


def clause(text: str, place: int) -> str:
    """The text from ``place`` to the end of its clause; dots within names and numbers do not end it."""
    found = re.compile(
        r",(?!\s\d{4}\b)|[;:!?()\n]|\.(?!\w)(?<!\bSt\.)(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)|\s[-–—]\s"
    ).search(text, place)
    return text[place : found.start() if found else len(text)]


def bare(tail: str) -> str:
    """The beginning of a clause, without what tells when, why, with whom."""
    return _END.sub("", " " + re.sub(r"\b(?:and|or|but|so)\s*\Z", "", tail)).strip(_EDGE)


def proper(tail: str) -> str:
    """The name with which a text begins; empty where it begins with none."""
    found = _PROPER.match(tail)
    return re.sub(rf"(?: (?![{UPPER}])\S+)+$", "", found[0].strip(_EDGE)) if found else ""


def name(tail: str) -> list[str]:
    """A person's or a pet's name."""
    found = re.match(NAME, tail)
    said = found[0].strip(_EDGE).removesuffix("'s") if found else ""
    return [said] if said and said.split()[0].lower() not in en.CLOSED - en.ALSO_NAMES else []


def called(tail: str) -> list[str]:
    """A name after "called", in any case."""
    if found := name(tail):
        return found
    said = re.split(r" and | but ", bare(tail))[0]
    return [said] if 0 < len(said.split()) <= 2 and not set(said.lower().split()) & en.CLOSED else []


def place(tail: str) -> list[str]:
    """A place: a name, or a phrase that holds one ("a village near Lyon"); in a text without capitals one or two words."""
    said = proper(tail)
    if said:
        return [] if said.lower() in MONTHS_AND_DAYS else [said]
    said = re.split(r" and | but ", bare(tail))[0]
    words = said.split()
    if (
        re.match(r"(?:a|an|the) ", said)
        and len(words) <= 7
        and re.search(rf"\b(?:near|of|in|outside|by) [{UPPER}]", said)
    ):
        return [said]
    plain = 0 < len(words) <= 2 and words[0] not in en.NO_PLACE and not set(words) & en.CLOSED
    return (
        [said] if (plain and said.isalpha()) or (plain and said.replace(" ", "").isalpha() and len(words) == 2) else []
    )


def called_home(tail: str) -> list[str]:
    """A place by name before "home": "Lyon my home"."""
    found = re.match(rf"({NAME}) (?:(?:my|our|her|his|their) )?(?:new )?home\b", tail)
    return [found[1]] if found else []


def employer(tail: str) -> list[str]:
    """Who one works for: a name, or "a hospital"."""
    said = proper(tail)
    if said:
        return [] if said.lower() in MONTHS_AND_DAYS else [said]
    said = re.split(r" and | but | as ", bare(tail))[0]
    words = said.lower().split()
    if said.lower() in ("a company", "the company", "a firm", "the government"):
        return []
    if words[:1] and words[0] in ("a", "an", "the") and 2 <= len(words) <= 5 and not set(words) & _VAGUE:
        return [said]
    return [said] if len(words) == 1 and words[0].isalpha() and words[0] not in en.NO_EMPLOYER | en.CLOSED else []


_VAGUE = frozenset(
    "my current previous moment same time office thing lot bit while way idea living end start minute place".split()
)


def job(tail: str) -> list[str]:
    """What one works as: "a nurse", "head of marketing"."""
    said = re.split(r" and | but | at | for | in ", bare(tail))[0]
    words = said.lower().split()
    fits = 0 < len(words) <= 6 and not set(words) & (_VAGUE | {"well", "usual", "possible", "hard", "much", "it"})
    return (
        [said]
        if fits and (words[0] not in en.CLOSED or (words[0] in ("a", "an", "the", "my") and len(words) > 1))
        else []
    )


def known_job(tail: str) -> list[str]:
    """As `job`, where its last word is the name of a profession: "I am a nurse", not "I am a fan"."""
    found = job(tail)
    return [said for said in found if said.split()[-1].lower() in en.JOBS and not set(said.lower().split()) & _NOT_YET]


def thing(tail: str) -> list[str]:
    """What one likes, or a list of it: "tea and old maps" are two. Not what points elsewhere, "it", "the way you do it"."""
    said = bare(tail)
    found: list[str] = []
    for part in re.split(r" and | or | & ", said):
        words = part.lower().strip(_EDGE).split()
        if not _is_thing(words) or (found and not _goes_on(found[-1], words)):
            break
        found.append(part.strip(_EDGE))
    rest = tail[tail.find(found[-1]) + len(found[-1]) :] if found else ""
    vague = re.match(r"\s*(?:that|which|who|whose|where|when|like|such)\b", rest)
    short = re.match(r"\s*(?:with|to|from|for|at)\b", rest)
    return found[:-1] if vague or (short and found[-1].split()[0].endswith("ing")) else found


def _is_thing(words: list[str]) -> bool:
    """Whether these words, in lower case, name something by themselves."""
    if not 0 < len(words) <= 5 or words[0] in en.NO_OBJECT or words[-1] in en.CLOSED or set(words) & _POINTING:
        return False
    return words[-1] not in en.ADJECTIVES or not (len(words) == 1 or set(words) & {"a", "an", "the"})


def _goes_on(last: str, words: list[str]) -> bool:
    """Whether a list goes on with these words: not with a verb, nor after "reading books" with "maps"."""
    if words[0].endswith("ing"):
        return True
    return words[0] not in en.VERB_FORMS and not (" " in last and last.split()[0].endswith("ing"))


def subject(tail: str) -> list[str]:
    """What one studies."""
    found = thing(tail.removeprefix("in ").split(" at ")[0])
    return [said for said in found if len(said.split()) <= 4 and said.split()[0].lower() not in _HOW]


_HOW = frozenset("hard abroad late full-time part-time online remotely alone lately".split())


def thing_owned(tail: str) -> list[str]:
    """Something with an article."""
    said = bare(tail)
    return [said] if re.match(r"(?:an?|two|three) ", said) and 2 <= len(said.split()) <= 5 else []


def vehicle(tail: str) -> list[str]:
    """A car: with an article, or a make."""
    said = re.split(r" and | but ", bare(tail))[0]
    words = said.split()
    fits = 0 < len(words) <= 6 and ((words[0] in ("a", "an") and len(words) > 1) or said[0].isupper())
    return (
        [said]
        if fits and not set(said.lower().split()) & {"lot", "bit", "hour", "hours", "mile", "miles", "long"}
        else []
    )


def known_vehicle(tail: str) -> list[str]:
    """As `vehicle`, where it names a kind or a well-known make."""
    return [said for said in vehicle(tail) if set(said.lower().split()) & en.VEHICLES]


def game(tail: str) -> list[str]:
    """An instrument or a sport, from a list."""
    return [said for said in thing(tail) if set(said.lower().split()) & en.GAMES]


def company(tail: str) -> list[str]:
    """As `employer`, by name only."""
    return [said for said in employer(_without_in(tail)) if said[0].isupper()]


def school(tail: str) -> list[str]:
    """As `company`, or "the university"."""
    return [said for said in employer(tail) if said[0].isupper() or said.startswith(("the ", "a "))]


def town(tail: str) -> list[str]:
    """As `place`, by name only."""
    return [said for said in place(_without_in(tail)) if said[0].isupper()]


def _without_in(tail: str) -> str:
    return re.sub(r"^(?:at|in|with) ", "", tail)


def trade(tail: str) -> list[str]:
    """As `job`, before "by profession"."""
    return job(re.split(r" by (?:profession|trade|training)\b", tail)[0])


_NOT_YET = frozenset(
    "good great bad terrible decent better best amateur aspiring former retired wannabe natural born".split()
)


def stated_job(tail: str) -> list[str]:
    """As `job`: with an article, or the name of a profession."""
    return [said for said in job(tail) if said.startswith(("a ", "an ")) or known_job(said)]


def name_or_nothing(tail: str) -> list[str]:
    """A name, if there is one."""
    return name(tail) or [""]


def value(tail: str) -> list[str]:
    """What a favourite is: a thing, with its article if it has one."""
    said = re.split(r" and (?:i|my|we|it) ", bare(tail), flags=re.IGNORECASE)[0]
    words = said.split()
    fits = 0 < len(words) <= 8 and words[0].lower() not in en.NO_OBJECT - {"the", "a", "an", "one", "all", "my"}
    return [said] if fits and words[0].lower() not in ("when", "definitely", "probably", "not") else []


def deed(tail: str) -> list[str]:
    """What one plans: up to ten words."""
    said = re.split(r",| but | because | so that ", tail)[0].strip(_EDGE)
    return [said] if 0 < len(said.split()) <= 10 and said.split()[0].lower() in en.VERB_FORMS else []


def age(tail: str) -> list[str]:
    """A number of years."""
    found = re.match(
        r"(\d{1,3})(?: years old| y/?o| years of age)?\s*(?=$|and\b|but\b|now\b|today\b|yesterday\b|last\b|this\b"
        r"|in\b|on\b)",
        tail,
    )
    return [found[1]] if found and int(found[1]) < 120 else []


def date(tail: str) -> list[str]:
    """A day, as it was said: "12 May", "May 12th, 1990"."""
    found = re.match(
        rf"(?:on )?(?:the )?(?:\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {MONTH}|{MONTH} \d{{1,2}}(?:st|nd|rd|th)?"
        rf"|\d{{4}}-\d\d-\d\d)(?:,? \d{{4}})?\b",
        tail,
        re.IGNORECASE,
    )
    return [re.sub("^(?:on )?(?:the )?", "", found[0])] if found else []


def birthplace(tail: str) -> list[str]:
    """A place by name, or a year."""
    found = re.match(r"(?:1[89]|20)\d\d\b", tail)
    return [found[0]] if found else [said for said in place(tail) if said[0].isupper()]


def language(tail: str) -> list[str]:
    """One or more languages by name."""
    found = re.match(rf"{CAPITAL}(?:(?:, | and |, and ){CAPITAL})*", tail)
    return re.split(r", and | and |, ", found[0]) if found else []


def number(tail: str) -> list[str]:
    """A telephone number."""
    found = re.match(r"\+?[\d(][\d ()./-]{4,}\d", tail)
    return [found[0]] if found else []


def address(tail: str) -> list[str]:
    """An address of electronic mail."""
    found = re.match(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", tail)
    return [found[0]] if found else []


def state(tail: str) -> list[str]:
    """A lasting state of a person, from a list."""
    found = re.match(
        r"(?:an? )?(?:strict )?((?:vegetarian|vegan|pescatarian|teetotal|diabetic|asthmatic|left-handed"
        r"|right-handed|lactose[- ]intolerant"
        r"|gluten[- ](?:free|intolerant)|colou?r-?blind|dyslexic|deaf|blind|retired|pregnant|single|divorced"
        r"|widowed|unemployed))\b",
        tail,
        re.IGNORECASE,
    )
    return [found[1].lower()] if found else []


def nothing(tail: str) -> list[str]:
    """No object: what is told ends whatever holds."""
    return [""]
