"""Replaying recorded histories against today's code, and saying what differs. Nothing runs, nothing is written.

    from perdure.testing.replaying import assert_replays

    def test_histories_of_production_still_replay() -> None:
        assert_replays("tests/histories")

Histories are saved with ``perdure history ID --export FILE``; see `perdure.testing.history_files`.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from perdure.authoring.registry import Registry, default_registry
from perdure.errors import HistoryError, InvalidArgumentError, NonDeterminismError, UnknownWorkflowError
from perdure.execution.differences import lines_of, place_of, source_lines
from perdure.kernel.coroutine_program import CoroutineProgram
from perdure.kernel.events import RunCreated
from perdure.kernel.history import RecordedEvent
from perdure.kernel.replay import Replay
from perdure.kernel.standing import standing_of
from perdure.redaction import concealed
from perdure.testing.history_files import read_history_file
from perdure.testing.named_paths import is_file, is_folder

__all__ = [
    "Replayed",
    "Verdict",
    "assert_replays",
    "read_history_file",
    "replay_file",
    "replay_history",
    "replayed_text",
    "saved_histories",
]


class Verdict(StrEnum):
    """What came of a replay. `differs`: the code asks for something else than the history holds."""

    SAME = "same"
    DIFFERS = "differs"
    NO_CODE = "no code"
    DAMAGED = "damaged"


class Replayed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A replay of one history.

    Where it differs: at which event, what the history holds there (`recorded`), what the code asks for (`actual`), and
    where in the code, with the lines around, and what to do (`advice`). `problem` says what else is wrong.
    `defined_at` is where the workflow's function is (``file:line``): where the code asks for nothing, no line of it is
    to blame.
    """

    name: str
    workflow: str
    verdict: Verdict
    events: int
    at_event: int = 0
    recorded: str = ""
    actual: str = ""
    location: str = ""
    source: tuple[str, ...] = ()
    advice: str = ""
    problem: str = ""
    defined_at: str = ""


def assert_replays(*paths: str | Path, registry: Registry | None = None) -> None:
    """Fail unless today's code does what the saved histories hold, files or folders of ``*.jsonl``.

    Import the workflows' modules first. Raises InvalidArgumentError where there is no history.
    """
    files = saved_histories(map(Path, paths))
    replayed = [replay_file(file, registry=registry) for file in files]
    wrong = [each for each in replayed if each.verdict is not Verdict.SAME]
    if wrong:
        lines = (line for each in wrong for line in replayed_text(each))
        raise AssertionError("\n".join([f"{len(wrong)} of {len(files)} histories do not replay", *lines]))


def saved_histories(paths: Iterable[Path]) -> list[Path]:
    """Return the files that paths name, of a folder its ``*.jsonl``. Raises InvalidArgumentError if there is none."""
    given = list(paths)
    files = [file for path in given for file in (sorted(path.rglob("*.jsonl")) if is_folder(path) else [path])]
    missing = next((file for file in files if not is_file(file)), None)
    if missing is not None or not files:
        what = (
            f"there is no file {missing!s:.300}"
            if missing
            else f"no *.jsonl is in {', '.join(map(str, given)) or 'nothing'}"
        )
        message = f"{what}; save a history with: perdure history ID --export FILE.jsonl"
        raise InvalidArgumentError(message)
    return files


def replay_file(file: Path, *, registry: Registry | None = None) -> Replayed:
    """Replay a saved history; one that cannot be read is damaged."""
    try:
        return replay_history(read_history_file(file), name=str(file), registry=registry)
    except HistoryError as error:
        return Replayed(name=str(file), workflow="", verdict=Verdict.DAMAGED, events=0, problem=str(error))


def replay_history(history: Iterable[RecordedEvent], *, name: str = "", registry: Registry | None = None) -> Replayed:
    """Replay one history against the definitions of `registry` (all that are imported)."""
    events = list(history)
    created, standing = events[0].event if events else None, standing_of(recorded.event for recorded in events)
    if not isinstance(created, RunCreated) or standing is None:
        return Replayed(
            name=name, workflow="", verdict=Verdict.DAMAGED, events=len(events), problem="it begins with no run_created"
        )
    about: dict[str, Any] = {"name": name or standing.ref.id, "workflow": created.workflow, "events": len(events)}
    known = registry or default_registry
    try:
        definition = known.workflow(standing.workflow, standing.definition_version)
    except UnknownWorkflowError as error:
        return Replayed(**about, verdict=Verdict.NO_CODE, problem=str(error))
    program = CoroutineProgram(definition.entry(known), created, on_error=lambda _message, _error: None)
    replay = Replay(program, conceal=concealed)
    try:
        replay.take(events)
        replay.finish()
    except NonDeterminismError as error:
        return Replayed(
            **about,
            verdict=Verdict.DIFFERS,
            at_event=error.sequence,
            recorded=error.recorded,
            actual=error.actual,
            location=error.location or "",
            defined_at=place_of(definition.function),
            source=tuple(source_lines(error.location)),
            advice=error.advice,
        )
    except HistoryError as error:
        return Replayed(**about, verdict=Verdict.DAMAGED, problem=str(error))
    finally:
        replay.feed.program.close()
    return Replayed(**about, verdict=Verdict.SAME)


def replayed_text(replayed: Replayed) -> Iterator[str]:
    """Yield the lines that tell people what came of a replay."""
    yield f"{replayed.name} ({replayed.workflow or '?'}, {replayed.events} events): {replayed.verdict}"
    if replayed.verdict is Verdict.DIFFERS:
        place, source = replayed.location, replayed.source
        told = lines_of(
            replayed.at_event, replayed.recorded, replayed.actual, place, source=source, advice=replayed.advice
        )
        yield from (f"  {line}" for line in told)
    elif replayed.problem:
        yield f"  {replayed.problem}"
