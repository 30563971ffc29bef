"""What `perdure replay` found, at the lines of code that it is about.

Histories that differ at the same line are one finding: a change that breaks a thousand runs is one change.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from perdure.cli.annotations import Annotation
from perdure.testing.replaying import Replayed, Verdict

__all__ = ["MEANINGS", "annotations_of", "code_of"]

MEANINGS: Final = {
    Verdict.DIFFERS: "The code asks for something else than a recorded history holds.",
    Verdict.NO_CODE: "No code is there for a recorded history.",
    Verdict.DAMAGED: "A recorded history cannot be read.",
}
"""What a verdict other than `same` says."""


def code_of(verdict: Verdict) -> str:
    """Return the name by which other tools know a verdict."""
    return f"replay-{verdict.value.replace(' ', '-')}"


def annotations_of(replayed: Iterable[Replayed]) -> list[Annotation]:
    """Return a finding for each line of code that some histories do not fit, and for each other trouble."""
    found: dict[tuple[str, ...], list[Replayed]] = {}
    for each in replayed:
        if each.verdict is not Verdict.SAME:
            found.setdefault((each.verdict, _place(each), each.problem), []).append(each)
    return [_annotation(alike) for alike in found.values()]


def _annotation(alike: Sequence[Replayed]) -> Annotation:
    first = alike[0]
    others = "" if len(alike) == 1 else f" and {len(alike) - 1} more"
    what = f"{first.workflow or 'a history'}: {first.name}{others}: {_what(first)}"
    path, _, line = _place(first).rpartition(":")
    number = int(line or 1)
    return Annotation(code=code_of(first.verdict), text=what, path=_relative(path), line=number, end_line=number)


def _what(replayed: Replayed) -> str:
    if replayed.verdict is not Verdict.DIFFERS:
        return replayed.problem
    return (
        f"at event {replayed.at_event} the history holds {replayed.recorded}; the code asks for {replayed.actual}. "
        f"{replayed.advice}"
    )


def _place(replayed: Replayed) -> str:
    """Return the line that a replay is about, as ``file:line``; of a saved history that is damaged, its first."""
    if replayed.verdict is Verdict.DAMAGED and Path(replayed.name).is_file():
        return f"{replayed.name}:1"
    return replayed.location or replayed.defined_at


def _relative(path: str) -> str:
    """Return a path as seen from the working directory, which in continuous integration is the repository."""
    folder = Path.cwd()
    return str(Path(path).relative_to(folder)) if path and Path(path).is_relative_to(folder) else path
