"""A chat's reply as it comes, for a loop or for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from ctxproc.answer import Usage
from ctxproc.chat_recall import Recalled
from ctxproc.stream import Stream, Tell

if TYPE_CHECKING:
    from ctxproc.answer import Answer

ASSISTANT = "assistant"
"""The role and the speaker of replies."""


@dataclass(frozen=True, slots=True)
class Said:
    """A reply before it is kept.

    Attributes:
        text: of it.
        abstained: nothing that was recalled answers the question.
        quotes: numbers of the turns that it quotes or is made of.
        usage: what it cost.
    """

    text: str
    abstained: bool = False
    quotes: tuple[int, ...] = ()
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a chat replied. ``str(reply)`` is its text.

    Attributes:
        text: of the reply.
        abstained: it says that nothing which was recalled answers the question; only known of a model that quotes.
        recalled: what was recalled for it, in the order of the prompt.
        facts: numbers of the facts that were learned from the message.
        usage: what it cost; the prompt's tokens are bounded, however long the chat is.
        turn, id: numbers of the user's turn and of the reply in the memory.
    """

    text: str
    abstained: bool = False
    recalled: tuple[Recalled, ...] = ()
    facts: tuple[int, ...] = ()
    usage: Usage = field(default_factory=Usage)
    turn: int = 0
    id: int = 0

    def __str__(self) -> str:
        return self.text


class ReplyStream:
    """Iterate over it once, with ``for`` or ``async for``, for the pieces of the text; joined they are the reply's text.

    Leaving the loop early, `close`, or cancelling the task ends the reply: the user's turn stays in the memory and nothing
    of the reply is kept. The work is done in a thread of its own, see `ctxproc.stream.Stream`.

    Args:
        work: called once with a function that is to be told the pieces; gives the reply.
    """

    def __init__(self, work: Callable[[Tell], Reply]) -> None:
        # a stream hands through whatever its work gives
        self._stream = Stream(cast("Callable[[Tell], Answer]", work))

    @property
    def reply(self) -> Reply:
        """The whole reply, which is waited for.

        Raises:
            RuntimeError: the stream was closed before its end.
            CtxprocError: as `Chat.reply`.
        """
        return cast(Reply, self._stream.answer)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    async def __aiter__(self) -> AsyncIterator[str]:
        self._stream.begin()  # at once, so that the message is kept even if the task is cancelled while it waits
        pieces = iter(self._stream)
        try:
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                yield piece
        finally:
            self.close()

    async def wait(self) -> Reply:
        """The whole reply; cancelled, it ends the reply as `close` does."""
        self._stream.begin()
        try:
            return await asyncio.to_thread(lambda: self.reply)
        finally:
            self.close()

    def close(self) -> None:
        """End the reply, if it has not ended; whoever waits for a piece gets none."""
        self._stream.close()
