"""What customers were told: each answer must be borne out by the tables, and in the calm each must have come."""

from collections.abc import Iterator
from typing import Any

import msgspec

from perdure.authoring.registry import default_registry
from perdure.kernel import events as e
from perdure.kernel.transition import RunStatus
from perdure.torture.kills.ledger import Note
from perdure.torture.kills.portfolio import ENOUGH, KINDS
from perdure.torture.kills.tables import StoredRun, Tables

__all__ = ["argument_of", "broken_answer_laws"]


def broken_answer_laws(tables: Tables, notes: list[Note]) -> Iterator[str]:
    """Yield a sentence for each thing that customers were told, or not told in time, and that is not so."""
    cancels = {record.run_id for record in notes if record.call == "cancel"}
    asked = {record.subject for record in notes if record.call in ("signal", "stray")}
    started = {record.run_id: record for record in notes if record.call == "start"}
    for record in notes:
        if record.state == "done":
            yield from _answer_laws(tables, record)
        elif record.state == "late":
            yield f"late: nobody was killed, and the {record.call} of run {record.run_id} was not answered in time"
        elif record.state == "failed":
            yield f"error: the {record.call} of run {record.run_id} was answered by {record.value}"
        elif record.state == "refused":
            yield from _refusal_laws(tables, record)
    for run_id, generations in tables.generations.items():
        counts = tables.signals(run_id)
        for subject, count in counts.items():
            if subject in asked and count > 1:
                yield f"two outcomes: signal {subject} is there {count} times"
        last, root = generations[-1], run_id.partition("/")[0]
        if root not in started:
            yield f"history: run {run_id} was started by nobody"
        if last.status == RunStatus.CANCELLED and root not in cancels and last.workflow != "kill_waiting":
            yield f"result: run {run_id} was cancelled and nobody asked"
        yield from _generation_laws(generations)


def _refusal_laws(tables: Tables, record: Note) -> Iterator[str]:
    if record.call in ("signal", "stray") and tables.signals(record.run_id)[record.subject]:
        yield f"history: signal {record.subject} was refused and is there"
    if record.call == "start" and record.run_id in tables.generations:
        yield f"history: the start of run {record.run_id} was refused and it is there"


def _answer_laws(tables: Tables, record: Note) -> Iterator[str]:
    generations = tables.generations.get(record.run_id, [])
    if not generations:
        yield f"lost: the {record.call} of run {record.run_id} was acknowledged, and the run does not exist"
        return
    first, last = generations[0], generations[-1]
    match record.call:
        case "start":
            value = None if first.created is None else argument_of(first.created)
            if (first.workflow, value) != (record.workflow, record.value):
                wanted = f"{record.workflow}({record.value!r})"
                yield f"lost: run {record.run_id} is {first.workflow}({value!r}), not {wanted}"
        case "signal" | "stray":
            if tables.signals(record.run_id)[record.subject] != 1:
                yield f"lost: signal {record.subject} is there {tables.signals(record.run_id)[record.subject]} times"
            elif record.call == "signal" and record.value not in (ENOUGH, *_returned(last)):
                yield f"lost: signal {record.subject} arrived and was not consumed"
        case "cancel":
            if not any(tables.is_cancelled_for(record.subject, run) for run in generations):
                yield f"lost: the cancellation of run {record.run_id}, which ended as {last.status}"
        case "update":
            if not _is_beginning(record.value, _returned(last)):
                yield f"lost: an update of run {record.run_id} gave {record.value!r}, and the run {_told(last)!r}"
        case "stream":
            if record.value != _told(last):
                yield f"lost: run {record.run_id} published {record.value!r}, and returned {_told(last)!r}"
        case "result":
            if record.value != _told(last):
                yield f"result: run {record.run_id} told {record.value!r}, and ended with {_told(last)!r}"


def _is_beginning(answer: object, returned: list[object]) -> bool:
    return isinstance(answer, list) and answer == returned[: len(answer)]


def _returned(run: StoredRun) -> list[object]:
    """Return the list that a run returned, an empty one for a run that did not."""
    found = msgspec.json.decode(run.ending.result) if isinstance(run.ending, e.RunCompleted) else None
    return found if isinstance(found, list) else []


def _told(run: StoredRun) -> object:
    """Return what a customer who waits for the run's result is told."""
    match run.ending:
        case e.RunCompleted(result=result):
            return msgspec.json.decode(result)
        case ending:
            return f"{type(ending).__name__}Error"


def _generation_laws(generations: list[StoredRun]) -> Iterator[str]:
    first, last = generations[0], generations[-1]
    if [run.generation for run in generations] != list(range(1, len(generations) + 1)):
        yield f"history: run {first.id} has the generations {[run.generation for run in generations]}"
    if [run.latest for run in generations] != [0] * (len(generations) - 1) + [1]:
        yield f"history: run {first.id} has more than one latest generation"
    if first.workflow == "kill_generations" and first.created is not None and isinstance(last.ending, e.RunCompleted):
        value = argument_of(first.created)
        if (returned := msgspec.json.decode(last.ending.result)) != KINDS[first.workflow].result(value):
            yield f"result: run {first.id}, begun with {value}, gave {returned!r}"


def argument_of(created: e.RunCreated) -> Any:  # noqa: ANN401 - what the portfolio draws
    """Return what a run was started with."""
    args, _ = default_registry.workflow(created.workflow, created.definition_version).signature.decode_arguments(
        created.input
    )
    return args[0]
