"""Prompts: ordered segments of text, in which documents and questions are data.

A template is a text file with named places such as ``{context}`` and ``{question}``. It is cut once into literals and
places; values are put beside the literals and never read again, so braces inside a document or a question mean nothing.

Every prompt has the same three parts in the same order: a *prefix* shared by all prompts of a template, the *context*
(chunks or extracts), and the *task* with everything that varies. Segments are tokenised one by one, so that the tokens
of a chunk are the same in every prompt and a prompt's length is the sum of its segments'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from ctxproc.errors import ConfigError, UnknownNameError

Role = Literal["prefix", "context", "task"]
PLACE = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt: ``field`` names the place that it fills, and is None for the template's own words."""

    text: str
    role: Role
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """Segments in order of role; ``str(prompt)`` is the text, without the model's chat markers."""

    segments: tuple[Segment, ...]
    step: str = ""

    @property
    def pieces(self) -> tuple[str, ...]:
        """The texts of the segments: each is tokenised on its own, so a prompt's length is the sum of theirs."""
        return tuple(segment.text for segment in self.segments)

    def part(self, role: Role) -> str:
        """The text of one part."""
        return "".join(segment.text for segment in self.segments if segment.role == role)

    def field(self, name: str) -> str:
        """The text that fills the place ``name``; empty where the template has no such place."""
        return "".join(segment.text for segment in self.segments if segment.field == name)

    @property
    def contexts(self) -> tuple[str, ...]:
        """The context values in order: chunks, extracts or earlier answers."""
        return tuple(segment.text for segment in self.segments if segment.field == "context")

    def __str__(self) -> str:
        return "".join(segment.text for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Template:
    """A strategy step's prompt: literals and places. Made by `template`, filled by `fill`.

    The place ``{context}`` stands once. What precedes it is the prefix and may hold no other place; what follows is
    the task.
    """

    name: str
    source: str

    @property
    def places(self) -> frozenset[str]:
        """The names of its places, the context left out."""
        return frozenset(PLACE.findall(self.source)) - {"context"}

    def fill(self, contexts: Sequence[str], values: Mapping[str, str], joint: str = "\n\n") -> Prompt:
        """The prompt with each context joined by ``joint``, and ``values`` in the places of the task.

        Raises:
            ConfigError: a place of the template has no value.
        """
        before, after = self.source.split("{context}")
        segments = [Segment(before, "prefix")] if before else []
        for i, context in enumerate(contexts):
            if i and joint:
                segments.append(Segment(joint, "context"))
            if context:
                segments.append(Segment(context, "context", "context"))
        for i, piece in enumerate(PLACE.split(after)):
            if i % 2 and piece not in values:
                raise ConfigError(f"template {self.name}: nothing to put in the place {{{piece}}}")
            text, field = (values[piece], piece) if i % 2 else (piece, None)
            if text:
                segments.append(Segment(text, "task", field))
        return Prompt(tuple(segments), self.name)


def parse(name: str, source: str) -> Template:
    """A template from its text.

    Raises:
        ConfigError: ``{context}`` does not stand exactly once, or another place precedes it.
    """
    places = PLACE.findall(source)
    if places.count("context") != 1 or places[0] != "context":
        raise ConfigError(f"template {name}: the place {{context}} must stand once, before every other place")
    return Template(name, source)


def template_names() -> list[str]:
    """The names of the templates that are shipped, sorted."""
    folder = resources.files("ctxproc.strategies") / "templates"
    return sorted(entry.name[: -len(".txt")] for entry in folder.iterdir() if entry.name.endswith(".txt"))


@cache
def source(name: str, task: str = "answer") -> str:
    """The text of the shipped template ``name`` (``strategies/templates/NAME.txt``), places not filled.

    A file ``NAME.TASK.txt`` is taken before it.

    Raises:
        UnknownNameError: there is none of that name.
    """
    names = template_names()
    if name not in names:
        raise UnknownNameError("template", name, names)
    chosen = f"{name}.{task}" if f"{name}.{task}" in names else name
    file = resources.files("ctxproc.strategies") / "templates" / f"{chosen}.txt"
    return file.read_text(encoding="utf-8").rstrip("\n")


def does_task(name: str, task: str = "answer") -> bool:
    """Whether the reply to this template is the result of the task, and not a step on the way."""
    return "{task}" in source(name, task)


@cache
def template(name: str, task: str = "answer") -> Template:
    """The shipped template ``name``, such as ``map_reduce.map``, as it is for a task.

    The template ``task.TASK`` stands in its place ``{task}``.

    Raises:
        UnknownNameError: there is none of that name.
    """
    text = source(name, task)
    return parse(name, text.replace("{task}", source(f"task.{task}")) if does_task(name, task) else text)
