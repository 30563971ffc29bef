"""Golden histories: a history that is kept beside the tests, to which today's code must be faithful.

`assert_golden` compares the history of a run with the kept one in normal form, so that neither times nor workers
matter, and then replays the kept one against today's code. The file is what ``perdure history ID --export FILE`` saves:
``perdure replay`` and `assert_replays` read it, too.
"""

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path

from perdure.authoring.registry import Registry
from perdure.kernel.history import RecordedEvent
from perdure.testing.histories import history_lines
from perdure.testing.history_files import history_text, read_history_file
from perdure.testing.normal_form import normal_history
from perdure.testing.replaying import Verdict, replay_history, replayed_text

__all__ = ["assert_golden"]


def assert_golden(
    history: Iterable[RecordedEvent], path: str | Path, *, update: bool = False, registry: Registry | None = None
) -> None:
    """Fail with a diff unless a history is that of the file; with `update`, write the file instead.

    `registry`: the definitions against which the kept history is replayed (all that are imported). Raises HistoryError
    for a file that cannot be read.
    """
    __tracebackhide__ = True
    events, file = list(history), Path(path)
    if update:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(history_text(events))
        return
    if not file.is_file():
        message = (
            f"there is no golden history {file}; look at this one and keep it with: pytest --perdure-update-golden"
        )
        raise AssertionError("\n".join([message, *_indented(events)]))
    kept = read_history_file(file)
    differences = list(_differences(kept, events, name=str(file)))
    if differences:
        hint = "if this run is right, keep its history with: pytest --perdure-update-golden"
        raise AssertionError("\n".join(["the history differs from the golden one", *differences, "", hint]))
    replayed = replay_history(kept, name=str(file), registry=registry)
    if replayed.verdict is not Verdict.SAME:
        raise AssertionError("\n".join(["the golden history does not replay", *replayed_text(replayed)]))


def _differences(kept: list[RecordedEvent], events: list[RecordedEvent], *, name: str) -> Iterator[str]:
    """Yield a diff of the lines that people read, or of all that is recorded where those are the same."""
    then, now = normal_history(kept, in_order=True), normal_history(events, in_order=True)
    if then == now:
        return
    read_then, read_now = history_lines(kept), history_lines(events)
    if read_then != read_now:
        then, now = read_then, read_now
    yield from difflib.unified_diff(then, now, name, "this run", lineterm="", n=2)


def _indented(events: list[RecordedEvent]) -> list[str]:
    return [f"    {line}" for line in history_lines(events)]
