"""A process that starts a server and says so, in a way that test_supervisor.py asks for: `leaving.py HOW FOLDER`."""

import json
import os
import signal
import sys
import threading
from pathlib import Path

from perdure.local_postgres import LocalPostgres


def main(how: str, folder: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a shell
    postgres = LocalPostgres(folder or None, settings={"fsync": "off"})
    if how == "in a thread that ends":
        thread = threading.Thread(target=postgres.start)
        thread.start()
        thread.join()
    else:
        postgres.start()
    forked = 0
    if how == "with a forked child":
        forked = os.fork()
        if not forked:
            signal.pause()
    assert postgres._running is not None
    place = postgres._running.place.folder
    server = int(Path(folder or place, "cluster", "data", "postmaster.pid").read_text().split()[0])
    said = {"server": server, "supervisor": postgres._running._supervisor.pid, "folder": str(place), "forked": forked}
    print(json.dumps(said), flush=True)  # noqa: T201
    if how == "and returns":
        return
    sys.stdin.read()
    postgres.stop()
    print(place.exists(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
