"""Calls side by side, in processes that end with this one; one that dies takes only its own call along."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from typing import Any, TypeVar

from joblib.externals.loky import ProcessPoolExecutor

from .lifeline import end_with

Item = TypeVar("Item")


class Died:
    """In the place of a result: the process of the call died."""


def side_by_side(
    function: Callable[[Item], Any],
    items: Iterable[Item],
    places: Sequence[Mapping[str, str]],
    *,
    idle: Callable[[list[Item]], None] = lambda running: None,
) -> Iterator[tuple[Item, Any]]:
    """Yield (item, function(item)) as the calls end; (item, Died) for one whose process died.

    Args:
        places: for each process the variables that it starts with, beside this one's own.
        idle: called twice a second with the items under way.

    Raises:
        Exception: what a call raised; the others are ended then, as they are when the caller stops asking.
    """
    # A pool breaks as a whole, so each process is a pool of its own.
    todo, running = deque(items), {}
    free = [(place, None) for place in reversed(places)]  # a process is started when there is a call for it
    try:
        while todo or running:
            while todo and free:
                place, pool = free.pop()
                pool = pool or _process(place)
                try:
                    future = pool.submit(function, todo[0])
                except BrokenExecutor:  # it died between two calls
                    pool.shutdown(wait=True, kill_workers=True)
                    free.append((place, None))
                else:
                    running[future] = (place, pool, todo.popleft())
            over, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in over:
                place, pool, item = running.pop(future)
                if isinstance(future.exception(), BrokenExecutor):
                    pool.shutdown(wait=True, kill_workers=True)
                    free.append((place, None))
                    yield item, Died
                else:
                    free.append((place, pool))
                    yield item, future.result()
            idle([item for *_, item in running.values()])
    finally:
        for _, pool, *_ in (*free, *running.values()):
            if pool:
                pool.shutdown(wait=True, kill_workers=True)


def _process(place: Mapping[str, str]) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, env=dict(place), initializer=end_with, initargs=(os.getpid(),))
