"""A second process on the same database, told what to do by lines on its input and answering by lines.

`hold ID` creates a run and claims it; `signal KEY NAME` delivers; `create COUNT` creates runs one after the other and
prints each id as it is acknowledged; `fork` leaves a child behind that does nothing; `exit` closes the store.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from perdure.kernel.identity import RunKey
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import delivery


def say(*words: object) -> None:
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


async def serve(path: Path) -> None:
    session = StoreSession(SqliteStore(path, settings=SqliteSettings(safety_check_seconds=3_600)))
    await session.open(name="second", lease_seconds=3_600)
    say("ready", session.worker)
    while line := (await asyncio.to_thread(sys.stdin.readline)).split():
        match line:
            case ["hold", run_id]:
                run = await session.hold(run_id)
                say("held", run.run_key)
            case ["signal", run_key, name]:
                await session.commit(delivery(RunKey(int(run_key)), name))
                say("sent")
            case ["create", prefix, count]:
                for number in range(int(count)):
                    await session.create(f"{prefix}-{number}")
                    say("created", f"{prefix}-{number}")
            case ["fork"]:
                child = os.fork()
                if not child:
                    os.closerange(0, 3)  # whoever waits for the parent waits for the other end of its pipes
                    signal.pause()
                    os._exit(0)
                say("forked", child)
            case ["exit"]:
                break
    await session.store.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
