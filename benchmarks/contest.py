"""One interleaved run of several peers over one document: round robin, one at a time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from peers.client import Worker, WorkerError, drop_from_page_cache
from peers.protocol import Setup
from peers.workload import Document, Size, document, tokens

SLOW = 5.0  # seconds; a slower case is measured in every third round only
PAUSE = 0.3  # seconds in which the threads of the last peer go to sleep
ROOM = 256  # tokens of an answer at most

Samples = dict[str, Any]
Say = Callable[[str], Any]


@dataclass(frozen=True)
class Contestant:
    """A peer with its settings, the cases that it takes part in, and how it is installed."""

    name: str
    module: str
    cases: tuple[str, ...]
    install: str
    options: dict[str, Any] = field(default_factory=dict)

    def with_options(self, more: dict[str, Any]) -> Contestant:
        """With other settings on top of its own."""
        return replace(self, options={**self.options, **more})


@dataclass
class Contest:
    """Where and how peers run.

    Attributes:
        home: folder of the model's files.
        scratch: folder that peers write to.
        pythons: interpreters by module; this one's where there is none.
    """

    size: Size
    home: Path
    scratch: Path
    threads: int
    pythons: dict[str, str]
    seed: int = 1

    def start(self, contestant: Contestant) -> Worker:
        """A new process of this peer.

        Raises:
            WorkerError: it cannot be started.
        """
        import sys

        own = self.scratch / "".join(c if c.isalnum() else "-" for c in contestant.name)
        own.mkdir(exist_ok=True)
        longest = self.size.tokens + self.size.question + ROOM
        setup = Setup(str(self.home), str(own), self.size.dtype, self.threads, longest, contestant.options)
        return Worker(contestant.module, setup, self.pythons.get(contestant.module, sys.executable), own / "log")

    def question(self, name: str) -> list[int]:
        """Random tokens of a question's length."""
        return tokens(self.size, self.size.question, f"question {name}")

    def run(self, contestants: Sequence[Contestant], rounds: int, say: Say) -> dict[str, Any]:
        """All rounds; the samples by peer and case, what the peers say of themselves, and which first tokens they gave."""
        asked = document(self.size, self.seed)
        samples: dict[str, dict[str, list[dict[str, float]]]] = {}
        peers: dict[str, Any] = {}
        firsts: dict[str, dict[str, list[Any]]] = {}
        with ExitStack() as stack:
            running: dict[str, tuple[Contestant, Worker]] = {}
            for contestant in contestants:
                say(f"{contestant.name}: starts and reads the document")
                try:
                    worker = stack.enter_context(self.start(contestant))
                    worker.call("know", asked)
                    cold = worker.call("prepare")
                    if "map" in contestant.cases:
                        worker.call("prepare_map")
                    self._case("same", worker, "warm")
                except WorkerError as error:
                    reason = str(error).splitlines()[-1]
                    peers[contestant.name] = {"absent": reason, "install": contestant.install}
                    say(f"{contestant.name}: absent ({reason}); {contestant.install}")
                    continue
                running[contestant.name] = contestant, worker
                samples[contestant.name] = {"prepare": [cold]}
                peers[contestant.name] = {**worker.started["value"], "start_seconds": worker.started["seconds"]}
            for number in range(rounds):
                for case in ("same", "decode", "reordered", "subset", "map"):
                    for name, (contestant, worker) in running.items():
                        found = samples[name].setdefault(case, []) if case in contestant.cases else None
                        if found is None or skipped(found, number):
                            continue
                        reply = self._case(case, worker, str(number))
                        found.append(reply)
                        if case in ("same", "map"):
                            firsts.setdefault(f"{case} {number}", {})[name] = reply["value"]
                say(f"round {number + 1} of {rounds}")
            for name, (_, worker) in running.items():
                peers[name]["peak"] = worker.call("ready")["peak"]
            for name, (contestant, worker) in running.items():
                if "restart" in contestant.cases:
                    samples[name]["restart"] = self._restarts(contestant, worker, asked, rounds)
                    say(f"{name}: restarted")
        return {
            "samples": {name: {c: summary(s) for c, s in of.items() if s} for name, of in samples.items()},
            "peers": peers,
            "first_tokens": firsts,
        }

    def _case(self, case: str, worker: Worker, number: str) -> dict[str, Any]:
        """One measurement; for "decode" of one token after the last "same"."""
        size, draw = self.size, random.Random(f"{case} {number}")
        orders = {
            "same": list(range(size.windows)),
            "reordered": draw.sample(range(size.windows), size.windows),
            "subset": sorted(draw.sample(range(size.windows), size.windows // 2)),
        }
        if case == "decode":
            time.sleep(PAUSE)
            worker.call("ready")
            worker.call("ask", orders["same"], self.question(f"{case} {number}"))
            reply = worker.call("decode", size.decoded)
            return {**reply, "seconds": reply["seconds"] / size.decoded, "cpu": reply["cpu"] / size.decoded}
        worker.call("ready")
        time.sleep(PAUSE)
        question = self.question(f"{case} {number}")
        return worker.call("map", question) if case == "map" else worker.call("ask", orders[case], question)

    def _restarts(self, contestant: Contestant, worker: Worker, asked: Document, rounds: int) -> list[dict[str, Any]]:
        """The process ends, another one begins; its files are on a cold disk. Weights are read and warm."""
        found: list[dict[str, Any]] = []
        files = worker.call("save")["value"]
        worker.close()
        other = Document(asked.prefix, [tokens(self.size, self.size.window // 4, "other")])
        for number in range(rounds):
            if skipped(found, number):
                continue
            with self.start(contestant) as fresh:
                fresh.call("know", other)
                fresh.call("prepare")
                fresh.call("ask", [0], self.question("other"))
                fresh.call("know", asked)
                drop_from_page_cache(files)
                time.sleep(PAUSE)
                read = fresh.call("restore")
                reply = fresh.call("ask", list(range(self.size.windows)), self.question(f"restart {number}"))
                found.append({**reply, **{unit: reply[unit] + read[unit] for unit in ("seconds", "cpu")}})
        return found


def skipped(found: Sequence[dict[str, float]], number: int) -> bool:
    """Whether a slow case rests in this round."""
    return number % 3 > 0 and bool(found) and min(one["seconds"] for one in found) > SLOW


def summary(replies: Sequence[dict[str, Any]]) -> Samples:
    """Every sample, least and median."""
    seconds, cpu = [one["seconds"] for one in replies], [one["cpu"] for one in replies]
    return {"seconds": seconds, "cpu": cpu, "least": min(seconds), "median": median(seconds), "cpu_median": median(cpu)}


def tune(
    contest: Contest, contestants: Sequence[Contestant], trials: dict[str, list[dict[str, Any]]], say: Say
) -> tuple[list[Contestant], dict[str, Any]]:
    """Every contestant with the settings that answered "same" quickest, of three times; and what all settings gave."""
    chosen, told = [], {}
    for contestant in contestants:
        seconds: list[tuple[float, dict[str, Any]]] = []
        for options in trials.get(contestant.name, []):
            try:
                with contest.start(contestant.with_options(options)) as worker:
                    worker.call("know", document(contest.size, contest.seed))
                    cold = worker.call("prepare")["seconds"]
                    times = [contest._case("same", worker, f"trial {i}")["seconds"] for i in range(3)]
            except WorkerError as error:
                say(f"{contestant.name} {options}: failed, {str(error).splitlines()[-1]}")
                continue
            seconds.append((min(times), options))
            told[f"{contestant.name} {options}"] = {"prepare": cold, "same": times}
            say(f"{contestant.name} {options}: prepare {cold:.2f} s, same {min(times):.4f} s")
        best = min(seconds, key=lambda pair: pair[0])[1] if seconds else {}
        chosen.append(contestant.with_options(best))
    return chosen, told
