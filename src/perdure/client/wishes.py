"""What is wished of a retry, a reset or a fork, before anybody looks at a history; `perdure.client.forking` does it."""

from datetime import datetime
from typing import TypedDict

import msgspec

from perdure.authoring.arguments import require_moment, require_text
from perdure.errors import InvalidArgumentError, RunClosedError
from perdure.kernel.fork_facts import ForkCause
from perdure.kernel.identity import RunKey
from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunSummary

__all__ = ["ForkOptions", "Listed", "Point", "Wish", "require_sound"]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """From where a run is to go on; at most one is given. None at all: before the step that failed it, or where it
    stands."""

    event: int | None = None
    stage: str | None = None
    activity: str | None = None
    before: datetime | None = None

    def require_sound(self) -> None:
        """Raise InvalidArgumentError for two points, or one of a wrong type."""
        given = {n: value for n in ("event", "stage", "activity", "before") if (value := getattr(self, n)) is not None}
        if len(given) > 1:
            message = f"{' and '.join(given)} are given; say one point from which the run is to go on"
            raise InvalidArgumentError(message)
        if self.event is not None and (type(self.event) is not int or self.event < 1):
            message = f"event is {self.event!r:.60}; it must be the number of an event, from 1"
            raise InvalidArgumentError(message)
        for name in (self.stage, self.activity):
            if name is not None:
                require_text(name, "the name of a stage or an activity")
        if self.before is not None:
            require_moment(self.before, "before")


class ForkOptions(TypedDict, total=False):
    """From where a run is to go on (one of the first four), and how.

    `event`: after this event. `stage`, `activity`: before the run entered or called the last one of this name.
    `before`: after what was recorded before this moment. None of them: before the step that failed it, else where it
    stands. `version`: which one of the workflow goes on (the same). `reapply_signals`: whether it receives those again
    that came later. `by`: whose wish it is.
    """

    event: int | None
    stage: str | None
    activity: str | None
    before: datetime | None
    version: str | None
    reapply_signals: bool
    by: str


class Wish(msgspec.Struct, frozen=True):
    """What a caller wants: why, from where, as which run (`id`, for a fork), with which version of the workflow."""

    cause: ForkCause
    point: Point = Point()
    id: str = ""
    reason: str = ""
    by: str = ""
    version: str | None = None
    reapplies_signals: bool = True

    @classmethod
    def of(
        cls,
        cause: ForkCause,
        reason: str,
        *,
        id: str = "",
        event: int | None = None,
        stage: str | None = None,
        activity: str | None = None,
        before: datetime | None = None,
        version: str | None = None,
        reapply_signals: bool | None = None,
        by: str = "",
    ) -> "Wish":
        """Return the wish of a call with `ForkOptions`. Signals come again by default, except in a fork."""
        reapplies = cause is not ForkCause.FORK if reapply_signals is None else reapply_signals
        point = Point(event=event, stage=stage, activity=activity, before=before)
        return cls(cause, point=point, id=id, reason=reason, by=by, version=version, reapplies_signals=reapplies)


class Listed(msgspec.Struct, frozen=True):
    """Which generation of a run is meant, and in which statuses: as it was when it was found among others."""

    run_key: RunKey
    statuses: frozenset[RunStatus]

    def require(self, row: RunSummary) -> None:
        """Raise RunClosedError if the id has another generation by now, or this one has ended as is not meant."""
        if row.run_key != self.run_key:
            message = f"the run that was listed has ended since: its id goes on as run {row.ref}, which was left alone"
            raise RunClosedError(message)
        if row.status not in self.statuses:
            message = f"run {row.ref} is {row.status} since it was listed; it was left alone"
            raise RunClosedError(message)


def require_sound(wish: Wish, request_id: str) -> None:
    """Raise InvalidArgumentError for what is wrong with a wish, whichever run it is about."""
    for text, what in ((wish.reason, "the reason"), (wish.by, "by (whose wish it is)"), (request_id, "request_id")):
        require_text(text, what)
    if wish.version is not None:
        require_text(wish.version, "version")
    wish.point.require_sound()
