"""A run shown again, or gone on with, from its trace.

`replay` does all of a run again over the same sources but for the model, whose words it takes from the trace: the answer
must come out the same to the byte. `resumed` gives a model that knows what an interrupted run was told already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctxproc.errors import ReplayError
from ctxproc.trace import known_form, read

if TYPE_CHECKING:
    from ctxproc.answer import Answer
    from ctxproc.config import Settings
    from ctxproc.llm.base import LLM
    from ctxproc.llm.recorded import Recorded
    from ctxproc.task import Task

WORDS = (
    *("model", "quantise", "dtype", "context_window", "generation", "strategy", "endpoint.api"),
    *("reuse.grade", "reuse.link_tokens", "reuse.temperature", "reuse.scale"),
)
"""The settings on which a model's words depend, or sections of them; a strategy may ask for shorter or other replies."""


def replay(path: Path, *, llm: LLM | None = None) -> dict[str, object]:
    """What the run of a trace answered, found again step by step: the object that ``ctxproc ask --json`` printed.

    Args:
        path: of a trace.
        llm: the model object, where the run had one that no setting names. It counts tokens and is asked for no words;
            a server must still be there.

    Raises:
        UsageError: no trace, one of another version, or a source cannot be read.
        ReplayError: the run did not end, its sources are not files or have changed, or something comes out differently.
    """
    from ctxproc.ask import Library
    from ctxproc.config import Settings
    from ctxproc.llm.load import load_llm
    from ctxproc.llm.recorded import recorded

    events = read(path)
    started, ended = event_of(events, "Started", path), event_of(events, "Answered", path)
    with known_form(path):
        values = started["settings"]
        chosen = Settings.model_validate({**values, "cache": {**values["cache"], "runs": 0}})
        files, asked = _files(started["sources"]), _parameters(started["task"])
    model = llm or load_llm(chosen)
    if model.name != started["model"]:
        raise ReplayError(f"the run's model was an object called {started['model']!r}: hand it over to ctxproc.replay")
    library = Library(files, chosen, llm=recorded(model, events, live=False))
    found = [[document.source, document.sha256] for document in library.documents]
    if found != started["sources"]:
        raise ReplayError("the sources have changed since the run: nothing can be shown again")
    answer = library.ask(started["question"], **asked)
    with known_form(path):
        return _same(answer, ended["answer"])


def resumed(llm: LLM, path: Path, question: str, settings: Settings, task: Task) -> Recorded:
    """``llm``, knowing what it said in the run of a trace to the same question.

    Raises:
        UsageError: no trace, or one of another version.
        ReplayError: the run asked something else, or with other settings on which the model's words depend.
    """
    from ctxproc.config import flatten
    from ctxproc.llm.recorded import recorded

    events = read(path)
    started, values = event_of(events, "Started", path), flatten(json.loads(json.dumps(settings.model_dump())))
    with known_form(path):
        before = flatten(started["settings"])
        differing = [name for name in values if name.startswith(WORDS) and values[name] != before[name]]
    if llm.name != started["model"] and "model" not in differing:
        differing.insert(0, "model")
    if question != started["question"] or json.loads(json.dumps(task.described)) != started["task"]:
        differing.insert(0, "question")
    if differing:
        raise ReplayError(f"cannot go on with {path.stem}: it had another {' and '.join(differing)}")
    return recorded(llm, events, live=True)


def event_of(events: Sequence[Mapping[str, Any]], name: str, path: Path) -> Mapping[str, Any]:
    """The event of that name.

    Raises:
        ReplayError: there is none: the run did not end.
    """
    for event in events:
        if event["event"] == name:
            return event
    raise ReplayError(f"the run in {path} has no {name.lower()} event: it did not end; go on with it by --resume")


def _files(sources: Sequence[Sequence[str]]) -> list[str]:
    """The sources by name.

    Raises:
        ReplayError: one is no file, or none is named.
    """
    if not sources:
        raise ReplayError("the trace does not say what the run read: it was made by another version of ctxproc")
    for source, _ in sources:
        if not Path(source).is_file():
            raise ReplayError(f"the source {source} is no file (any more): nothing can be shown again")
    return [source for source, _ in sources]


def _parameters(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task as the arguments of `Library.ask`."""
    match task["name"]:
        case "choose":
            return {"choices": task["choices"]}
        case "extract":
            return {"schema": task["schema"]}
        case name:
            return {"summarise": name == "summarise"}


def _same(answer: Answer, before: dict[str, Any]) -> dict[str, object]:
    """The answer as it was before.

    Raises:
        ReplayError: it is another one, its run's name and time aside.
    """
    usage = {**answer.to_json()["usage"], "seconds": before["usage"]["seconds"]}  # type: ignore[dict-item]
    now = {**answer.to_json(), "run": before["run"], "usage": usage}
    differing = [key for key in now if json.dumps(now[key]) != json.dumps(before.get(key))]
    if differing:
        raise ReplayError(f"the run comes out differently: {', '.join(differing)}")
    return now
