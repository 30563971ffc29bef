"""Tracing: what is executed on connections that are opened meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import apsw

__all__ = ["told_of"]


@contextmanager
def told_of(hear: Callable[[str, "apsw.Bindings | None"], object]) -> Iterator[None]:
    """Tell of each statement, with its parameters, before it is executed."""

    def trace(_cursor: apsw.Cursor, text: str, bindings: "apsw.Bindings | None") -> bool:
        hear(text, bindings)
        return True

    def watch(connection: apsw.Connection) -> None:
        connection.exec_trace = trace

    apsw.connection_hooks.append(watch)
    try:
        yield
    finally:
        apsw.connection_hooks.remove(watch)
