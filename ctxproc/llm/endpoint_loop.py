"""An event loop in a thread of its own, for callers that know of none."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Loop:
    """Runs coroutines for threads that wait: any thread, also one that runs a loop itself, as notebooks do.

    What is no longer waited for (an interrupt, an iterator that is closed) is cancelled at once.

    Args:
        close: awaited when the last reference to the loop is gone.
    """

    def __init__(self, close: Callable[[], Awaitable[None]]) -> None:
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_serve, args=(self._loop, close), name="ctxproc-endpoint", daemon=True)
        thread.start()
        weakref.finalize(self, _stop, self._loop, thread)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``."""
        ended: SimpleQueue[asyncio.Task[T]] = SimpleQueue()
        with self._under_way(work, ended.put):
            return ended.get().result()

    def pieces(self, work: Callable[[Callable[[T], None]], Coroutine[Any, Any, None]]) -> Generator[T]:
        """What ``work(put)`` puts, as it comes; then its error, if it ends with one."""
        queue: SimpleQueue[tuple[T] | asyncio.Task[None]] = SimpleQueue()
        with self._under_way(work(lambda piece: queue.put((piece,))), queue.put):
            while isinstance(item := queue.get(), tuple):
                yield item[0]
            item.result()

    @contextmanager
    def _under_way(self, work: Coroutine[Any, Any, T], ended: Callable[[asyncio.Task[T]], None]) -> Iterator[None]:
        """Runs ``work`` meanwhile. The loop is told to end it after it is told to begin, wherever an interrupt strikes."""
        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            tasks.append(self._loop.create_task(work))
            tasks[0].add_done_callback(ended)

        try:
            self._loop.call_soon_threadsafe(begin)
            yield
        finally:
            self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])


async def all_of(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; where one fails or is cancelled, the others are cancelled."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def _serve(loop: asyncio.AbstractEventLoop, close: Callable[[], Awaitable[None]]) -> None:
    """Run the loop until it is stopped, then end what is under way."""
    asyncio.set_event_loop(loop)
    loop.run_forever()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(_ended(tasks, close))
    loop.close()


async def _ended(tasks: set[asyncio.Task[Any]], close: Callable[[], Awaitable[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
    await close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():
        thread.join(1.0)
