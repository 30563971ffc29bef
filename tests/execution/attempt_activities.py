"""One conversation with the test, held on the loop, in a thread and in a process.

The attempt says its number, with the details of an earlier heartbeat if there were any, and then does what it is told:
beat, raise, or return the line. When it learns that it was given up it says "cancelled".
"""

import asyncio
from asyncio import CancelledError

from perdure import Signal, activity, current_attempt, heartbeat
from tests.execution.meeting import Visit, visiting

give_up = Signal("give_up", None)


def greeting() -> str:
    attempt = current_attempt()
    details = attempt.last_heartbeat(str)
    return str(attempt.attempt) if details is None else f"{attempt.attempt} after {details}"


def converse(visit: Visit) -> str:
    visit.say(greeting())
    beats = 0
    try:
        while True:
            told = visit.hear()
            if told == "raise":
                raise LookupError(told)
            if told != "beat":
                return told
            beats += 1
            heartbeat(f"beat {beats}")
            visit.say("beaten")
    except CancelledError:
        visit.say("cancelled")
        raise


@activity
def wait_in_thread(address: str) -> str:
    with visiting(address) as visit:
        return converse(visit)


@activity(executor="process")
def wait_in_process(address: str) -> str:
    with visiting(address) as visit:
        return converse(visit)


@activity
async def wait_on_loop(address: str) -> str:
    reader, writer = await asyncio.open_unix_connection(address)
    try:
        return await converse_on_loop(reader, writer)
    except CancelledError:
        writer.write(b"cancelled\n")
        raise
    finally:
        writer.close()


async def converse_on_loop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    writer.write(f"{greeting()}\n".encode())
    beats = 0
    while True:
        told = (await reader.readline()).decode().rstrip("\n")
        if told == "raise":
            raise LookupError(told)
        if told != "beat":
            return told
        beats += 1
        heartbeat(f"beat {beats}")
        writer.write(b"beaten\n")
