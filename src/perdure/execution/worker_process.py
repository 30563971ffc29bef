"""A worker process, as the executor that owns it sees it: started, given attempts, killed if need be, replaced.

**States.** starting → idle ⇄ busy → gone; `is_doomed` once it was signalled to end: it gets no further attempt. An
attempt may be given to a process that is still starting: it waits in the socket, and its time does not count yet. A
process that is not ready after `start_seconds` is killed.

**Giving up an attempt.** The process is told, and a function that has ever called `heartbeat` gets `stop_seconds` to
hear it there and clean up. Then, or at once for one that never calls it, SIGTERM goes to the process' group, and
`stop_seconds` later SIGKILL. The attempt counts as ended when the process is gone.

**Gone** is what multiprocessing's sentinel says; what the process had still written is read before. If the socket ends
first, the process is killed. If the executor's process dies, the socket ends for the worker process, which ends itself.
"""

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Final

from perdure.authoring.payload_limit import payload_limit
from perdure.errors import InternalError
from perdure.execution.attempts import DEFERRED, WORKER_PROCESS_DIED, RunningCall
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
    decode_report,
    frame,
)
from perdure.execution.process_service import serve
from perdure.kernel.failure import Failure, concealed_failure
from perdure.kernel.payload import Payload
from perdure.redaction import concealed

__all__ = ["WorkerProcess"]


class WorkerProcess:
    """One worker process; all methods are for the loop's thread."""

    def __init__(
        self,
        context: ForkServerContext | SpawnContext,
        *,
        start_seconds: float,
        stop_seconds: float,
        on_free: Callable[["WorkerProcess"], None],
        on_gone: Callable[["WorkerProcess"], None],
    ) -> None:
        """Begin to start a process.

        `on_free` hears that it can take an attempt again, `on_gone` that it has ended.
        """
        self._loop = asyncio.get_running_loop()
        self._stop_seconds = stop_seconds
        self._start_timer = self._loop.call_later(start_seconds, self._start_is_overdue)
        self._on_free = on_free
        self._on_gone = on_gone
        self._running: RunningCall | None = None
        self._number = 0
        self._has_beaten = False
        self._is_ready = False
        self._is_started = False
        self._is_leaving = False
        self.is_doomed = False
        self.is_gone = False
        self._timer: asyncio.TimerHandle | None = None
        self._frames = Frames()
        self._complaint = ""
        self._outgoing = bytearray()
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(0)
        self._loop.add_reader(self._socket, self._receive)
        self._process: BaseProcess = context.Process(target=serve, args=(theirs,), name="perdure-process", daemon=True)
        threading.Thread(target=self._start, args=(theirs,), name="perdure-process-start", daemon=True).start()

    # --- orders --------------------------------------------------------------------------------------------------

    def perform(self, running: RunningCall) -> None:
        """Run an attempt; the process must have none."""
        self._number += 1
        self._running = running
        self._has_beaten = False
        if self._is_ready:
            running.begin()
        call = running.call
        self._frames.longest_bytes = payload_limit() + _BESIDE_VALUES_BYTES
        self._send(
            Perform(
                number=self._number,
                module=call.definition.function.__module__,
                input=call.input,
                attempt=running.describe(),
                maximum_bytes=payload_limit(),
            )
        )

    def leave(self) -> None:
        """Have the process end: at once if it is idle, else when its attempt has ended or been stopped."""
        self._is_leaving = True
        if self._running is None and not self.is_doomed:
            self._send(Leave())
            self._doom_after(self._stop_seconds)

    def kill(self) -> None:
        """End the process without asking."""
        self.is_doomed = True
        self._cancel_timer()
        self._signal(signal.SIGKILL)

    @property
    def is_alive(self) -> bool:
        """Whether the process can take an attempt: it lives, as far as is known by now."""
        return not (self.is_gone or self.is_doomed or self._is_leaving) and (
            not self._is_started or self._process.is_alive()
        )

    def abandon(self) -> None:
        """Let go of a process that could not be ended in time: its socket ends, at which it ends itself."""
        self.is_gone = True
        self._close()

    # --- stopping ------------------------------------------------------------------------------------------------

    def give_up(self, running: RunningCall) -> None:
        """Stop an attempt, if it is the one under way here."""
        if self._running is not running or self.is_doomed:
            return
        self._send(GiveUp(number=self._number))
        if self._has_beaten:
            self._doom_after(self._stop_seconds)
        else:
            self._terminate()

    def _doom_after(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = self._loop.call_later(seconds, self._terminate)

    def _terminate(self) -> None:
        self.is_doomed = True
        self._signal(signal.SIGTERM)
        self._cancel_timer()
        self._timer = self._loop.call_later(self._stop_seconds, self.kill)

    def _signal(self, number: signal.Signals) -> None:
        """Signal the process with all it has started; while it starts, it has no group of its own yet."""
        if not self._is_started or self.is_gone:
            return  # a doomed process that starts is killed then
        pid = self._process.pid
        if pid is not None and self._process.is_alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if self._is_ready:
                    os.killpg(pid, number)
                else:
                    os.kill(pid, signal.SIGKILL)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- start and end -------------------------------------------------------------------------------------------

    def _start(self, theirs: socket.socket) -> None:
        """Start the process; in a thread, since it takes until the process is forked, or longer the first time."""
        error: Exception | None = None
        try:
            self._process.start()
        except Exception as caught:  # noqa: BLE001 - whatever went wrong is the outcome of the attempt that waits
            error = caught
        finally:
            theirs.close()
        try:
            self._loop.call_soon_threadsafe(self._started, error)
        except RuntimeError:  # the loop is closed, and with it the socket: the process ends itself
            return

    def _started(self, error: Exception | None) -> None:
        if self.is_gone:
            return
        if error is not None:
            self._gone(f"could not be started: {type(error).__name__}: {error}")
            return
        self._is_started = True
        self._loop.add_reader(self._process.sentinel, self._ended)
        if self.is_doomed:
            self._signal(signal.SIGKILL)

    def _start_is_overdue(self) -> None:
        if self._is_started:
            self.kill()
        else:  # when it starts after all, it finds its socket closed and ends itself
            self._gone("was not started in time")

    def _ended(self) -> None:
        """Take note that the process has ended: the sentinel says so."""
        exit_code = self._process.exitcode
        if exit_code is None:  # the pipe closed a moment before the process can be waited for
            self._loop.remove_reader(self._process.sentinel)
            self._loop.call_later(_SHORT_PAUSE_SECONDS, self._ended)
            return
        while self._receive():
            pass
        if self._is_ready and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._gone(self._complaint or _describe_end(exit_code))

    def _gone(self, how: str) -> None:
        if self.is_gone:
            return
        self.is_gone = True
        self._close()
        running, self._running = self._running, None
        self._on_gone(self)
        if running is not None:
            running.ended(None, _died(running.call.activity, how, is_ready=self._is_ready))

    def _close(self) -> None:
        self._cancel_timer()
        self._start_timer.cancel()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        if self._is_started:
            # Not `Process.close`: a thread that starts another process may be polling this one's sentinel.
            self._loop.remove_reader(self._process.sentinel)
            self._process.join(0)

    # --- the socket ----------------------------------------------------------------------------------------------

    def _send(self, order: Order) -> None:
        self._outgoing += frame(order)
        self._write()

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(self._outgoing)  # nobody reads any more; the sentinel will tell
        del self._outgoing[:sent]
        if self._outgoing:
            self._loop.add_writer(self._socket, self._write)
        else:
            self._loop.remove_writer(self._socket)

    def _receive(self) -> bool:
        """Take in what has arrived, up to a limit that lets the loop turn; return whether there may be more."""
        try:
            received = self._socket.recv(_RECEIVED_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            received = b""
        if not received:
            self._loop.remove_reader(self._socket)
            self.kill()
            return False
        try:
            reports = [decode_report(body) for body in self._frames.feed(received)]
        except InternalError as error:
            self._refuse(str(error))
            return False
        for report in reports:
            self._take(report)
        return not self.is_gone

    def _refuse(self, complaint: str) -> None:
        """End a process that does not speak as it must: code of an activity has written to its socket, say."""
        self._complaint = f"was ended: {complaint}"
        self._loop.remove_reader(self._socket)
        self.kill()

    def _take(self, report: Report) -> None:
        match report:
            case Ready():
                self._is_ready = True
                self._start_timer.cancel()
                if self._running is not None:
                    self._running.begin()
            case Beat():
                self._beat(report)
            case Published():
                if self._running is not None and report.number == self._number:
                    self._running.publish(report.stream, report.value)
            case Returned():
                self._finished(report.number, report.result, None, report.cpu_seconds)
            case Deferred():
                self._finished(report.number, DEFERRED, None, report.cpu_seconds)
            case Raised():
                self._finished(report.number, None, concealed_failure(report.failure, concealed), None)

    def _beat(self, report: Beat) -> None:
        if self._running is not None and report.number == self._number:
            self._has_beaten = True
            self._running.beat(report.details)

    def _finished(
        self, number: int, result: Payload | None, failure: Failure | None, cpu_seconds: float | None
    ) -> None:
        if self._running is None or number != self._number:
            return
        running, self._running = self._running, None
        if not self.is_doomed:
            self._cancel_timer()
            if self._is_leaving:
                self.leave()
            else:
                self._on_free(self)
        running.cpu_seconds = cpu_seconds
        running.ended(result, failure)


def _died(activity: str, how: str, *, is_ready: bool) -> Failure:
    advice = "" if is_ready else _START_ADVICE
    return Failure(
        type=WORKER_PROCESS_DIED,
        types=(WORKER_PROCESS_DIED,),
        message=f"the worker process of activity {activity} {how}{advice}",
    )


_START_ADVICE: Final = (
    " before it was ready; standard error says more. It imports the main script first: what the script runs must stand "
    "below `if __name__ == '__main__':`"
)


def _describe_end(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit status {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    likely = " (by hand, or because memory ran out)" if name == "SIGKILL" else ""
    return f"was ended by {name}{likely}"


_RECEIVED_BYTES = 65_536
_BESIDE_VALUES_BYTES: Final = 2**20
"""What a report may have beside one value: of a failure the messages, of its causes and the traceback."""
_SHORT_PAUSE_SECONDS = 0.01
