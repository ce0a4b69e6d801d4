"""The code blocks of a Markdown page, and what runs them: Python in one namespace, shell lines through the program itself.

A comment before a block says how it differs from the others:

    <!-- file: NAME -->               it is written to that file, and run too if it is Python
    <!-- only parsed: REASON -->      its Python compiles, its commands take these options, and nothing is run
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from ctxproc.cli.main import cli

BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = ("python", "sh", "console", "yaml", "toml", "json")
CONFIDENCE = re.compile(r"(?<=·\\ )0\\\.\d\d")  # as it stands in an escaped pattern
OTHERS = ("pip", "python", "git", "curl", "uvicorn", "eval", "jq")
"""Programs that are not ours, and are not run."""


@dataclass(frozen=True)
class Block:
    """One block; ``mark`` is the comment before it, ``line`` where it begins, counted from 1."""

    kind: str
    text: str
    mark: str
    line: int

    @property
    def file(self) -> str:
        """The file it is to be written to, "" for none."""
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else ""

    @property
    def only_parsed(self) -> bool:
        """Whether it cannot be run here."""
        return self.mark.startswith("only parsed: ")


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, from top to bottom."""
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"^```", text, re.MULTILINE)) % 2 == 0, f"{page.name}: a block has no end"
    return [
        Block(found["kind"], found["text"], found["mark"] or "", text.count("\n", 0, found.start("kind")) + 1)
        for found in BLOCK.finditer(text)
    ]


def run(block: Block, names: dict[str, Any], page: str) -> None:
    """Run a block in the current folder, or only parse it where its mark says so; an assertion fails where it is wrong."""
    where = f"{page}:{block.line}"
    if block.file:
        Path(block.file).write_text(block.text, encoding="utf-8")
    match block.kind:
        case "python" if block.only_parsed:
            ast.parse(block.text, where)
        case "python" if block.file:
            names |= vars(importlib.import_module(Path(block.file).stem))
        case "python":
            exec(compile("\n" * block.line + block.text, page, "exec"), names)
        case "sh":
            for command in commands(block.text):
                shell(command, where, block.only_parsed)
        case "console":
            for command, shown in typed(block.text):
                said = shell(command, where, block.only_parsed)
                assert block.only_parsed or like(said, shown), (
                    f"{where}: {command}\nprinted:\n{said}\nthe page has:\n{shown}"
                )
        case "yaml" | "toml" if block.file:
            from ctxproc.config import resolve

            resolve(file=Path(block.file))
        case "json" if not block.file and "…" not in block.text:
            json.loads(block.text)


def commands(text: str) -> Iterator[str]:
    """The commands of a script: lines, joined where one ends with a backslash, apart at &&."""
    for line in text.replace("\\\n", " ").splitlines():
        for command in line.split("&&"):
            if command.strip() and not command.lstrip().startswith("#"):
                yield command.strip()


def typed(text: str) -> Iterator[tuple[str, str]]:
    """What is typed after a $, and what is shown below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def like(said: str, shown: str) -> bool:
    """Whether an output is as shown; an ellipsis stands for anything, and a confidence, which differs with the processor's
    number format, for any other.
    """
    pattern = ".*".join(CONFIDENCE.sub(r"0[.]\\d\\d", re.escape(part)) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, said.strip(), re.DOTALL) is not None


def shell(line: str, where: str, only_parsed: bool) -> str:
    """What a line prints: our program in this process, fed by echo or cat, read by jq; other programs are passed over."""
    stages = [
        shlex.split(part, comments=True) for part in re.split(r"(?<!\\)\|(?=(?:[^'\"]|'[^']*'|\"[^\"]*\")*$)", line)
    ]
    said = ""
    for name, *arguments in stages:
        if name == "echo":
            said = " ".join(arguments) + "\n"
        elif name == "cat":
            said = "" if only_parsed else "".join(Path(file).read_text(encoding="utf-8") for file in arguments)
        elif name == "jq" and not only_parsed:
            json.loads(said)
        elif name == "ctxproc" and only_parsed:
            parsed(arguments, where)
        elif name == "ctxproc":
            said = ours(arguments, said, f"{where}: {line}")
        else:
            assert name in OTHERS, f"{where}: what is {name}?"
    return said


def ours(arguments: list[str], stdin: str, where: str) -> str:
    """What our program prints."""
    done = CliRunner().invoke(cli, arguments, input=stdin, prog_name="ctxproc")
    assert done.exit_code == 0, f"{where}\n{done.output[-3000:]}\n{done.exception!r}"
    return done.stdout


def parsed(arguments: list[str], where: str) -> None:
    """Check that a command takes these arguments; nothing is run."""
    command: click.Command = cli
    context = click.Context(cli, info_name="ctxproc")
    while isinstance(command, click.Group):
        found = command.get_command(context, arguments[0])
        assert found is not None, f"{where}: no command {arguments[0]}"
        command, arguments = found, arguments[1:]
    command.make_context(str(command.name), list(arguments), parent=context)
