"""An answer's text as it comes, for a caller that wants to loop over it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctxproc.answer import Answer

Tell = Callable[[str], None]

PATIENCE = 1.0
"""Seconds that a loop which was left waits for the work to end; a model call under way is not interrupted."""


class Cancelled(BaseException):
    """Ends the work of a stream whose reader has gone; never seen outside."""


class Stream:
    """Iterate over it once for the pieces of the text; then ``answer`` is the whole answer with its evidence.

    The work is done once, in a thread of its own, which begins when the first piece or the answer is asked for. An error of
    the run is raised where its next piece would have come, and by ``answer``. Leaving the loop early, or `close`, ends the
    work at its next piece; a model call under way is not interrupted and not waited for. Joined, the pieces are the answer,
    or the beginning of one from which the run abstained in the end.

    Args:
        work: called once with a function that is to be told the pieces; gives the answer. Told an empty piece, that function
            passes nothing on, and ends the work all the same if the reader has gone.
    """

    def __init__(self, work: Callable[[Tell], Answer]) -> None:
        self._work = work
        self._pieces: SimpleQueue[str | None] = SimpleQueue()
        self._gone = threading.Event()
        self._over = threading.Event()
        self._beginning = threading.Lock()
        self._worker = threading.Thread(target=self._run, name="ctxproc-stream", daemon=True)
        self._answer: Answer | None = None
        self._error: BaseException | None = None

    @property
    def answer(self) -> Answer:
        """The whole answer, which is waited for; pieces that came meanwhile can still be had.

        Raises:
            RuntimeError: the stream was closed before its end.
            CtxprocError: as the run did.
        """
        if not self._gone.is_set():
            self.begin()
            try:
                self._over.wait()
            except BaseException:
                self.close()
                raise
        if self._error is not None:
            raise self._error
        if self._answer is None:
            raise RuntimeError("the stream was closed before its end: there is no answer")
        return self._answer

    def __iter__(self) -> Iterator[str]:
        if self._gone.is_set():
            return
        self.begin()
        try:
            while (piece := self._pieces.get()) is not None and not self._gone.is_set():
                yield piece
        finally:
            self.close()
            self._worker.join(PATIENCE)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the work; whoever waits for a piece gets none."""
        self._gone.set()
        self._over.set()
        self._pieces.put(None)

    def begin(self) -> None:
        """Start the work, if it has not started."""
        with self._beginning:
            if self._worker.ident is None:
                self._worker.start()

    def _run(self) -> None:
        try:
            self._answer = self._work(self._tell)
        except Cancelled:
            return
        except BaseException as error:  # noqa: BLE001  (raised again in the reader's thread)
            self._error = error
        finally:
            self._over.set()
            self._pieces.put(None)

    def _tell(self, piece: str) -> None:
        if self._gone.is_set():
            raise Cancelled
        if piece:
            self._pieces.put(piece)
