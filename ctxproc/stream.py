"""An answer's text as it comes, for a caller that wants to loop over it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Queue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctxproc.answer import Answer

Tell = Callable[[str], None]


class Cancelled(BaseException):
    """Ends the work of a stream whose reader has gone; never seen outside."""


class Stream:
    """Iterate over it once for the pieces of the text; then ``answer`` is the whole answer with its evidence.

    The work is done in a thread of its own, which begins with the first piece that is asked for. An error of the run is
    raised where its next piece would have come. Leaving the loop early, or `close`, ends the work at the next piece.
    Joined, the pieces are the answer, or the beginning of one from which the run abstained in the end.

    Args:
        work: called once with a function that is to be told the pieces; gives the answer.
    """

    def __init__(self, work: Callable[[Tell], Answer]) -> None:
        self._work = work
        self._pieces: Queue[str | None] = Queue(maxsize=64)
        self._gone = threading.Event()
        self._answer: Answer | None = None
        self._error: BaseException | None = None

    @property
    def answer(self) -> Answer:
        """The whole answer; what is left of the text is waited for and dropped."""
        if self._answer is None:
            for _ in self:
                pass
        if self._answer is None:
            raise RuntimeError("the stream was closed before its end: there is no answer")
        return self._answer

    def __iter__(self) -> Iterator[str]:
        if self._gone.is_set():
            return
        worker = threading.Thread(target=self._run, name="ctxproc-stream", daemon=True)
        worker.start()
        try:
            while (piece := self._pieces.get()) is not None:
                yield piece
        finally:
            self.close()
            worker.join()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the work."""
        self._gone.set()
        while not self._pieces.empty():
            self._pieces.get_nowait()

    def _run(self) -> None:
        try:
            self._answer = self._work(self._tell)
        except Cancelled:
            return
        except BaseException as error:  # noqa: BLE001  (raised again in the reader's thread)
            self._error = error
        finally:
            self._pieces.put(None)

    def _tell(self, piece: str) -> None:
        if self._gone.is_set():
            raise Cancelled
        self._pieces.put(piece)
