"""`perdure update` and `perdure query`: what is asked of a run, and what it answers."""

import msgspec

from perdure.authoring.updates import Update
from perdure.cli.code import import_module
from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.json_values import read_json
from perdure.cli.printing import answer_line, print_json, printable
from perdure.cli.times import parse_duration
from perdure.client.handle import Run

__all__ = ["Asking", "ask_query", "send_update"]


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """How an update is sent. `waits`: until it is completed, not only accepted."""

    request_id: str | None
    waits: bool
    timeout: str
    as_json: bool


async def send_update(place: Place, run_id: str, name: str, body: str, asking: Asking) -> int:
    """Send an update and print its result. Raises as `Run.update`, and NoDatabaseError, StoreErrors, UsageError."""
    value, limit = read_json(body, "the input"), parse_duration(asking.timeout)
    update = Update(name)
    async with as_client(place) as engine:
        run: Run[object] = await engine.get_run(run_id)
        if asking.waits:
            result = await run.update(update, value, request_id=asking.request_id, timeout=limit)
        else:
            result = None
            await run.update(update, value, request_id=asking.request_id, timeout=limit, wait="accepted")
    if asking.as_json:
        outcome = {"completed": True, "result": result} if asking.waits else {"accepted": True}
        print_json({"id": run_id, "namespace": place.namespace, "update": name, **outcome}, is_answer=True)
    elif asking.waits:
        print(answer_line(result))
    else:
        print(f"The run {printable(run_id)} has accepted the update '{printable(name)}'.")
    return ExitCode.OK


async def ask_query(
    place: Place, run_id: str, name: str, arguments: tuple[str, ...], *, apps: list[str], as_json: bool
) -> int:
    """Ask a run and print the answer. Raises as `Run.query`, and NoDatabaseError, StoreErrors, UsageError."""
    values = [read_json(argument, "the argument") for argument in arguments]
    for app in apps:
        import_module(app, asked_by="--app")
    async with as_client(place) as engine:
        run: Run[object] = await engine.get_run(run_id)
        answer = msgspec.to_builtins(await run.query(name, *values), str_keys=True, enc_hook=repr)
    if as_json:
        print_json({"id": run_id, "namespace": place.namespace, "query": name, "answer": answer}, is_answer=True)
    else:
        print(answer_line(answer))
    return ExitCode.OK
