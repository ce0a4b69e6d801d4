"""``ctxproc completion``: the script by which a shell completes commands; and what stands where an option takes a name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

SHELLS = ("bash", "zsh", "fish")
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes a SHELL complete commands, options, names and files.

    bash: add `eval "$(ctxproc completion bash)"` to ~/.bashrc; zsh: the same with zsh in ~/.zshrc; fish: `ctxproc completion
    fish > ~/.config/fish/completions/ctxproc.fish`.
    """
    made = get_completion_class(shell)
    assert made is not None  # click brings these three
    click.echo(made(context.find_root().command, {}, "ctxproc", "_CTXPROC_COMPLETE").source())


def names(of: Callable[[], Iterable[str]]) -> Complete:
    """A completion by the names that ``of`` gives, which is called when a name is asked for."""

    def complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in of() if name.startswith(begun)]

    return complete


def paths(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Files and folders, found by the shell."""
    return [CompletionItem(begun, type="file")]


def strategies() -> list[str]:
    """The strategies that can be named."""
    from ctxproc.strategies import catalogue

    return catalogue.names()


def presets() -> list[str]:
    """The presets."""
    from ctxproc.config import PRESETS

    return list(PRESETS)


def settings(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The settings, each up to the sign before its value; behind a setting that takes criteria, the first of these."""
    from ctxproc.config import Settings, flatten

    if "=" in begun:
        return [CompletionItem(text) for text in criteria(begun.partition("=")[0]) if text.startswith(begun)]
    return [CompletionItem(f"{name}=") for name in flatten(Settings().model_dump()) if name.startswith(begun)]


def criteria(setting: str) -> list[str]:
    """The beginnings of a setting's value, ``retrieval.search=[bm25``; none where it takes no criteria."""
    from ctxproc.memory.criteria import Scorer, Searcher, catalogue

    kind = {"retrieval.search": Searcher, "retrieval.rescore": Scorer}.get(setting)
    names = catalogue.names() if kind else []
    return [f"{setting}=[{name}" for name in names if kind and issubclass(catalogue.get(name), kind)]


def models(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The built-in models; otherwise a file or a folder."""
    inside = [CompletionItem(name) for name in ("builtin", "builtin:causal") if begun and name.startswith(begun)]
    return inside or paths(context, parameter, begun)


def explained() -> list[str]:
    """What `ctxproc explain` takes beside files: strategies, the last run, and those that are kept."""
    from ctxproc.ask import runs_folder
    from ctxproc.config import Settings

    kept = sorted((path.stem for path in runs_folder(Settings()).glob("*.jsonl")), reverse=True)
    return ["last", *strategies(), *kept]
