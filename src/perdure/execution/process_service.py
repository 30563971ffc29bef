"""Inside a worker process: run activities as they are asked for, one at a time, until told to leave.

Activities run on the main thread; a second thread listens, so that a cancellation and the end of the parent are heard
while one runs. When the parent is gone, nobody wants the outcome and another worker may run the attempt already: the
process ends at once, with everything its activities have started.

The process leads a process group of its own: what an activity starts is killed with it, and Ctrl-C in a terminal
reaches the program, which closes its engine, and not the activities behind its back.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
from contextvars import copy_context
from queue import SimpleQueue
from typing import NoReturn

from perdure.authoring.activity_context import Attempt
from perdure.errors import InternalError
from perdure.execution.performing import perform
from perdure.execution.process_messages import (
    Beat,
    Frames,
    GiveUp,
    Leave,
    Order,
    Perform,
    Published,
    Ready,
    Report,
    decode_order,
    frame,
)
from perdure.kernel.payload import Payload

__all__ = ["serve"]


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
        service.report(copy_context().run(perform, order, _ProcessAttempt(order, service)))


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


def _end_with_descendants() -> NoReturn:
    with contextlib.suppress(OSError):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


_RECEIVED_BYTES = 65_536
