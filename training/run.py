"""Reproduce a built-in model from scratch: its stages one after the other, each in a process of its own.

    python -m training.run NAME --data ../shared/data --out build/NAME

A stage that is done is not done again; one that was stopped goes on from its last checkpoint; one whose command has
changed begins anew, and so does all that follows. The weights come to ``OUT/weights``, or to ``--weights``; the package's
own stand in ``ctxproc/llm/weights``. Each module of a stage can also be run by itself, see its ``--help``.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

__all__ = ["Stage", "run_stages", "stages"]

log = logging.getLogger("training.run")
READER = "--dev {out}/dev.jsonl"
STAGES: dict[str, tuple[tuple[str, str], ...]] = {
    "reader": (
        ("sets", "reader_data --data {data} --out {out}"),
        ("one", f"reader {READER} --train {{out}}/pretrain.jsonl --save {{out}}/one --alone --epochs 0.5"),
        ("two", f"reader {READER} --train {{out}}/tune.jsonl --init {{out}}/one/best.safetensors --save {{out}}/two"),
        ("helper", f"reader_export {READER} --checkpoint {{out}}/two/best.safetensors --out {{out}}/helper"),
        ("third set", "reader_third --data {data} --out {out} --weights {out}/helper"),
        (
            "three",
            f"reader {READER} --train {{out}}/third.jsonl --init {{out}}/helper --save {{out}}/three --rate 1e-4 "
            "--head-rate 3e-4 --every 180 --stop 180 --budget 4096 --dropout 0.1",
        ),
        (
            "four",
            f"reader {READER} --train {{out}}/fourth.jsonl --init {{out}}/three/mean.safetensors --save {{out}}/four "
            "--rate 7e-5 --head-rate 2e-4 --every 40 --budget 4096 --dropout 0.1",
        ),
        (
            "export",
            f"reader_export {READER} --checkpoint {{out}}/helper --checkpoint {{out}}/four/mean.safetensors "
            "--out {weights}",
        ),
    ),
    "reader_zh": (
        ("sets", "reader_zh_data --data {data} --out {out}"),
        ("train", "reader_zh --data {out} --save {out}/run"),
        ("export", "reader_zh_export --data {out} --checkpoint {out}/run/best.safetensors --out {weights}"),
    ),
    "judge": (
        ("sets", "judge_data --data {data} --out {out}"),
        (
            "train",
            "judge --data {out} --init ctxproc/llm/weights/reader.safetensors --save {out}/run --steps 1600 --every 200",
        ),
        (
            "kept",
            "judge_lead --data {out} --init ctxproc/llm/weights/reader.safetensors "
            "--start {out}/run/best.safetensors --out {out}/lead.safetensors",
        ),
        (
            "export",
            "judge_export --data {out} --init ctxproc/llm/weights/reader.safetensors "
            "--checkpoint {out}/lead.safetensors --out {weights}",
        ),
    ),
    "tagger": (
        ("sets", "tagger_data --data {data} --out {out}"),
        ("train", "tagger --train {out}/train.jsonl --dev {out}/dev.jsonl --save {out}/run"),
        ("export", "tagger_export --checkpoint {out}/run/best.safetensors --dev {out}/dev.jsonl --out {weights}"),
    ),
    "causal": (
        ("questions", "causal_questions --data {data} --out {out}"),
        ("texts", "causal_text --data {data} --out {out}"),
        ("neighbours", "causal_near --out {out}"),
        ("train", "causal --data {out} --save {out}/run"),
        ("export", "causal_export --run {out}/run --weights {weights}"),
    ),
}
"""By model: name of the stage, module of ``training`` with its arguments."""


@dataclass(frozen=True)
class Stage:
    """A command: what Python is given after its own name."""

    name: str
    arguments: tuple[str, ...]

    @property
    def checkpoints(self) -> Path | None:
        """The folder that the stage goes on from, if it can."""
        given = dict(zip(self.arguments, self.arguments[1:], strict=False))
        return Path(given["--save"]) if "--save" in given else None


def stages(data: str = "DATA", out: str = "OUT", weights: str = "WEIGHTS") -> dict[str, list[Stage]]:
    """The stages of every model."""
    places = {"data": data, "out": out, "weights": weights}
    return {
        name: [Stage(title, ("-m", *f"training.{line}".format(**places).split())) for title, line in some]
        for name, some in STAGES.items()
    }


def run_stages(plan: Sequence[Stage], out: Path) -> None:
    """Do what is not done yet; what was done or begun stands in ``stages.json``.

    Raises:
        CalledProcessError: a stage failed; those before it stay done.
    """
    file = out / "stages.json"
    out.mkdir(parents=True, exist_ok=True)
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    for number, stage in enumerate(plan):
        entry = {**asdict(stage), "arguments": list(stage.arguments)}
        before = known[number] if number < len(known) else None
        if before == {**entry, "done": True}:
            log.info("%s: done before", stage.name)
            continue
        if before != {**entry, "done": False} and stage.checkpoints:
            shutil.rmtree(stage.checkpoints, ignore_errors=True)
        del known[number:]
        known.append({**entry, "done": False})
        file.write_text(json.dumps(known, indent=1), encoding="utf-8")
        log.info("%s: python %s", stage.name, " ".join(stage.arguments))
        subprocess.run([sys.executable, *stage.arguments], check=True)
        known[number]["done"] = True
        file.write_text(json.dumps(known, indent=1), encoding="utf-8")


@click.command()
@click.argument("name", type=click.Choice(list(STAGES)))
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="default: build/NAME")
@click.option("--weights", type=click.Path(path_type=Path), help="default: OUT/weights")
def main(name: str, data: Path, out: Path | None, weights: Path | None) -> None:
    """Make one model."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out = out or Path("build") / name
    run_stages(stages(str(data), str(out), str(weights or out / "weights"))[name], out)


if __name__ == "__main__":
    main()
