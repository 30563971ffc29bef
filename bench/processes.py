"""The same work in several processes at once, each of its own and with nothing of this one's in it."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Final, TypeAlias, TypeVar

Result = TypeVar("Result")
# Told its number, from 0, and the gate at which all wait for each other.
Work: TypeAlias = Callable[[int, Barrier], Result]

_PATIENCE_SECONDS: Final = 300.0


def at_once(count: int, work: Work[Result]) -> list[Result]:
    """Let so many processes do `work`, a function of a module with its arguments; give what each returned, in order.

    Raises EOFError if one of them fails, and what it failed with stands on its standard error.
    """
    spawning = multiprocessing.get_context("spawn")
    gate = spawning.Barrier(count, timeout=_PATIENCE_SECONDS)
    lines = [spawning.Pipe(duplex=False) for _ in range(count)]
    processes = [
        spawning.Process(target=_do, args=(work, number, gate, sender), daemon=True)
        for number, (_, sender) in enumerate(lines)
    ]
    for process in processes:
        process.start()
    for _, sender in lines:
        sender.close()  # so that the end of a process is the end of its line
    results: list[Result] = [receiver.recv() for receiver, _ in lines]
    for process in processes:
        process.join()
    return results


def _do(work: Work[Result], number: int, gate: Barrier, sender: Connection) -> None:
    sender.send(work(number, gate))
