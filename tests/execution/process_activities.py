"""Activities for the tests, in a module of their own: worker processes import it."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from asyncio import CancelledError
from datetime import timedelta

from perdure import Retry, Stream, activity, current_attempt, defer, fixed, heartbeat, publish
from tests.execution.meeting import visiting

TWICE = Retry(attempts=2, backoff=fixed(timedelta(milliseconds=1)))
ONCE = Retry.never()
NUMBERS = Stream("numbers", int)


@activity(executor="process")
def tell_process() -> int:
    return os.getpid()


@activity(executor="process", retry=TWICE)
def meet_in_process(address: str) -> str:
    """Report process and attempt, wait to be told what to return."""
    with visiting(address) as visit:
        visit.say(os.getpid())
        visit.say(current_attempt().attempt)
        return visit.hear()


@activity(executor="process", retry=ONCE)
def beat_until_given_up(address: str) -> str:
    """Beat until the heartbeat raises; say that there was time to clean up."""
    with visiting(address) as visit:
        visit.say(os.getpid())
        try:
            while True:
                heartbeat()
                os.sched_yield()
        except CancelledError:
            visit.say("cleaned up")
            raise


@activity(executor="process", retry=TWICE)
def beat_then_die(step: int) -> object:
    seen = current_attempt().last_heartbeat(int)
    if seen is not None:
        return seen
    heartbeat(step)
    os.kill(os.getpid(), signal.SIGKILL)
    return None


@activity(executor="process", retry=ONCE)
def end_with_status(status: int) -> None:
    os._exit(status)


@activity(executor="process", retry=ONCE)
def break_the_interpreter() -> None:
    ctypes.string_at(0)


@activity(executor="process", retry=ONCE)
def ignore_termination(address: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with visiting(address) as visit:
        visit.say(os.getpid())
        while True:
            pass


@activity(executor="process", retry=ONCE)
def burn() -> None:
    while True:
        pass


@activity(executor="process", retry=ONCE)
def close_everything() -> None:
    os.closerange(3, 256)


@activity(executor="process", retry=ONCE)
def speak_garbage(garbage: bytes) -> None:
    """Write into every socket that this process has."""
    for descriptor in range(3, 256):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as own:
            own.setblocking(False)
            own.send(garbage)
    signal.pause()


@activity(executor="process", retry=ONCE)
def start_a_descendant(address: str) -> None:
    """Start a program that holds a connection to the meeting, and wait for it."""
    with visiting(address) as visit:
        visit.say(os.getpid())
        program = "import socket, sys, time; s = socket.socket(fileno=int(sys.argv[1])); time.sleep(600)"
        descriptor = visit.descriptor()
        subprocess.run([sys.executable, "-c", program, str(descriptor)], pass_fds=[descriptor], check=False)


def square(number: int) -> int:
    return number * number


@activity(executor="process")
def square_in_own_processes(numbers: list[int]) -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(square, numbers)


@activity(executor="process")
def echo_in_process(text: str) -> str:
    return text


@activity(executor="process", retry=ONCE)
def fail_in_process(word: str) -> None:
    raise LookupError(word)


@activity(executor="process", retry=ONCE)
def leave_in_process() -> None:
    sys.exit("leaving")


@activity(executor="hybrid")
def tell_hybrid_process() -> int:
    return os.getpid()


@activity(executor="hybrid", expected_duration=timedelta(hours=1))
def tell_declared_process() -> int:
    return os.getpid()


@activity(executor="process", retry=ONCE)
def leave_to_somebody(address: str) -> str:
    """Say the token and defer."""
    with visiting(address) as visit:
        visit.say(current_attempt().token)
    defer()


@activity(executor="process", retry=ONCE)
def publish_in_process(up_to: int) -> None:
    for number in range(up_to):
        publish(NUMBERS, number)
