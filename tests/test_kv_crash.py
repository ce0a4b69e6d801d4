"""The disk tier of the key-value store under SIGKILL and under several processes at once.

The processes are forks of this file run as a program (``python test_kv_crash.py WHAT FOLDER``), so that torch is loaded
once and not for each of them.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from children import ended, forked, run_as_program

from ctxproc.llm import kv_disk
from ctxproc.llm.kv import KVStore
from ctxproc.llm.kv_disk import DiskTier
from ctxproc.llm.kv_key import key

SHAPES = [(2, 2, 1, 50 * (1 + i), 64) for i in range(12)]  # 51 to 614 kB: copied and mapped ones
KEYS = [key("00" * 32, [i]) for i in range(len(SHAPES))]
BUDGET = 3_000_000  # of about 4 MB


def value(i: int) -> torch.Tensor:
    """What every process writes under key ``i``."""
    return torch.randn(SHAPES[i], generator=torch.Generator().manual_seed(i))


VALUES = [value(i) for i in range(len(SHAPES))]


def unexpected(text: str) -> None:
    raise AssertionError(text)


def store(folder: Path, report: Callable[[str], None] = unexpected) -> KVStore:
    return KVStore(folder, ram_bytes=0, disk_bytes=BUDGET, report=report)


def present(folder: Path) -> int:
    """How many entries there are, each of which must be right, and reading must report nothing."""
    found = store(folder).get_many(KEYS, SHAPES, torch.float32)
    assert all(entry is None or torch.equal(entry, VALUES[i]) for i, entry in enumerate(found))
    return sum(entry is not None for entry in found)


def parts(folder: Path) -> list[Path]:
    return list(folder.glob(".*.part"))


def write_for_ever(folder: Path, seed: int) -> None:
    keeper, dice = store(folder), random.Random(seed)
    while True:
        i = dice.randrange(len(KEYS))
        keeper.put(KEYS[i], VALUES[i])


def kill(folder: Path) -> None:
    """Kill a writer at 150 random moments: entries are right or absent, and the next writer clears away its rest."""
    dice, left = random.Random(0), 0
    for round_ in range(150):
        writer = forked(lambda seed=round_: write_for_ever(folder, seed))  # type: ignore[misc]
        time.sleep(dice.uniform(0, 0.02))
        os.kill(writer, signal.SIGKILL)
        assert ended(writer) == -signal.SIGKILL
        present(folder)
        left += bool(parts(folder))
        assert len(parts(folder)) <= 3, "files of killed writers pile up"
    assert left, "no kill came while a file was being written"
    store(folder).put(KEYS[0], VALUES[0])
    assert not parts(folder) and present(folder) > 1


STEPS: list[tuple[object, str, str]] = [
    (owner, name, when)
    for owner, name in [
        (os, "utime"),
        (os, "replace"),
        (kv_disk, "_lock"),
        (kv_disk, "_bytes"),
        (DiskTier, "_make_room"),
    ]
    for when in ("before", "after")
]


def steps(folder: Path) -> None:
    """Kill a writer right before or after each step of a write: with no older entry there, then with one."""
    for owner, name, when in STEPS:
        here = folder / f"{when}{name}"
        done = (name, when) in {("replace", "after"), ("_make_room", "before"), ("_make_room", "after")}
        for before in (0, 1):
            assert present(here) == before
            assert ended(forked(lambda: write_and_die(here, owner, name, when))) == -signal.SIGKILL  # noqa: B023
            assert present(here) == max(before, done), f"{when} {name}"
            store(here).put(KEYS[1], VALUES[1])
            assert present(here) == 1 and not parts(here), f"{when} {name}"


def write_and_die(folder: Path, owner: object, name: str, when: str) -> None:
    """Write an entry and be killed before or after one of the functions that this takes."""
    real = getattr(owner, name)

    def dies(*arguments: object, **options: object) -> None:
        if when == "after":
            real(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, dies)
    store(folder).put(KEYS[1], VALUES[1])


def together(folder: Path) -> None:
    """Three processes read, write and evict while a fourth puts damaged files in place: never a wrong value."""
    reports: list[str] = []

    def work(seed: int) -> None:
        keeper, dice = store(folder, reports.append), random.Random(seed)
        for _ in range(400):
            some = dice.sample(range(len(KEYS)), 3)
            found = keeper.get_many([KEYS[i] for i in some], [SHAPES[i] for i in some], torch.float32)
            for i, entry in zip(some, found, strict=True):
                assert entry is None or torch.equal(entry, VALUES[i])
                if entry is None and dice.random() < 0.7:
                    keeper.put(KEYS[i], VALUES[i])
        others = [text for text in reports if not text.startswith("damaged cache")]
        assert not others, others
        assert sum(vars(keeper.stats).values()) - keeper.stats.damaged == 1200 and keeper.stats.disk > 100

    def damage() -> None:
        dice, new = random.Random(9), folder.parent / "damaged"
        while True:
            time.sleep(0.005)
            file = folder / f"{dice.choice(KEYS)}.safetensors"
            if file.exists():
                raw = bytearray(VALUES[0].numpy().tobytes() if dice.random() < 0.2 else read(file))
                raw[dice.randrange(len(raw)) :][:1] = b"\x07"
                raw[dice.randrange(len(raw))] ^= 64
                new.write_bytes(raw)
                new.rename(file)

    vandal = forked(damage)
    workers = [forked(lambda seed=seed: work(seed)) for seed in range(3)]  # type: ignore[misc]
    codes = [ended(worker) for worker in workers]
    os.kill(vandal, signal.SIGKILL)
    ended(vandal)
    assert codes == [0, 0, 0]
    store(folder, reports.append).get_many(KEYS, SHAPES, torch.float32)
    assert present(folder) > 1 and not parts(folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= BUDGET


def read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return bytes(100)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("what", ["kill", "steps", "together"])
def test_never_a_wrong_value(tmp_path: Path, what: str) -> None:
    run_as_program(__file__, what, tmp_path / "kv")


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"kill": kill, "steps": steps, "together": together}[sys.argv[1]](Path(sys.argv[2]))
