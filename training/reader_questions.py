"""Questions in whole sentences made from statements: who, what, when, where, why, how.

A statement is cut into an opening phrase, a subject, a verb and the rest by patterns and a table of verbs (no tagger);
a part is taken out as the answer, and what is left is turned into a question: the verb goes before the subject, "did"
is put in, a pronoun becomes the passage's title, some words become synonyms and side clauses are dropped. So the
answers are also long ones: reasons, purposes, ways, clauses and lists. Some questions are ungrammatical or ambiguous;
`training.reader_sift` reads them once and drops those.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tokenizers import Tokenizer

from ctxproc.llm.trunk import trunk_folder
from training.reader_cloze import DATE, NAME, STOP, Example, sentences
from training.reader_words import AUXILIARIES, IRREGULAR, PERSONS, PLACES, PRESENT, PRONOUNS, SYNONYMS

__all__ = ["Statement", "base_form", "parse", "questions", "written_questions"]

LEAD = re.compile(
    r"(?:In|On|At|After|Before|During|By|From|Since|For|Under|Until|Within|Following|Around) [^,]{2,70}, "
)
SIDE = re.compile(
    r",? (?:which|who|whose|where|but|although|though|while|whereas|and (?:was|were|is|had|has|then))\b.*|;.*"
)
DETERMINER = r"(?:the|a|an|his|her|its|their|this|these|several|many|some|all|most|other|various|both)"
PREPOSITIONS = (
    "of",
    "with",
    "for",
    "to",
    "from",
    "into",
    "as",
    "against",
    "between",
    "on",
    "about",
    "through",
    "under",
)


@dataclass(frozen=True)
class Statement:
    """A statement's parts with the characters at which they start in the passage; ``lead`` may be empty."""

    lead: str
    subject: str
    verb: str
    rest: str
    lead_at: int
    subject_at: int
    rest_at: int


@cache
def _vocabulary() -> frozenset[str]:
    tokenizer = Tokenizer.from_file(str(trunk_folder() / "tokenizer.json"))
    return frozenset(word for word in tokenizer.get_vocab() if word.isalpha())


def base_form(verb: str) -> str:
    """The verb that comes after "did" or "does"; the trunk's vocabulary decides between spellings."""
    if verb in IRREGULAR:
        return IRREGULAR[verb]
    if verb in PRESENT:
        return PRESENT[verb]
    stem = verb.removesuffix("ed")
    tries = [stem[:-1] + "y"] if stem.endswith("i") else [stem, stem + "e", stem[:-1]]
    if len(stem) > 2 and stem[-1] == stem[-2] and stem[-1] not in "sl":
        tries = [stem[:-1], stem]
    return next((word for word in tries if word in _vocabulary()), tries[0])


def parse(text: str, start: int, end: int) -> Statement | None:
    """The parts of the statement at these characters, or None where the patterns do not find them."""
    sentence = text[start:end].rstrip()
    if not sentence.endswith(".") or '"' in sentence or not 6 <= len(sentence.split()) <= 50:
        return None
    sentence, at = sentence[:-1], 0
    lead = LEAD.match(sentence)
    if lead:
        at = lead.end()
    words = list(re.finditer(r"[\w'’.-]+", sentence[at:]))
    for k, word in enumerate(words[1:12], 1):
        if not _is_verb(word[0], words[k - 1][0]):
            continue
        subject = sentence[at : at + word.start()].rstrip()
        if re.search(r"[,;:(]|\b(?:that|which|who|when|where|if)\b", subject) or words[0][0].lower() in OPENING:
            return None
        tail = at + word.end()
        shift = len(sentence[tail:]) - len(sentence[tail:].lstrip())
        return Statement(
            lead[0].rstrip(", ") if lead else "",
            subject,
            word[0],
            sentence[tail + shift :],
            start,
            start + at,
            start + tail + shift,
        )
    return None


OPENING = frozenset("there here when while if although though because as since and but or not however also".split())


def _is_verb(word: str, before: str) -> bool:
    if before.lower() in {"the", "a", "an", "of", "and", "his", "her", "its", "their", "to", "in", "by", "most"}:
        return False
    known = word in AUXILIARIES or word in IRREGULAR or word in PRESENT
    return known or (word.islower() and word.endswith("ed") and len(word) > 4)


@dataclass(frozen=True)
class Asked:
    """A question with its answer's characters in the passage."""

    question: str
    start: int
    end: int
    kind: str


def questions(text: str, statement: Statement, title: str, rng: random.Random) -> Iterator[Asked]:
    """Every question the patterns can make of one statement."""
    named = _named(statement, title)
    if named and statement.verb:
        yield from _of_rest(text, statement, named, rng)
        yield from _of_lead(statement, named, rng)
    if statement.subject.lower() not in PRONOUNS and not statement.subject.lower().startswith(("this ", "these ")):
        wh = _who(statement.subject, statement.verb)
        rest = _short(statement.rest, rng)
        end = statement.subject_at + len(statement.subject)
        yield Asked(f"{wh} {statement.verb} {rest}", statement.subject_at, end, "subject")


def _named(statement: Statement, title: str) -> str:
    """The subject as a question may name it, empty where nothing tells who is meant."""
    bare = statement.subject.lower()
    if bare in PRONOUNS:
        return re.sub(r" \(.*", "", title)
    first = statement.subject.split(" ")[0]
    return (
        first.lower() + statement.subject[len(first) :]
        if first in {"The", "A", "An", "His", "Her", "Its"}
        else statement.subject
    )


def _turned(statement: Statement, named: str, wh: str, rest: str) -> str:
    """Question word, verb or "did", subject, rest."""
    verb = statement.verb
    if verb in AUXILIARIES:
        return f"{wh} {verb} {named} {rest}"
    helper = "does" if verb in PRESENT else "did"
    return f"{wh} {helper} {named} {base_form(verb)} {rest}"


def _of_lead(statement: Statement, named: str, rng: random.Random) -> Iterator[Asked]:
    if not statement.lead:
        return
    first, _, inner = statement.lead.partition(" ")
    at = statement.lead_at + len(first) + 1
    body = _short(statement.rest, rng)
    if re.fullmatch(DATE, inner) or re.search(r"\d{4}$", inner):
        yield Asked(_turned(statement, named, rng.choice(TIMES), body), at, at + len(inner), "when")
    elif first in {"In", "At"} and re.fullmatch(NAME, inner):
        yield Asked(_turned(statement, named, "where", body), at, at + len(inner), "where")
    elif first in {"After", "Before", "During", "Following", "By", "Since"}:
        wh = {"By": "how", "Following": "after what"}.get(first, f"{first.lower()} what")
        wh = "when" if first in {"After", "Before", "During"} and rng.random() < 0.5 else wh
        yield Asked(_turned(statement, named, wh, body), at, at + len(inner), "lead")


OPENINGS = {
    "why": ("why", "why", "what is the reason that"),
    "how": ("how", "how", "in what way"),
    "purpose": ("why", "for what purpose", "what"),
    "clause": ("what",),
    "list": ("what", "which things"),
}
BEFORE_LIST = "including|includes?|included|such as|are|were|of|with|between|by|from"
TIMES = ("when", "when", "in what year", "what year")
PATTERNS: tuple[tuple[str, str], ...] = (
    ("when", rf"(?:in|on|since|until|from|around|by) (?:the )?(?P<a>{DATE})(?![\w-])"),
    ("where", rf"(?:in|at|near|from|to) (?P<a>{NAME}(?:, {NAME})?)"),
    ("agent", rf"by (?P<a>(?:{DETERMINER} )?(?:[\w-]+ ){{0,3}}?{NAME}|(?:{DETERMINER} )(?:[\w-]+ ){{0,2}}[\w-]+)"),
    ("why", r"(?:because of|due to|owing to|because|as a result of|thanks to|since) (?P<a>[^,;]{8,90})"),
    ("how", r"by (?P<a>[a-z]+ing [^,;]{4,70})"),
    ("purpose", r"(?:in order to|so as to|to) (?P<a>(?:be )?[a-z]+ [^,;]{8,70})"),
    ("clause", r"that (?P<a>[^;]{12,110})$"),
    (
        "list",
        rf"(?:{BEFORE_LIST}) (?P<a>(?:[\w'’ -]{{3,30}}, ){{0,5}}[\w'’ -]{{3,30}},? and [\w'’ -]{{3,30}})(?=$|[,;])",
    ),
)


def _of_rest(text: str, statement: Statement, named: str, rng: random.Random) -> Iterator[Asked]:
    """Questions whose answer lies after the verb."""
    rest, at = statement.rest, statement.rest_at
    for kind, pattern in PATTERNS:
        for spot in re.finditer(r"(?<!\w)" + pattern, rest):
            left, right = rest[: spot.start()].strip(), _short(rest[spot.end() :].strip(), rng)
            if kind == "when" and not _tight(left, right):
                continue
            body = " ".join(part for part in (left, right) if part)
            wh, body = _wording(kind, spot, left, right, body, rng)
            if kind == "clause":
                body = left
            yield Asked(_turned(statement, named, wh, body), at + spot.start("a"), at + spot.end("a"), kind)
    yield from _complement(statement, named, rng)
    yield from _objects(statement, named, rng)


def _tight(left: str, right: str) -> bool:
    """Whether a date stands by itself, not within a run of figures."""
    return not re.search(r"\d$", left) and not re.match(r"[\d–-]", right)


def _wording(kind: str, spot: re.Match[str], left: str, right: str, body: str, rng: random.Random) -> tuple[str, str]:
    """The question word for an answer of this kind, and the rest of the question."""
    if kind == "when":
        return rng.choice(TIMES), body
    if kind == "where":
        return rng.choice(("where", "where", "in which place", *PLACES)), body
    if kind == "agent":
        return ("who", f"{left} by {right}".strip()) if rng.random() < 0.5 else ("by whom", body)
    words = {"why": ("why", "why", "what is the reason that"), "how": ("how", "how", "in what way")}
    choices = {
        **words,
        "purpose": ("why", "for what purpose", "what"),
        "clause": ("what", "what"),
        "list": ("what", "which things"),
    }
    return rng.choice(choices[kind]), body


def _complement(statement: Statement, named: str, rng: random.Random) -> Iterator[Asked]:
    """What something is: the words after "is" or "was" up to a border."""
    spot = re.match(
        r"(?:an?|the|one of the) [^,;.]+?(?= (?:that|which|who|where|in \d|on \d|from \d)\b|[,;]|$)", statement.rest
    )
    if statement.verb in {"is", "was", "are", "were"} and spot and 2 <= len(spot[0].split()) <= 16:
        wh = "who" if re.fullmatch(NAME, named) and " " in named and rng.random() < 0.4 else "what"
        end = statement.rest_at + spot.end()
        yield Asked(f"{wh} {statement.verb} {named}", statement.rest_at, end, "definition")


def _objects(statement: Statement, named: str, rng: random.Random) -> Iterator[Asked]:
    """The object of the verb, or what follows a preposition."""
    rest, at = statement.rest, statement.rest_at
    for begin, end, preposition in noun_phrases(rest):
        left, right = rest[:begin].strip(), _short(rest[end:].strip(), rng)
        if len(left.split()) > 14 or right[:3].strip() == "of":
            continue
        phrase = rest[begin:end]
        if begin == 0 and statement.verb in AUXILIARIES:
            continue
        wh = "who" if _person(phrase) else "what"
        if preposition and rng.random() < 0.35:
            body, wh = f"{left[: -len(preposition)].strip()} {right}", f"{preposition} {wh}"
        else:
            body = f"{left} {right}"
        yield Asked(_turned(statement, named, wh, body), at + begin, at + end, "object")


def noun_phrases(text: str) -> Iterator[tuple[int, int, str]]:
    """Runs of words that are not function words, with their determiner, at the start or after a preposition."""
    pattern = rf"(?:^|(?<!\w)(?P<p>{'|'.join(PREPOSITIONS)}) )(?P<a>(?:{DETERMINER} )?(?:[\w'’-]+ ){{0,5}}[\w'’-]+)"
    for spot in re.finditer(pattern, text):
        words = re.split(r"(?<= )", spot["a"])
        kept = 1 if re.fullmatch(DETERMINER, words[0].strip()) else 0
        while kept < len(words) and (words[kept].strip().lower() not in STOP or words[kept].strip() == "of"):
            kept += 1
        phrase = re.sub(r"( of)+$", "", "".join(words[:kept]).rstrip())
        if phrase and phrase.lower() not in STOP and len(phrase) > 2:
            yield spot.start("a"), spot.start("a") + len(phrase), spot["p"] or ""


def _who(subject: str, verb: str) -> str:
    """Question word for a subject: a name of two words before a verb of doing is taken for a person's."""
    name = re.fullmatch(r"[A-Z][a-z]+(?: [A-Z]\.)? [A-Z][a-z]+", subject) is not None
    doing = verb in IRREGULAR or verb.endswith("ed")
    return "who" if _person(subject) or (name and doing) else "what"


def _person(phrase: str) -> bool:
    return re.match(rf"(?i)(?:(?:the|his|her|a) )?(?:{PERSONS})\b(?! of the \w+ is)", phrase) is not None


def _short(rest: str, rng: random.Random) -> str:
    """The rest without brackets, and often without its side clauses and last phrases."""
    rest = re.sub(r" ?\([^)]*\)", "", rest)
    if rng.random() < 0.75:
        rest = SIDE.sub("", rest)
    if rng.random() < 0.4:
        rest = rest.split(", ")[0]
    words = rest.split()
    if len(words) > 12:
        words = words[: rng.randint(6, 12)]
        while words and words[-1].lower().strip(",") in STOP:
            words.pop()
    return " ".join(words).strip(" ,.")


def reword(question: str, rng: random.Random, share: float = 0.5) -> str:
    """Some words replaced by synonyms, tidied; three in five with a capital and a question mark."""
    words = []
    for word in question.split():
        others = SYNONYMS.get(word.lower().strip(","))
        words.append(rng.choice(others) if others and rng.random() < share else word)
    text = re.sub(r"\s+([,.])", r"\1", " ".join(words)).strip(" ,.-")
    text = re.sub(r"[,;:]+$", "", text)
    return text[:1].upper() + text[1:] + "?" if rng.random() < 0.6 else text.lower()


def written_questions(text: str, title: str, count: int, rng: random.Random) -> list[Example]:
    """At most ``count`` questions over a passage, of as many kinds as there are."""
    made: list[Asked] = []
    for start, end in sentences(text):
        statement = parse(text, start, end)
        if statement:
            made += questions(text, statement, title, rng)
    rng.shuffle(made)
    seen: dict[str, int] = {}
    ranked = []
    for asked in made:
        seen[asked.kind] = seen.get(asked.kind, 0) + 1
        ranked.append((seen[asked.kind], len(ranked), asked))
    examples = []
    for _, _, asked in sorted(ranked, key=lambda entry: entry[:2]):
        question, answer = reword(asked.question, rng), text[asked.start : asked.end]
        if 4 <= len(question.split()) <= 22 and answer.strip() == answer and answer.lower() not in question.lower():
            examples.append(Example(question, text, [(asked.start, asked.end)], f"written-{asked.kind}"))
    return examples[:count]
