"""Activities for the tests of clusters, in a module of their own: nodes import it. A call says where it runs."""

import os
from asyncio import CancelledError
from datetime import timedelta

from perdure import Retry, Signal, Stream, activity, current_attempt, defer, fixed, heartbeat, publish
from tests.execution.meeting import visiting

TWICE = Retry(attempts=2, backoff=fixed(timedelta(milliseconds=1)))
ONCE = Retry.never()
STEPS = Stream("steps", int)
GO = Signal("go", type(None))


@activity(retry=TWICE)
def meet_on_cluster(address: str) -> str:
    """Report process and attempt, wait to be told what to return."""
    with visiting(address) as visit:
        visit.say(os.getpid())
        visit.say(current_attempt().attempt)
        return visit.hear()


@activity(retry=ONCE)
def beat_on_cluster(address: str) -> None:
    """Beat, publish that, and beat on until the heartbeat raises; say that there was time to clean up."""
    with visiting(address) as visit:
        try:
            heartbeat()
            publish(STEPS, 1)
            while True:
                heartbeat()
                os.sched_yield()
        except CancelledError:
            visit.say("cleaned up")
            raise


@activity(retry=TWICE)
def beat_then_fail(step: int) -> object:
    seen = current_attempt().last_heartbeat(int)
    if seen is not None:
        return seen
    heartbeat(step)
    heartbeat()
    raise LookupError("after a heartbeat")


@activity(retry=ONCE)
def publish_on_cluster(up_to: int) -> None:
    for number in range(up_to):
        publish(STEPS, number)


@activity(retry=ONCE)
def defer_on_cluster(address: str) -> str:
    """Say the token and defer."""
    with visiting(address) as visit:
        visit.say(current_attempt().token)
    defer()


@activity(retry=ONCE)
def echo_on_cluster(text: str) -> str:
    return text


@activity(retry=ONCE)
def fail_on_cluster(word: str) -> None:
    raise LookupError(word)


@activity(retry=ONCE)
def wait_on_cluster(address: str) -> None:
    """Wait without a heartbeat."""
    with visiting(address) as visit:
        visit.hear()


@activity(retry=ONCE)
def beat_once_on_cluster(address: str) -> None:
    """Beat, publish that, and wait without another heartbeat."""
    with visiting(address) as visit:
        heartbeat()
        publish(STEPS, 1)
        visit.hear()


@activity(retry=TWICE, resources={"gpu": 1})
def meet_on_its_node(address: str) -> str:
    """Report process, its parent, and attempt; wait to be told what to return."""
    with visiting(address) as visit:
        visit.say(os.getpid())
        visit.say(os.getppid())
        visit.say(current_attempt().attempt)
        return visit.hear()


@activity(executor="dask")
def tell_dask_process() -> int:
    return os.getpid()
