"""`perdure signal`, `cancel`, `terminate`, `suspend`, `resume`: messages to a run, durable when the command returns."""

import getpass
import shlex
from typing import Literal

import msgspec

from perdure.authoring.signals import Signal
from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.json_values import read_json
from perdure.cli.printing import print_json, printable
from perdure.cli.times import parse_duration
from perdure.client.handle import Run

__all__ = ["Steering", "caller", "send_signal", "steer"]


class Steering(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is asked, and why. `grace`: how long a cancelled run may clean up, as a text such as 30s; None: for as
    long as it takes."""

    verb: Literal["cancel", "terminate", "suspend", "resume"]
    reason: str = ""
    grace: str | None = None
    request_id: str | None = None


async def send_signal(place: Place, run_id: str, name: str, body: str, *, request_id: str | None, as_json: bool) -> int:
    """Send a signal. Raises RunNotFoundError, RunClosedError, NoDatabaseError, StoreErrors, UsageError."""
    value = read_json(body, "the body")
    async with as_client(place) as engine:
        run: Run[object] = await engine.get_run(run_id)
        await run.signal(Signal[object](name), value, request_id=request_id)
    if as_json:
        print_json({"id": run_id, "namespace": place.namespace, "signal": name, "delivered": True})
    else:
        print(f"The signal '{printable(name)}' is in the inbox of {printable(run_id)}.")
    return ExitCode.OK


async def steer(place: Place, run_id: str, wish: Steering, *, as_json: bool) -> int:
    """Ask a run. Raises RunNotFoundError, RunClosedError, NoDatabaseError, StoreErrors, UsageError."""
    grace = None if wish.grace is None else parse_duration(wish.grace)
    async with as_client(place) as engine:
        run: Run[object] = await engine.get_run(run_id)
        match wish.verb:
            case "cancel":
                await run.cancel(wish.reason, grace=grace, by=caller(), request_id=wish.request_id)
            case "terminate":
                await run.terminate(wish.reason, by=caller(), request_id=wish.request_id)
            case "suspend":
                await run.suspend(wish.reason, by=caller(), request_id=wish.request_id)
            case "resume":
                await run.resume(by=caller(), request_id=wish.request_id)
    if as_json:
        print_json({"id": run_id, "namespace": place.namespace, "request": wish.verb, "delivered": True})
    else:
        shown = printable(run_id)
        print(f"{shown} is asked to {wish.verb}; `perdure show {shlex.quote(shown)}` tells when it has.")
    return ExitCode.OK


def caller() -> str:
    """Return who calls, for the history."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run under a number without a name
        return ""
