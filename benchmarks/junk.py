"""How much of what a memory keeps as facts is junk, after thirty days among boilerplate, echoes and invented people.

    python benchmarks/junk.py --logs 10
    python benchmarks/junk.py --logs 3 --reader         the built-in reader finds facts too, in consolidation
    python benchmarks/junk.py --logs 3 --dev --show     what slips through, on the sayings that rules may be written on

A bank with the rule extractor keeps a simulated log (junk_log.py). A stored fact is junk if the user never told it, or if it
only restates one that holds: judged by what the generator knows, not by our audit. Then the audit is put before a store
that a careless memory has filled from everybody's words and from nothing at all, and its findings are compared with the
same truth. Prints one JSON object.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from common import interval, publish
from junk_forms import DEV, TEST
from junk_log import DAYS, STRANGERS, TOWNS, USER, Key, Log, Said, simulated

import ctxproc
from ctxproc.llm.builtin import BuiltinReader
from ctxproc.memory.audit import audit
from ctxproc.memory.bank import Bank
from ctxproc.memory.base import Note, Passage
from ctxproc.memory.extract.base import Extractor
from ctxproc.memory.extract.reader import ReaderExtractor
from ctxproc.memory.extract.rules import RuleExtractor
from ctxproc.memory.facts import Fact, Facts, fact_note, key
from ctxproc.text import sentences


def memory_of(folder: str) -> ctxproc.Memory:
    """A memory that needs no model."""
    return ctxproc.Memory(
        Path(folder) / "me.ctxproc", USER, settings=ctxproc.resolve(sets=["retrieval.search=[bm25]"])[0]
    )


def kept(log: Log, memory: ctxproc.Memory, slow: Extractor | None) -> dict[int, Said]:
    """Put the log into a bank that learns as it goes, and at the end with ``slow``; the turns by their numbers."""
    bank = Bank(memory, extractor=RuleExtractor(), slow=slow)
    turns = {}
    for said in log.said:
        number = bank.turn(said.text, said.role, session="s", time=said.time)  # type: ignore[arg-type]
        bank.learn(number)
        turns[number] = said
    bank.consolidate(log.said[-1].time)
    return turns


def judged(facts: Facts, turns: dict[int, Said], truth: set[Key]) -> dict[int, str]:
    """Why each fact is junk, "" where it is not: by what the generator knows.

    It was told, in the turn that it names or at all, unless an earlier one said the same and nothing has changed since.
    """
    told = {(key(who), key(relation), bare(what)) for who, relation, what in truth}
    holding: dict[tuple[str, str], set[str]] = {}
    why = {}
    for fact in sorted(facts.all, key=lambda one: (one.since, one.id)):
        name, what = (key(fact.subject), key(fact.relation)), bare(fact.object)
        said = turns.get(fact.turn)
        if said is None or said.sort != "told" or (*name, what) not in told or not states(said, fact):
            why[fact.id] = said.sort if said else "no turn"
            if said and said.sort == "told":
                why[fact.id] = "misread"
            continue
        held = holding.setdefault(name, set())
        why[fact.id] = "restated" if what in held else ""
        if fact.single:
            held.clear()
        held.add(what)
    return why


def states(said: Said, fact: Fact) -> bool:
    """Whether a turn truly states a fact."""
    name = key(fact.subject), key(fact.relation), bare(fact.object)
    return any((key(who), key(relation), bare(what)) == name for who, relation, what in said.states)


def bare(text: str) -> str:
    """A value without its article."""
    return key(text).removeprefix("a ").removeprefix("an ").removeprefix("the ")


def careless(log: Log, memory: ctxproc.Memory) -> dict[int, Said]:
    """A memory that believes everybody, sentence by sentence, keeps what it knows again, and invents one fact in twenty."""
    bank, extractor, dice = Bank(memory), RuleExtractor(), random.Random(log.seed)
    turns, notes = {}, list[Note]()
    for said in log.said:
        number = bank.turn(said.text, said.role, session="s", time=said.time)  # type: ignore[arg-type]
        turns[number] = said
        [turn] = memory.store.passages(memory.owner, "memory", [number])
        for start, end in sentences(said.text):
            notes += believed(turn, start, end, extractor)
        if dice.random() < 0.02:
            notes.append(invented(turn, dice))
    memory.remember_all(notes)
    return turns


def believed(turn: Passage, start: int, end: int, extractor: RuleExtractor) -> list[Note]:
    """The facts of a sentence as if the user had said it and nothing else."""
    told = {**turn.note.metadata, "role": "user"}
    alone = replace(turn, note=replace(turn.note, text=turn.text[start:end], metadata=told))
    found = extractor.extract(alone)
    return [fact_note(replace(one, start=start + one.start, end=start + one.end), turn, "careless") for one in found]


def invented(turn: Passage, dice: random.Random) -> Note:
    """A fact about somebody of whom the turn says nothing."""
    who, town = dice.choice([*STRANGERS, "Ilse", "Jaroslav", USER]), dice.choice(TOWNS)
    names: dict[str, Any] = {"subject": who, "relation": "lives in", "object": town, "turn": turn.id, "start": 0}
    told = {**names, "end": len(turn.text), "single": True, "ends": False, "said": turn.note.time.isoformat()}
    return Note(f"{who} lives in {town}.", "fact", turn.note.time, turn.note.speaker, f"memory/{turn.id}", told)


def measured(log: Log, slow: Extractor | None) -> dict[str, Any]:
    """One log: what the bank keeps, and what the audit makes of a careless store."""
    with tempfile.TemporaryDirectory() as folder, memory_of(folder) as memory:
        began = time.perf_counter()
        turns = kept(log, memory, slow)
        seconds = time.perf_counter() - began
        facts = Facts.of(memory.store.passages(memory.owner, "memory"))
        why = judged(facts, turns, log.truth)
        own = audit(memory, log.said[-1].time)
        stored = {(key(one.subject), key(one.relation), bare(one.object)) for one in facts.all if not why[one.id]}
        by_reader = [fact.id for fact in facts.all if fact.by == "reader"]
        texts = [(fact.text, turns[fact.turn].text) for fact in facts.all if why[fact.id]]
    with tempfile.TemporaryDirectory() as folder, memory_of(folder) as memory:
        turns = careless(log, memory)
        found = audit(memory, log.said[-1].time)
        wrong = judged(Facts.of(memory.store.passages(memory.owner, "memory")), turns, log.truth)
    junk = {number for number, reason in wrong.items() if reason}
    return {
        "turns": len(log.said),
        "user_turns_that_tell": sum(one.sort == "told" for one in log.said),
        "told": len(log.truth),
        "facts": len(why),
        "junk": sum(map(bool, why.values())),
        "why": Counter(filter(None, why.values())),
        "by_reader": len(by_reader),
        "by_reader_junk": sum(bool(why[one]) for one in by_reader),
        "own_audit": len(own.bad),
        "kept": len(stored),
        "seconds": seconds,
        "junk_texts": texts,
        "careless_facts": len(wrong),
        "careless_junk": len(junk),
        "found": len(found.bad),
        "right": len(junk & found.bad),
        "missed": Counter(wrong[one] for one in junk - found.bad),
        "accused": Counter(turns[fact].sort if fact in turns else "told" for fact in found.bad - junk),
    }


@click.command()
@click.option("--logs", default=10, show_default=True, help="Simulated months.")
@click.option("--first", default=0, show_default=True, help="Seed of the first.")
@click.option("--dev", is_flag=True, help="The sayings that rules were written on, not those for reporting.")
@click.option("--reader", is_flag=True, help="The built-in reader finds facts too.")
@click.option("--show", is_flag=True, help="Print what is junk to standard error.")
def main(logs: int, first: int, dev: bool, reader: bool, show: bool) -> None:
    """Print the figures."""
    slow = ReaderExtractor(BuiltinReader()) if reader else None
    rows = [measured(simulated(seed, DEV if dev else TEST), slow) for seed in range(first, first + logs)]
    for fact, turn in (one for row in rows for one in row["junk_texts"]) if show else ():
        click.echo(f"{fact!r} <- {turn!r}", err=True)

    def share(part: str, of: str) -> dict[str, float]:
        low, high = interval([row[part] / max(1, row[of]) for row in rows])
        mean = sum(row[part] for row in rows) / max(1, sum(row[of] for row in rows))
        return {name: round(100 * value, 2) for name, value in (("all", mean), ("low", low), ("high", high))}

    result = {
        "sayings": "dev" if dev else "test",
        "logs": logs,
        "days": DAYS,
        **{
            name: sum(row[name] for row in rows)
            for name in ("turns", "user_turns_that_tell", "told", "facts", "junk", "by_reader", "by_reader_junk")
        },
        "junk_rate_percent": share("junk", "facts"),
        "junk_by_source": dict(sum((row["why"] for row in rows), Counter())),
        "told_facts_kept_percent": share("kept", "told"),
        "junk_rate_by_own_audit_percent": share("own_audit", "facts"),
        "milliseconds_per_turn": round(
            1000 * sum(row["seconds"] for row in rows) / sum(row["turns"] for row in rows), 2
        ),
        "careless": {
            "facts": sum(row["careless_facts"] for row in rows),
            "junk_rate_percent": share("careless_junk", "careless_facts"),
            "audit_precision_percent": share("right", "found"),
            "audit_recall_percent": share("right", "careless_junk"),
            "missed": dict(sum((row["missed"] for row in rows), Counter())),
        },
    }
    publish("junk", result, n=logs, seed=first)


if __name__ == "__main__":
    main()
