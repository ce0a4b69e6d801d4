"""Put a trained causal model into the package: its folder in transformers' form, and its facts.

python -m training.causal_export --run build/causal/run
python benchmarks/causal.py --data ../shared/data > build/causal/figures.json
python -m training.causal_export --run build/causal/run --figures build/causal/figures.json
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from ctxproc.llm.shelf import FORMATS, WEIGHTS, digest

WINDOW = 512  # tokens; most rows were no longer, and look-up fails beyond them
NAMES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


def put(model: Path, folder: Path) -> dict[str, str]:
    """Copy the model's files, and tell the sha256 of each."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in NAMES:
        shutil.copyfile(model / name, folder / name)
    path = folder / "tokenizer_config.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    told = {key: value for key, value in told.items() if key not in ("backend", "is_local", "local_files_only")}
    told |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": WINDOW}
    path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    path = folder / "config.json"
    told = json.loads(path.read_text(encoding="utf-8")) | {"max_position_embeddings": WINDOW}
    path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return {name: digest(folder / name) for name in sorted(NAMES)}


@click.command()
@click.option("--run", type=click.Path(path_type=Path, exists=True), default=Path("build/causal/run"))
@click.option("--figures", type=click.Path(path_type=Path, exists=True), help="what benchmarks/causal.py printed")
@click.option("--weights", type=click.Path(path_type=Path), default=WEIGHTS)
def main(run: Path, figures: Path | None, weights: Path) -> None:
    """Write causal/ and causal.json; figures that are not given stay as they were if the weights did."""
    files = put(run / "model", weights / "causal")
    path, curve = weights / "causal.json", (run / "curve.jsonl").read_text(encoding="utf-8").splitlines()
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    facts = {"format": FORMATS[-1], "licence": "Apache-2.0", "files": files, "development": json.loads(curve[-1])}
    if figures:
        facts["test"] = json.loads(figures.read_text(encoding="utf-8"))
    elif before.get("files") == files and "test" in before:
        facts["test"] = before["test"]
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
