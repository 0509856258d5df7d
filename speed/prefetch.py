"""prefetch.py - Sec. 4.2: the next batches, made by a thread while the step works on this one.

In: a function of the iteration that draws and reads its batch. Out: the batches in their order, the
same as without the thread: chance comes from the iteration's number, see tools/seeds.py.
Next: parallel.py.
"""
from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Made = TypeVar("Made")
WAIT = 0.1  # s between two looks whether the other side has ended


@contextmanager
def made_ahead(make: Callable[[int], Made], numbers: Iterable[int], ahead: int
               ) -> Iterator[Iterator[tuple[int, Made]]]:
    """In the block, an iterator over (n, make(n)) for the numbers in order.

    ahead: so many wait ready, made by one thread; 0: no thread, each is made when it is asked for.
    What make raises is raised where its result would have come. The thread has ended when the block
    has, however it ends; the file that it reads just then is read to the end.
    """
    if not ahead:
        yield ((n, make(n)) for n in numbers)
        return
    ready, stop = queue.Queue(ahead), threading.Event()
    thread = threading.Thread(target=_work, args=(make, numbers, ready, stop), daemon=True)
    thread.start()
    try:
        yield _taken(ready, thread)
    finally:
        stop.set()
        thread.join()


def _work(make: Callable[[int], Made], numbers: Iterable[int], ready: queue.Queue,
          stop: threading.Event) -> None:
    """The thread: (n, made, None) for each number; (None, None, error or None) at the end."""
    try:
        for n in numbers:
            if not _put(ready, (n, make(n), None), stop):
                return
        _put(ready, (None, None, None), stop)
    except BaseException as error:  # whatever it is, the main thread is the one to say it
        _put(ready, (None, None, error), stop)


def _put(ready: queue.Queue, item: tuple, stop: threading.Event) -> bool:
    """Whether there was room before the main thread wanted no more."""
    while not stop.is_set():
        try:
            ready.put(item, timeout=WAIT)
            return True
        except queue.Full:
            continue
    return False


def _taken(ready: queue.Queue, thread: threading.Thread) -> Iterator[tuple[int, Made]]:
    while True:
        try:
            n, made, error = ready.get(timeout=WAIT)  # with a limit: else Windows keeps Ctrl-C back
        except queue.Empty:
            if not thread.is_alive() and ready.empty():
                raise RuntimeError("the thread that makes batches has ended") from None
            continue
        if error is not None:
            raise error
        if n is None:
            return
        yield n, made
