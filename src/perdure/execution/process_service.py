"""Inside a worker process: run activities as they are asked for, one at a time, until told to leave.

Activities run on the main thread; a second thread listens, so that a cancellation and the end of the parent are heard
while one runs. When the parent is gone, nobody wants the outcome and another worker may run the attempt already: the
process ends at once, with everything its activities have started.

The process leads a process group of its own: what an activity starts is killed with it, and Ctrl-C in a terminal
reaches the program, which closes its engine, and not the activities behind its back.
"""

import contextlib
import importlib
import multiprocessing
import os
import signal
import socket
import threading
import time
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Final, NoReturn

import msgspec

from perdure.authoring.activity import Activity
from perdure.authoring.activity_context import Attempt, Deferring, running_attempt
from perdure.authoring.registry import default_registry
from perdure.errors import InternalError, UnknownActivityError
from perdure.execution.process_messages import (
    Beat,
    Deferred,
    Frames,
    GiveUp,
    Leave,
    Order,
    Perform,
    Published,
    Raised,
    Ready,
    Report,
    Returned,
    decode_order,
    frame,
)
from perdure.kernel.failure import Failure
from perdure.kernel.payload import Payload
from perdure.redaction import recorded_failure

__all__ = ["find_activity", "serve"]


def serve(connection: socket.socket) -> None:
    """Serve the executor at the other end of `connection`. This is what a worker process runs."""
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    multiprocessing.current_process().daemon = False  # a daemon's activities could not use multiprocessing themselves
    service = _Service(connection)
    service.report(Ready())
    threading.Thread(target=service.listen, name="perdure-listener", daemon=True).start()
    while (order := service.orders.get()) is not None:
        service.report(copy_context().run(_perform, order, service))


def find_activity(module: str, name: str) -> Activity[..., Any]:
    """Import `module` and return the activity of this name. Raises UnknownActivityError, or what the import raises."""
    importlib.import_module(module)
    try:
        return default_registry.activity(name)
    except UnknownActivityError as error:
        message = (
            f"importing {module} in a worker process does not define the activity {name!r}; define it at the top level "
            f"of a module, not inside a function or below `if __name__ == '__main__'`"
        )
        raise UnknownActivityError(message) from error


class _Service:
    """The connection to the executor, shared by the two threads."""

    def __init__(self, connection: socket.socket) -> None:
        self.orders: SimpleQueue[Perform | None] = SimpleQueue()
        self.given_up = 0
        self._connection = connection
        self._sending = threading.Lock()

    def report(self, report: Report) -> None:
        """Tell the executor."""
        try:
            with self._sending:
                self._connection.sendall(frame(report))
        except OSError:
            _end_with_descendants()

    def listen(self) -> None:
        """Take what the executor says until it says no more."""
        frames = Frames()
        with contextlib.suppress(InternalError):  # who says what is no order is not to be served
            while received := self._receive():
                for body in frames.feed(received):
                    self._take(decode_order(body))
        _end_with_descendants()

    def _receive(self) -> bytes:
        try:
            return self._connection.recv(_RECEIVED_BYTES)
        except OSError:
            return b""

    def _take(self, order: Order) -> None:
        match order:
            case Perform():
                self.orders.put(order)
            case GiveUp():
                self.given_up = order.number
            case Leave():
                self.orders.put(None)


class _ProcessAttempt:
    """An attempt as its process sees it: heartbeats go over the connection."""

    __slots__ = ("_order", "_service")

    def __init__(self, order: Perform, service: _Service) -> None:
        self._order = order
        self._service = service

    @property
    def is_cancelled(self) -> bool:
        return self._service.given_up == self._order.number

    def describe(self) -> Attempt:
        return self._order.attempt

    def beat(self, details: Payload) -> None:
        self._service.report(Beat(number=self._order.number, details=details))

    def publish(self, stream: str, value: Payload) -> None:
        self._service.report(Published(number=self._order.number, stream=stream, value=value))


def _perform(order: Perform, service: _Service) -> Returned | Raised | Deferred:
    try:
        definition = find_activity(order.module, order.attempt.activity)
    except BaseException as error:  # noqa: BLE001 - a module may raise anything when it is imported
        return Raised(number=order.number, failure=_final(recorded_failure(error, room=_ROOM_TO_CONCEAL)))
    running_attempt.set(_ProcessAttempt(order, service))
    begun_at = time.process_time()
    try:
        args, kwargs = definition.signature.decode_arguments(order.input)
        value = definition.function(*args, **kwargs)
        result = definition.signature.encode_result(value, maximum_bytes=order.maximum_bytes)
    except Deferring:
        return Deferred(number=order.number, cpu_seconds=time.process_time() - begun_at)
    except BaseException as error:  # noqa: BLE001 - the outermost call of user code; its error becomes an event
        return Raised(number=order.number, failure=recorded_failure(error, room=_ROOM_TO_CONCEAL))
    return Returned(number=order.number, result=result, cpu_seconds=time.process_time() - begun_at)


_ROOM_TO_CONCEAL: Final = 16
"""How many times longer texts go to the parent than it records: it may know secrets where they would be cut."""


def _final(failure: Failure) -> Failure:
    """Rule out another try: the code will not be there the next time either."""
    return msgspec.structs.replace(failure, retryable=False)


def _end_with_descendants() -> NoReturn:
    with contextlib.suppress(OSError):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


_RECEIVED_BYTES = 65_536
