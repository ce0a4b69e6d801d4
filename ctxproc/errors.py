"""Every error that ctxproc raises on purpose.

    CtxprocError              one line that says what to do
    ├── UsageError            the caller asked for something that cannot be (exit 2)
    │   ├── SourceError       a source cannot be read
    │   ├── ConfigError       a setting is unknown or has a wrong value
    │   └── UnknownNameError  no strategy, criterion or template of that name; lists the known ones
    └── RunError              the work itself failed (exit 1)
        ├── ModelError        a model cannot be loaded or used
        ├── PromptTooLongError    a prompt does not fit the window; says by how many tokens
        ├── LimitError        a hard limit (calls, tokens, bytes) was reached
        ├── StoreError        a memory file cannot be used: damaged, of another kind, full disk, busy
        └── ReplayError       a run cannot be shown again, or gone on with, from its trace

Anything else that escapes is a bug.
"""

from __future__ import annotations

from collections.abc import Iterable


class CtxprocError(Exception):
    """Root of the tree: its text is one line, fit to show to a user."""

    exit_code = 1


class UsageError(CtxprocError):
    """The caller asked for something that cannot be done as asked."""

    exit_code = 2


class SourceError(UsageError):
    """A source cannot be read: missing, empty of text, broken, over a limit."""


class ConfigError(UsageError):
    """A setting is unknown, has a wrong value, or a configuration file is not readable."""


class UnknownNameError(UsageError):
    """No such name in a catalogue; the message lists the names there are."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no {kind} is called {name!r}; there are: {', '.join(sorted(known))}")


class RunError(CtxprocError):
    """The work was possible to ask for, and failed."""


class ModelError(RunError):
    """A model cannot be found, loaded or used."""


class PromptTooLongError(RunError):
    """A prompt and the tokens reserved for its answer exceed the model's window."""

    def __init__(self, tokens: int, reserved: int, window: int) -> None:
        self.excess = tokens + reserved - window
        super().__init__(
            f"the prompt has {tokens} tokens and {reserved} are reserved for the answer: "
            f"{self.excess} more than the model's window of {window}; "
            "ask in fewer words, or name a model with a longer one"
        )


class LimitError(RunError):
    """A hard limit of the settings was reached."""


class StoreError(RunError):
    """A memory file cannot be read or written; names the file and the command that repairs it."""


class ReplayError(RunError):
    """A run cannot be shown again, or gone on with, from its trace."""
