"""Ledgers: files of JSON lines that several processes append to, and that outlive all of them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from perdure.authoring.activity_context import Attempt, current_attempt

__all__ = ["EFFECTS_VARIABLE", "SEVERED", "Effect", "Note", "Severance", "append", "effect", "read"]

EFFECTS_VARIABLE: Final = "PERDURE_TORTURE_EFFECTS"
"""The environment variable that names the file of effects: the one thing that activities know of the world."""

SEVERED: Final = "severed"
"""The name of the file of severances."""

R = TypeVar("R", bound=msgspec.Struct)


class Effect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One execution of an activity's body. `at` is when it happened, in microseconds since the epoch.

    `lock` is the key that its run holds against all others meanwhile, if any, and `lock_token` the fencing token of it.
    """

    run_id: str
    activity: str
    operation: int
    attempt: int
    key: str
    fencing_token: int
    process: int
    at: int
    lock: str = ""
    lock_token: int = 0


class Severance(msgspec.Struct, frozen=True):
    """A time in which a process may go on with what others do by then, and not know it, in microseconds since the
    epoch: the effects of its activities come late then, which fencing tokens are for."""

    process: int
    since: int
    until: int

    def covers(self, effect: Effect) -> bool:
        """Whether an effect is one of that process in that time."""
        return effect.process == self.process and self.since <= effect.at <= self.until


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a customer knows of a call. `asked` stands before it, `done` after its answer.

    `refused` stands after an error that says that nothing was done, `failed` after any other, `late` where no answer
    came in the calm. `subject` tells the signals and updates of a run apart, and is a cancellation's reason. `value` is
    the argument of a start, the body of a signal or an update, what an update was answered, what a run has published,
    the result that the customer was given, or the error. `at`: when the answer had come, in microseconds since the
    epoch.
    """

    call: Literal["start", "signal", "stray", "update", "cancel", "stream", "result", "settle"]
    state: Literal["asked", "done", "refused", "failed", "late"]
    run_id: str
    workflow: str = ""
    subject: str = ""
    value: object = None
    at: int = 0


def effect(*, lock: str = "", lock_token: int = 0) -> Attempt:
    """Write down that the activity that is running has its effect, perhaps within a lock; return its attempt."""
    attempt = current_attempt()
    record = Effect(
        run_id=attempt.run_id,
        activity=attempt.activity,
        operation=attempt.operation,
        attempt=attempt.attempt,
        key=attempt.idempotency_key,
        fencing_token=attempt.fencing_token,
        process=os.getpid(),
        at=time.time_ns() // 1_000,
        lock=lock,
        lock_token=lock_token,
    )
    append(Path(os.environ[EFFECTS_VARIABLE]), record)
    return attempt


def append(path: Path, record: msgspec.Struct) -> None:
    """Add one line in one write, and sync it. What a kill has left of another, in the middle of it, ends before."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, b"\n" + msgspec.json.encode(record) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path, kind: type[R]) -> Iterator[R]:
    """Yield the records of a file, which may be missing. Of what is a part of a line its process has never known."""
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            yield msgspec.json.decode(line, type=kind)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            continue
