"""`perdure worker`: an engine that works until it is told to stop."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable
from typing import Final, cast

import msgspec

from perdure.authoring.registry import default_registry
from perdure.cli.code import import_module
from perdure.cli.database import Place, payloads_from_environment
from perdure.cli.exits import ExitCode
from perdure.cli.printing import print_json_line, printable
from perdure.cli.times import parse_duration
from perdure.configuration import Settings
from perdure.engine import Engine
from perdure.errors import UsageError

__all__ = ["WorkOrder", "work"]

_ASKED_BY: Final = "MODULE"


class WorkOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be worked: the module, or the engine in it, further modules, and how."""

    app: str
    also: tuple[str, ...] = ()
    name: str | None = None
    grace: str | None = None
    queues: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    only_queues: bool = False
    standby: bool = False
    as_json: bool = False


def work(place: Place, order: WorkOrder, *, log: str) -> int:
    """Work until a signal comes. Raises UsageError, and the errors of opening the database."""
    logging.basicConfig(level=log.upper(), format=_LOG_FORMAT)
    engine = _engine_of(place, order)
    asyncio.run(_until_signalled(engine, as_json=order.as_json))
    return ExitCode.OK


def _engine_of(place: Place, order: WorkOrder) -> Engine:
    settings = Settings(
        queues=order.queues, labels=_labels_of(order), only_queues=order.only_queues, standby=order.standby
    )
    if order.grace is not None:
        grace = parse_duration(order.grace).total_seconds()
        settings = msgspec.structs.replace(settings, shutdown_grace_seconds=grace)
    module_name, colon, attribute = order.app.partition(":")
    module = import_module(module_name, asked_by=_ASKED_BY)
    for other in order.also:
        import_module(other, asked_by=_ASKED_BY)
    if colon:
        return _engine_in(module, order, attribute)
    what, defined = "workflow", bool(default_registry.workflow_versions)
    if order.only_queues:
        what, defined = "activity", bool(default_registry.activity_names)
    if not defined:
        raise UsageError(
            f"{module_name!r} defines no {what}; name the module in which the functions with @{what} are, "
            f"and further ones by --also"
        )
    payloads = payloads_from_environment()
    return Engine(place.url, namespace=place.namespace, settings=settings, name=order.name, payloads=payloads)


def _labels_of(order: WorkOrder) -> dict[str, str]:
    for label in order.labels:
        if not label.partition("=")[1]:
            raise UsageError(f"--label {label!r:.60} must be NAME=VALUE, such as gpu=a100")
    return {name: value for name, _, value in (label.partition("=") for label in order.labels)}


def _engine_in(module: object, order: WorkOrder, attribute: str) -> Engine:
    said = (order.name, order.grace, order.queues, order.labels, order.only_queues, order.standby)
    if any(one not in (None, (), False) for one in said):
        raise UsageError(
            f"the engine {order.app} says itself how it is called and stopped, and what it serves: leave out --name, "
            f"--grace, --queue, --label, --only-queues, --standby"
        )
    made = getattr(module, attribute, None)
    if callable(made) and not isinstance(made, Engine):
        made = cast("Callable[[], object]", made)()
    if not isinstance(made, Engine):
        raise UsageError(f"{order.app} is {made!r:.60}; it must be an Engine, or a function that makes one")
    return made


async def _until_signalled(engine: Engine, *, as_json: bool) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def heed(number: signal.Signals) -> None:
        stop.set()
        for each in _SIGNALS:
            loop.remove_signal_handler(each)  # the next one ends the process, as any does that nobody handles
        _tell(
            f"{number.name}: stopping; another signal ends the process at once",
            is_for_people=not as_json,
        )

    for number in _SIGNALS:
        loop.add_signal_handler(number, heed, number)
    async with engine:
        _collect_more_rarely()
        _tell_begin(engine, as_json=as_json)
        await stop.wait()
    if as_json:
        _print_line({"stopped": True})
    _tell("stopped in good order; its runs are given back", is_for_people=not as_json)


def _collect_more_rarely() -> None:
    """Have passes of the garbage collector leave out what is there by now, modules above all: it stays, and a full pass
    over it would hold up all runs for 20 milliseconds, and longer the more is imported. And have it look at what is new
    when there is more of it: runs leave hardly anything to it, and what is under way it looks at in vain."""
    gc.collect()
    gc.freeze()
    youngest, *older = gc.get_threshold()
    if youngest:  # else it does not collect by itself
        gc.set_threshold(max(youngest, _YOUNG_OBJECTS), *older)


def _tell_begin(engine: Engine, *, as_json: bool) -> None:
    worker = engine.worker
    settings = worker.settings
    workflows = [] if settings.only_queues else sorted({one.name for one in worker.registry.workflow_versions})
    if as_json:
        queues = {"queues": settings.queues, "labels": settings.labels} if settings.queues else {}
        _print_line({"worker": worker.name, "location": worker.store.location, "workflows": workflows, **queues})
    what = ", ".join([*workflows, *(f"the queue {queue}" for queue in settings.queues)])
    _tell(
        f"worker {worker.name} works on {worker.store.location}: {what}; stop it by Ctrl-C or SIGTERM",
        is_for_people=not as_json,
    )


def _print_line(value: object) -> None:
    print_json_line(value)
    sys.stdout.flush()


def _tell(sentence: str, *, is_for_people: bool) -> None:
    if is_for_people:
        print(printable(sentence), flush=True)


_YOUNG_OBJECTS: Final = 5_000
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_LOG_FORMAT: Final = "%(asctime)s %(levelname)-8s %(name)s  %(message)s"
