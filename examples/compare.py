"""Three ways to read the shipped book, side by side: `python examples/compare.py [QUESTIONS FOLDER]`.

Of the shipped questions the first dozen, unless told otherwise; words alone are searched, so that no embedding model is
loaded. FOLDER gets the answers, the table and a page to open in a browser.
"""
# ruff: noqa: T201

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import ctxproc

HERE = Path(__file__).parent
WAYS = ("map_rerank", "stuff", "truncate")


def main(number: str = "12", folder: str = "") -> None:
    """Compare the ways, and print F1 with its interval, the difference to the first way, and the calls."""
    settings, _ = ctxproc.resolve(preset="fast")
    with tempfile.TemporaryDirectory() as scratch:
        some = Path(scratch, "questions.jsonl")
        lines = (HERE / "questions.jsonl").read_text(encoding="utf-8").splitlines()[: int(number)]
        some.write_text("\n".join(lines) + "\n", encoding="utf-8")
        scores = ctxproc.compare(some, HERE / "lighthouse.md", WAYS, out=folder or None, settings=settings)
    for one in scores:
        f1, difference = one.quality["f1"], one.differences.get("f1")
        gain = (
            f"{difference.mean:+.2f} ({difference.low:+.2f} to {difference.high:+.2f})" if difference else "the first"
        )
        title = str(one.ran.way.strategy)
        print(f"{title:<12} F1 {f1.mean:.2f} ({f1.low:.2f} to {f1.high:.2f}), n={f1.n}; {gain}")
    if folder:
        print(f"{folder}/compare.html")


if __name__ == "__main__":
    main(*sys.argv[1:])
