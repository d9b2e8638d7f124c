"""Calls side by side, in processes that end with this one; one that dies takes only its own call along."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    count: int,
    *,
    environment: Mapping[str, str] | None = None,
    idle: Callable[[list[Item]], None] = lambda running: None,
) -> Iterator[tuple[Item, Any]]:
    """Yield (item, function(item)) as the calls end; (item, Died) for one whose process died.

    Args:
        count: of processes.
        environment: variables that they start with, beside this process's own.
        idle: called twice a second with the items under way.

    Raises:
        Exception: what a call raised; the others are ended then, as they are when the caller stops asking.
    """
    # A pool breaks as a whole, so each process is a pool of its own.
    todo, free, running = deque(items), [], {}
    try:
        while todo or running:
            while todo and len(running) < count:
                pool = free.pop() if free else _process(environment)
                try:
                    future = pool.submit(function, todo[0])
                except BrokenExecutor:  # it died between two calls
                    pool.shutdown(wait=True, kill_workers=True)
                else:
                    running[future] = (pool, todo.popleft())
            over, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in over:
                pool, item = running.pop(future)
                if isinstance(future.exception(), BrokenExecutor):
                    pool.shutdown(wait=True, kill_workers=True)
                    yield item, Died
                else:
                    free.append(pool)
                    yield item, future.result()
            idle([item for _, item in running.values()])
    finally:
        for pool in (*free, *(pool for pool, _ in running.values())):
            pool.shutdown(wait=True, kill_workers=True)


def _process(environment: Mapping[str, str] | None) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, env=environment, initializer=end_with, initargs=(os.getpid(),))
