"""Lets many processes write to one store at once, and puts an owner of few notes beside one of many."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from peers.crash_child import Child, Send
from peers.crash_kills import inspected
from peers.crash_subject import OWNERS, Operation, Subject, vector, vectors


def together(kind: type[Subject], home: Path, writers: int, writes: int, readers: int) -> dict[str, Any]:
    """So many processes add notes to one store, one in each call, while others count them.

    Every second reader opens the store anew for each count.

    Returns:
        ``acknowledged``: calls that returned; ``lost``: of their texts, how many are missing at the end; ``errors``:
        what was raised, and how often; ``counts``: how often readers counted; ``shrank``: counts below one before;
        ``wrong``: what `Subject.wrong` says at the end; ``seconds``.
    """
    home.mkdir(parents=True)
    Child(lambda send: kind(home)).rest()
    over, began = home.parent / "over", time.perf_counter()
    adding = [Child(partial(add_notes, kind, home, number, writes)) for number in range(writers)]
    counting = [Child(partial(count_notes, kind, home, over, anew=bool(number % 2))) for number in range(readers)]
    added = [json.loads(child.rest()[0]) for child in adding]
    seconds = time.perf_counter() - began
    over.touch()
    counted = [json.loads(child.rest()[0]) for child in counting]
    found = inspected(kind, home)
    done = {key: text for one in added for key, text in one["done"].items()}
    return {
        "calls": writers * writes,
        "acknowledged": len(done),
        "lost": sum(found.held.get(key) != text for key, text in done.items()),
        "errors": dict(sum((Counter(one["errors"]) for one in (*added, *counted)), Counter())),
        "counts": sum(one["counts"] for one in counted),
        "shrank": sum(one["shrank"] for one in counted),
        "wrong": [found.error] if found.error else found.wrong,
        "seconds": seconds,
    }


def add_notes(kind: type[Subject], home: Path, number: int, writes: int, send: Send) -> None:
    """Adds notes and tells which calls returned, and what the others raised."""
    subject, done, errors = kind(home), {}, Counter()
    for i in range(writes):
        owner = OWNERS[number % len(OWNERS)]
        key = f"{owner}/note {number}.{i}"
        try:
            subject.do(Operation("add", owner, {key: f"{key} is kept"}))
        except Exception as error:  # noqa: BLE001 (it is the outcome)
            errors[line(error)] += 1
        else:
            done[key] = f"{key} is kept"
    send(json.dumps({"done": done, "errors": errors}).encode())


def count_notes(kind: type[Subject], home: Path, over: Path, send: Send, anew: bool) -> None:
    """Counts the notes until a file is there."""
    subject, told = kind(home), {"counts": 0, "shrank": 0, "errors": Counter()}
    most = dict.fromkeys(OWNERS, 0)
    while not over.exists():
        for owner in OWNERS:
            try:
                subject = kind(home) if anew else subject
                count = subject.count(owner)
            except Exception as error:  # noqa: BLE001 (it is the outcome)
                told["errors"][line(error)] += 1
                continue
            told["counts"] += 1
            told["shrank"] += count < most[owner]
            most[owner] = max(count, most[owner])
    send(json.dumps(told).encode())


def line(error: Exception) -> str:
    """An error on one line, without what differs from one time to the next."""
    return re.sub(r"\d+", "N", f"{type(error).__name__}: {' '.join(str(error).split())}")[:120]


def tenants(kind: type[Subject], home: Path, large: int, small: int, k: int, queries: int) -> dict[str, Any]:
    """One owner has many notes, another few, who asks for the nearest ``k`` of theirs to random vectors.

    Returns:
        ``results``: how many came, on average; ``recall``: of those that brute force finds, the mean share;
        ``foreign``: results that are not the owner's.
    """
    home.mkdir(parents=True)
    many, few = (
        {f"{o}/note {i}": f"{o} keeps {i}" for i in range(n)} for o, n in zip(OWNERS, (large, small), strict=True)
    )
    keys, matrix = list(few), vectors(list(few.values()))
    asked = [vector(f"query {number}") for number in range(queries)]

    def ask(send: Send) -> None:
        subject = kind(home)
        for texts in (many, few):
            for i in range(0, len(texts), 1000):
                put = dict(list(texts.items())[i : i + 1000])
                subject.do(Operation("add", next(iter(put)).split("/")[0], put))
        send(json.dumps([subject.nearest(OWNERS[1], query, k) for query in asked]).encode())

    results = json.loads(Child(ask).rest()[0])
    truth = [{keys[row] for row in np.argsort(-(matrix @ query), kind="stable")[:k]} for query in asked]
    return {
        "large": large,
        "small": small,
        "k": k,
        "results": mean(len(found) for found in results),
        "recall": mean(len(right & set(found)) / len(right) for right, found in zip(truth, results, strict=True)),
        "foreign": sum(key not in few for found in results for key in found),
    }
