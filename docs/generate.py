"""Writes the reference pages that follow from the code: config.md (settings) and cli.md (what --help prints).

python docs/generate.py            # write both
python docs/generate.py --check    # 1 where a page is not what the code says
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from ctxproc.cli.main import cli
from ctxproc.config import PRESETS, Settings, flatten

HERE = Path(__file__).parent
WIDTH = 100
MADE = "<!-- Made by docs/generate.py: change the code and run it again. -->\n"
TABLE = ("| setting | default | what it is |", "|---|---|---|")
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def config_reference() -> str:
    """Every setting with its default, its range and what it does; the presets."""
    schema = Settings.model_json_schema()
    lines = [
        "# Settings",
        "",
        MADE,
        "`ctxproc config show` prints these with the values in force and where each came from;",
        "[settings.md](settings.md) says how they are set. A name with a dot is a key in a section: `retrieval.top_k` is",
        "`top_k` under `retrieval` in a file.",
    ]
    sections = [name for name, field in schema["properties"].items() if "$ref" in field]
    lines += ["", *TABLE]
    lines += [row(name, field) for name, field in schema["properties"].items() if name not in sections]
    for section in sections:
        about = schema["$defs"][schema["properties"][section]["$ref"].rpartition("/")[2]]
        lines += ["", f"## {section}", "", about["description"].replace("``", "`"), "", *TABLE]
        lines += [row(f"{section}.{name}", field) for name, field in about["properties"].items()]
    return "\n".join([*lines, "", *presets()]) + "\n"


def row(name: str, field: Mapping[str, Any]) -> str:
    """One setting as a row of a table."""
    kinds = field.get("anyOf", [field])
    bounds = [f"{words} {kind[key]:g}" for kind in kinds for key, words in BOUNDS.items() if key in kind]
    values = [json.dumps(value) for kind in kinds for value in kind.get("enum", [])]
    values = values if values and not all(value.strip('"') in field["description"] for value in values) else []
    told = "; ".join([field["description"], *([f"one of {', '.join(values)}"] if values else []), " and ".join(bounds)])
    told = told.removesuffix("; ").replace("|", "\\|")
    return f"| `{name}` | `{json.dumps(field['default'])}` | {told} |"


def presets() -> Iterator[str]:
    """The presets as a section."""
    yield from ("## Presets", "", "| preset | changes |", "|---|---|")
    for name, values in PRESETS.items():
        changes = ", ".join(f"`{key}: {json.dumps(value)}`" for key, value in flatten(values).items())
        yield f"| `{name}` | {changes or 'nothing: the defaults'} |"


def help_pages() -> str:
    """What --help prints of every command."""
    lines = [
        "# Commands",
        "",
        MADE,
        "`python -m ctxproc` is the same program. Exit codes: 0 done, also where an answer is",
    ]
    lines += ["abstained from; 1 a run failed; 2 wrong usage or unreadable input; 130 interrupted."]
    for name, text in pages(cli, "ctxproc", None):
        lines += ["", f"## {name}", "", "```text", text, "```"]
    return "\n".join(lines) + "\n"


def pages(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """The full name and the help of a command, and of those below it."""
    context = click.Context(command, parent, name, terminal_width=WIDTH, **command.context_settings)
    yield context.command_path, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None and not found.hidden:
                yield from pages(found, below, context)


PAGES = {"config.md": config_reference, "cli.md": help_pages}


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check name those that are not up to date."""
    stale = [name for name, make in PAGES.items() if not up_to_date(HERE / name, make())]
    if "--check" in arguments:
        for name in stale:
            click.echo(f"docs/{name} is not what the code says: run python docs/generate.py", err=True)
        return int(bool(stale))
    for name in stale:
        (HERE / name).write_text(PAGES[name](), encoding="utf-8")
        click.echo(f"docs/{name}")
    return 0


def up_to_date(file: Path, text: str) -> bool:
    """Whether a file holds this text."""
    return file.exists() and file.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
