"""Standing: who a run is. Its `RunCreated` says so; a fork has a copy of that, and its last `RunForked` says more."""

from collections.abc import Iterable

from msgspec import structs

from perdure.kernel import events as e

__all__ = ["as_fork", "standing_of"]


def as_fork(created: e.RunCreated, fork: e.RunForked) -> e.RunCreated:
    """Return what a run is from `fork` on, which was `created` before: with names, a chance, a version, a deadline
    and a parent of its own."""
    return structs.replace(
        created,
        ref=fork.ref,
        seed=fork.seed,
        call_name=fork.call_name,
        definition_version=fork.definition_version,
        stages=fork.stages,
        deadline_at=fork.deadline_at,
        deadline_of="",
        parent=fork.parent,
    )


def standing_of(history: Iterable[e.Event]) -> e.RunCreated | None:
    """Return what a run is after these events; None if they do not begin with its creation. Complexity: linear."""
    standing: e.RunCreated | None = None
    for event in history:
        if standing is None:
            if not isinstance(event, e.RunCreated):
                return None
            standing = event
        elif type(event) is e.RunForked:
            standing = as_fork(standing, event)
    return standing
