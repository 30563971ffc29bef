"""Work that several processes share; with one process it is done here, where planted bugs and debuggers are."""

import logging
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Final, TypeVar

__all__ = ["shared_out"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def shared_out(work: Callable[[Item], Result], items: Iterable[Item], *, processes: int) -> Iterator[Result]:
    """Yield what `work` returns for each item, in their order. `work` is a module's function."""
    if processes == 1:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(processes, mp_context=_SPAWN, initializer=_be_quiet) as pool:
        try:
            yield from pool.map(work, items)
        finally:
            pool.shutdown(cancel_futures=True)


def _be_quiet() -> None:
    logging.disable(logging.CRITICAL)  # the engine warns of what is done to it


_SPAWN: Final = multiprocessing.get_context("spawn")
