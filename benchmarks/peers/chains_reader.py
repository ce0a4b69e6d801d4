"""A model that reads by rule: it finds facts it was told of in a prompt and replies in the form that the prompt asks for.

So what a program gets wrong with it is the program's doing. `MANNERS` make it a worse conversationalist.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ctxproc.llm.scripted import WordTokenizer
from ctxproc.prompt import Prompt

QUOTED, SCORED, REFINED, VERBATIM, PLAIN = "quoted", "scored", "refined", "verbatim", "plain"
FORMS = (
    ("reply NOT FOUND", QUOTED),  # ctxproc
    ("return a score of how fully", SCORED),  # LangChain's map_rerank
    ("We have provided an existing answer: ", REFINED),  # LangChain's and LlamaIndex's refine
    ("Return any relevant text verbatim.", VERBATIM),  # LangChain's map step
)
EXISTING = re.compile(r"We have provided an existing answer: (.*?)\nWe have the opportunity", re.DOTALL)
NOTHING = {
    QUOTED: "NOT FOUND",
    SCORED: "This document does not answer the question\nScore: 0",
    VERBATIM: "None",
    PLAIN: "I don't know.",
}
SURE, DOUBTFUL = 0.99, 0.01
PADDING = " moreover"


@dataclass(frozen=True)
class Fact:
    """The answer to a question wherever a text holds ``passage``, and how good an answer it is, out of 100."""

    question: str
    passage: str
    answer: str
    score: str = "100"


@dataclass(frozen=True)
class Said:
    """A reply, the form it has, the prompt, and the fact that was found in it."""

    text: str
    form: str
    prompt: str
    fact: Fact | None


Manner = Callable[[Said], str]


class Reader:
    """Replies to a prompt by the first fact of its question that it finds there.

    A fact is found where the prompt holds its passage, white space aside, or a line that is its answer: a note, or an
    earlier answer, but not ctxproc's, whose templates ask for news only. Of the other libraries' refinements those that
    find nothing repeat the answer they were given.

    Args:
        facts: the better one first, where a question has several.
        manner: changes the replies.
    """

    def __init__(self, facts: Sequence[Fact], manner: Manner | None = None) -> None:
        self._facts = [(fact, " ".join(fact.passage.split())) for fact in facts]
        self._manner = manner

    def reply(self, prompt: Prompt) -> str:
        """In the form that the prompt asks for."""
        text = str(prompt)
        form = next((form for mark, form in FORMS if mark in text), PLAIN)
        fact = self.find("".join(segment.text for segment in prompt.segments if segment.field != "answer"))
        said = Said(self.worded(form, text, fact), form, text, fact)
        return self._manner(said) if self._manner else said.text

    def find(self, text: str) -> Fact | None:
        """The fact that a text holds and asks for."""
        asked = [(fact, passage) for fact, passage in self._facts if fact.question in text]
        if not asked:
            return None
        text = text.replace(PADDING, "")
        flat, lines = " ".join(text.split()), set(map(str.strip, text.replace(": ", ":\n").splitlines()))
        return next((fact for fact, passage in asked if passage in flat or fact.answer in lines), None)

    @staticmethod
    def worded(form: str, text: str, fact: Fact | None) -> str:
        """The reply to a prompt of this form."""
        if fact is None:
            existing = EXISTING.search(text) if form == REFINED else None
            return existing[1] if existing else NOTHING[form]
        return {
            QUOTED: f"{fact.answer}\nQuote: {fact.passage}",
            SCORED: f"{fact.answer}\nScore: {fact.score}",
            VERBATIM: fact.passage,
        }.get(form, fact.answer)

    def likelihood(self, prompt: Prompt, continuation: str) -> float:
        """Of " yes" or " no" behind the question whether a text says that this is the answer, by the fact's score."""
        fact = self.find("\n".join([*prompt.contexts, prompt.field("question")]))
        agrees = fact is not None and fact.answer in prompt.field("answer")
        probability = min(max(float(fact.score) / 100, DOUBTFUL), SURE) if fact and agrees else DOUBTFUL
        return math.log(probability if continuation.strip() == "yes" else 1 - probability)


def padded(said: Said, tokens: int) -> str:
    """A reply made so many tokens long within its first line, so that what its form asks for comes at the end."""
    spare = max(0, tokens - WordTokenizer().count(said.text))
    first, *rest = said.text.split("\n", 1)
    return "\n".join([first + PADDING * spare, *rest])


def talkative(tokens: int) -> Manner:
    """Every reply is so many tokens long, and none says that there is nothing: notes never shrink and are never left out."""
    return lambda said: padded(said if said.fact else replace(said, text=PADDING.strip()), tokens)


def rambling(mark: str, tokens: int) -> Manner:
    """Where a prompt holds ``mark`` and no fact, the reply is so many tokens long and says nothing, in no form."""
    words = PADDING.strip() + PADDING * (tokens - 1)
    return lambda said: words if mark in said.prompt and not said.fact else said.text


def echo(said: Said) -> str:
    """The prompt."""
    return said.prompt


def scoring(pattern: str, quoted: str = "{said}") -> Manner:
    """Replies that carry a score are worded by a pattern, and so are those that carry a quote.

    Args:
        pattern: of ``answer`` and ``score``.
        quoted: of ``said``, the whole reply, ``answer`` and ``quote``, its second line.
    """

    def manner(said: Said) -> str:
        answer, score = (said.fact.answer, said.fact.score) if said.fact else NOTHING[SCORED].split("\nScore: ")
        if said.form == SCORED:
            return pattern.format(answer=answer, score=score)
        if said.form == QUOTED and said.fact:
            quote = said.text.partition("\n")[2]
            return quoted.format(said=said.text, answer=answer, quote=quote)
        return said.text

    return manner


SCORES: Mapping[str, Manner] = {
    "several lines": scoring("{answer}\nas the porter says\nScore: {score}", "{answer}\nas the porter says\n{quote}"),
    "no number": scoring("{answer}\nScore: N/A"),
    "half points": scoring("{answer}\nScore: {score}"),
    "lower case": scoring("{answer}\nscore: {score}"),
    "one line": scoring("{answer}. Score: {score}"),
    "second question": scoring(
        "{answer}\nScore: {score}\n\nQuestion: what color are apples?\nHelpful Answer: red\nScore: 100",
        "{said}\n\nQuestion:\nWhat color are apples?\n\nAnswer:\nred\nQuote: Apples are red",
    ),
}
