"""What is done about a clock that was set back: one decision for all stores, which carry out its steps.

A store notes the latest time that any renewal has brought. A call that brings an earlier one may be of a clock that was
set back, or may only come late, since its process stood still after it had looked at the clock. What waits for no time
of its own is hastened for either: that harms nobody. Leases are cut only where it is certain: a session that brings
less than what was noted already when it began, or last renewed its lease, has looked at the clock after that.

Rejected: to be certain with the second call that brings an earlier time. All calls of a process that stood still do, as
do those of all processes on a machine that did, and living owners lost their runs for it.
"""

from enum import Enum, auto

from perdure.kernel.time import Timestamp

__all__ = ["Step", "heed"]


class Step(Enum):
    """What to do, about `now` and the latest time that is noted."""

    HASTEN = auto()
    """Let what waits for no time of its own, and is due up to a lease after the latest time, be due now."""

    CUT_LEASES = auto()
    """Let each lease last no longer than its own length from now."""

    NOTE_SETTING_BACK = auto()
    """Note that the clock was seen set back now, in place of what is noted of that."""

    FORGET_SETTING_BACK = auto()
    """Forget that the clock was set back."""

    NOTE_TIME = auto()
    """Note now as the latest time, which is earlier."""

    SET_TIME_BACK = auto()
    """Note now as the latest time, which is later."""


def heed(
    *,
    now: Timestamp,
    latest_time: Timestamp,
    set_back_at: Timestamp | None,
    known_time: Timestamp | None,
    lease_microseconds: int,
    apart_microseconds: int = 0,
) -> tuple[Step, ...]:
    """Return what to do, in this order, for a claim or a renewal of a lease that brings `now`.

    `latest_time` and `set_back_at` (None: it was not) are what is noted. `known_time` is the latest time that was noted
    when the session began or last renewed its lease, before it was asked to; None: this is a claim. What was decided by
    the clock from before may be committed for a lease after it was set back: so each renewal hastens again until then,
    and cuts. A clock that is behind by `apart_microseconds` or less is only another session's.
    """
    if latest_time <= now + apart_microseconds:
        forgetting = (Step.FORGET_SETTING_BACK,) if set_back_at is not None else ()
        # It is noted with each renewal, of which there are several in a lease: so it was set forward since the last.
        return (*forgetting, Step.NOTE_TIME) if now - latest_time > lease_microseconds else forgetting
    is_noticed = set_back_at is not None and set_back_at <= now
    if is_noticed and known_time is None:
        return ()
    is_certain = known_time is not None and now + apart_microseconds < known_time <= latest_time
    steps = [Step.HASTEN, Step.CUT_LEASES] if is_certain else [Step.HASTEN]
    if set_back_at is None or now < set_back_at:
        steps.append(Step.NOTE_SETTING_BACK)
    elif is_certain and now - set_back_at > lease_microseconds:
        steps += [Step.SET_TIME_BACK, Step.FORGET_SETTING_BACK]
    return tuple(steps)
