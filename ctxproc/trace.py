"""Events of a run. Progress bars, ``ctxproc explain`` and trace files all read these; nothing else reports.

A trace file holds one JSON object a line, in order: ``{"event": NAME, ...the fields of the event}``.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import get_args

from ctxproc.errors import UsageError


@dataclass(frozen=True, slots=True)
class Started:
    """A run begins: ``task`` is its name and parameters, ``sources`` are (path or name, sha256 of the bytes)."""

    run: str
    question: str
    strategy: str
    model: str
    settings: dict[str, object]
    task: dict[str, object] = field(default_factory=dict)
    sources: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A source became a document of so many characters."""

    source: str
    sha256: str
    format: str
    characters: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file was passed over, or read with a loss; ``kind`` is for counting, ``reason`` says why."""

    source: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Split:
    """The documents were split into chunks."""

    chunks: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Selected:
    """The chunks that the strategy gets: source, start, end, score of each; none are named where it gets all.

    ``of`` is how many there were.
    """

    chunks: tuple[tuple[str, int, int, float], ...]
    of: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A strategy kept these chunks (source, start, end, score); ``by`` says at which step and for which query."""

    by: str
    chunks: tuple[tuple[str, int, int, float], ...]


Segments = tuple[tuple[str, str | None, str], ...]
"""The segments of a prompt: (role, field, text)."""


@dataclass(frozen=True, slots=True)
class Called:
    """One prompt and what the model made of it.

    ``grade`` is as `Generation.grade`; ``tokens`` are (text, log-probability), where they were asked for; ``seconds`` is
    its share of the time of the calls it was made with; ``way`` is "generate", "stream" or "parallel".
    """

    step: str
    segments: Segments
    text: str
    prompt_tokens: int
    new_tokens: int
    reused_tokens: int
    confidence: float | None = None
    quote: str | None = None
    grade: str = "full"
    finish: str = "stop"
    seconds: float = 0.0
    way: str = "generate"
    tokens: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Decoded:
    """One text decoded from several windows.

    ``weights`` and ``entropies`` are those of each token over the windows, as in `Generation`, as are ``confidence`` and
    ``quote``; ``merge`` says how the windows' logits became one.
    """

    step: str
    windows: tuple[Segments, ...]
    merge: str
    text: str
    tokens: tuple[tuple[str, float], ...]
    weights: tuple[tuple[float, ...], ...]
    entropies: tuple[tuple[float, ...], ...]
    prompt_tokens: int
    new_tokens: int
    reused_tokens: int
    grade: str = "full"
    finish: str = "stop"
    seconds: float = 0.0
    confidence: float | None = None
    quote: str | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """One prompt, a continuation, and its log-likelihood in nats."""

    step: str
    segments: Segments
    continuation: str
    total: float
    tokens: int
    reused_tokens: int = 0
    grade: str = "full"
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Noted:
    """Something a reader of the run should know, in one sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` units of a stage: load, split, embed, read. Not kept in trace files."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Streamed:
    """So much more of the answer's text. Not kept in trace files."""

    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The run ended with this answer, as ``--json`` prints it."""

    answer: dict[str, object]


Event = (
    Started
    | Loaded
    | Skipped
    | Split
    | Selected
    | Kept
    | Called
    | Decoded
    | Scored
    | Noted
    | Progress
    | Streamed
    | Answered
)
KINDS = {kind.__name__: kind for kind in get_args(Event)}
"""The events by the names that trace files give them."""

Listener = Callable[[Event], None]


RUN = r"\d{8}-\d{6}-(?:\d{6})?[0-9a-f]{8}"
"""The form of a run's id; the microseconds were not always in it."""


def new_run() -> str:
    """An id for a run: when it began, to the microsecond, and eight random hex digits. Later runs sort behind."""
    began = time.time_ns() // 1000
    second = time.strftime("%Y%m%d-%H%M%S", time.localtime(began // 1_000_000))
    return f"{second}-{began % 1_000_000:06d}{secrets.token_hex(4)}"


@dataclass
class Trace:
    """Passes each event of a run to its listeners, in order, and keeps none."""

    run: str = field(default_factory=new_run)
    listeners: list[Listener] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        """Tell every listener."""
        for listener in self.listeners:
            listener(event)

    def progress(self, stage: str) -> Callable[[int, int], None]:
        """A callback ``(done, total)`` that reports a stage."""
        return lambda done, total: self.emit(Progress(stage, done, total))


def to_json(event: Event) -> str:
    """One line of a trace file."""
    return json.dumps({"event": type(event).__name__, **asdict(event)}, ensure_ascii=False)


BEGINNING = b'{"event": '
"""Of every trace."""


@contextmanager
def written(path: Path) -> Iterator[Listener]:
    """A listener that writes a trace file, readable by its owner only; each line is there once it is written.

    Raises:
        UsageError: the file cannot be written, or is there and is no trace: a document is not written over.
    """
    try:
        if path.is_file():
            with path.open("rb") as before:
                if before.read(len(BEGINNING)) not in (b"", BEGINNING):
                    raise UsageError(f"{path} is there and is no trace: name another file")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        file = path.open("w", encoding="utf-8", errors="surrogatepass")
    except OSError as error:
        raise UsageError(f"cannot write the trace {path}: {error.strerror}; name another file") from error

    def write(event: Event) -> None:
        if not isinstance(event, (Progress, Streamed)):
            file.write(to_json(event) + "\n")
            file.flush()

    with file:
        yield write


def read(path: Path) -> list[dict[str, object]]:
    """The events of a trace file as plain dictionaries.

    A last line that no line feed ends was cut when the run was, and is left out. Fields that an older version did not
    write have their defaults; the values of those that are there are not looked at.

    Raises:
        UsageError: the file is missing, is no trace, or lacks what cannot be guessed.
    """
    try:
        *lines, _cut = path.read_bytes().split(b"\n")
        events = [json.loads(line.decode("utf-8", "surrogatepass")) for line in lines if line]
    except OSError as error:
        raise UsageError(f"cannot read the trace {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no trace: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path} is no trace: a line is nested too deeply") from error
    if not events or not all(isinstance(event, dict) and isinstance(event.get("event"), str) for event in events):
        raise UsageError(f"{path} is no trace: a line is not an event, or there is none")
    with known_form(path):
        return [completed(event) for event in events]


def completed(event: dict[str, object]) -> dict[str, object]:
    """An event with the defaults of the fields that it lacks; as it is, if no event has its name.

    Raises:
        KeyError: it lacks a field that has no default.
    """
    values = dict(event)
    for item in fields(KINDS[name]) if (name := str(event["event"])) in KINDS else ():
        if item.name in event:
            continue
        if item.default is MISSING and item.default_factory is MISSING:
            raise KeyError(item.name)
        values[item.name] = item.default if item.default_factory is MISSING else item.default_factory()
    return values


@contextmanager
def known_form(path: Path) -> Iterator[None]:
    """For reading in what is in the events of a trace: where they are not of this version's form, that is said in a line.

    Raises:
        UsageError: something is missing, or is of another type.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"the trace {path} was made by another version of ctxproc, and this one cannot read it: ask again"
        ) from error
