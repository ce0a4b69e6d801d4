"""One question under several configurations, side by side: `python examples/config_swap.py [FILE QUESTION]`.

Nothing but the settings changes; they could as well stand in files that `--config` names.
"""
# ruff: noqa: T201

from __future__ import annotations

import sys
from pathlib import Path

import yaml

import ctxproc

BOOK = Path(__file__).with_name("lighthouse.md")
QUESTION = "What yearly rent did the island pay to the abbey?"
CONFIGURATIONS = {
    "words alone": "preset: fast",
    "wider": "{preset: fast, retrieval: {top_k: 12, rescore: [mmr]}}",
    "rare words count for less": "{preset: fast, retrieval: {search: [{bm25: {k1: 0.5, epsilon: 1.0}}]}}",
    "several passages at once": "{preset: fast, strategy: stuff}",
    "the first window": "{strategy: truncate, retrieval: {search: []}}",
    "sure or silent": "{preset: fast, answer: {min_confidence: 0.99}}",
}


def main(file: str = str(BOOK), question: str = QUESTION) -> None:
    """Ask once under each configuration."""
    for title, text in CONFIGURATIONS.items():
        values = yaml.safe_load(text)
        settings, _ = ctxproc.resolve(preset=values.pop("preset", None), flags=flat(values))
        answer = ctxproc.Library([file], settings).ask(question)
        status = answer.evidence[0].status if answer.evidence else "-"
        print(
            f"{title:<28}{answer.strategy:<12}{answer.usage.calls:>3} calls  {status:<10}{answer.text or 'no answer'}"
        )


def flat(values: dict[str, object], at: str = "") -> dict[str, object]:
    """Sections as dotted names."""
    found: dict[str, object] = {}
    for key, value in values.items():
        found |= flat(value, f"{at}{key}.") if isinstance(value, dict) else {at + key: value}
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
