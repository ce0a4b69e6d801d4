"""The four parts of `crash.py` for one store, in the Python that has it: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from peers.crash_crowd import tenants, together
from peers.crash_kills import kills, steps
from peers.crash_subject import Subject


def serve(kind: type[Subject]) -> None:
    """Does what the line on stdin asks for, tells of it on stderr, and writes the result, a line, on stdout."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked, folder, say = (
        json.loads(sys.stdin.readline()),
        Path(sys.argv[1]),
        partial(print, file=sys.stderr, flush=True),
    )
    found: dict[str, Any] = {"facts": dict(kind.facts)}
    if "kills" in asked:
        found["kills"] = asdict(kills(kind, folder / "kills", **asked["kills"], say=say))
    if "steps" in asked:
        found["steps"] = {n: asdict(t) for n, t in steps(kind, folder / "steps", **asked["steps"], say=say).items()}
    if "together" in asked:
        found["together"] = together(kind, folder / "together", **asked["together"])
        say(f"together: {found['together']}")
    if "tenants" in asked:
        found["tenants"] = tenants(kind, folder / "tenants", **asked["tenants"])
        say(f"tenants: {found['tenants']}")
    replies.write(json.dumps(found) + "\n")
