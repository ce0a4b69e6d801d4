"""All benchmarks under one name.

python -m benchmarks                                    # what there is, a line each
python -m benchmarks NAME [ARGUMENT]...                 # as python benchmarks/NAME.py
python -m benchmarks --results FILE NAME [ARGUMENT]...  # and each figure as a line of FILE (see common.record)
"""

from __future__ import annotations

import ast
import os
import runpy
import sys
from pathlib import Path

import click

HERE = Path(__file__).parent


def names() -> dict[str, Path]:
    """The benchmarks: scripts that run when they are started."""
    return {
        path.stem: path
        for path in sorted(HERE.glob("*.py"))
        if path.stem != "__main__" and 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
    }


def summary(path: Path) -> str:
    """The first line of a script's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--results", type=click.Path(path_type=Path), help="Append each figure to this file, a JSON object a line."
)
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(results: Path | None, name: str | None, arguments: tuple[str, ...]) -> None:
    """Run the benchmark NAME with its own ARGUMENTS; without NAME, list all."""
    found = names()
    if name is None:
        width = max(map(len, found))
        for one, path in found.items():
            click.echo(f"{one:<{width}}  {summary(path)}")
        return
    if name not in found:
        raise click.UsageError(f"there is no benchmark {name}; there are: {', '.join(found)}")
    if results:
        os.environ["CTXPROC_BENCHMARK_RESULTS"] = str(results.absolute())
    sys.argv = [str(found[name]), *arguments]
    sys.path.insert(0, str(HERE))  # where scripts find what they share
    runpy.run_path(str(found[name]), run_name="__main__")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
