"""Courses: what came of one pass over a scenario, and what is wrong with it, compared with another one."""

import difflib
from collections import Counter
from collections.abc import Iterator

import msgspec

from perdure.kernel.events import ActivityAttemptStarted
from perdure.kernel.history import RecordedEvent, decode_event
from perdure.kernel.identity import RunRef
from perdure.stores.memory import MemoryDatabase
from perdure.testing.environment import TestEnvironment
from perdure.testing.normal_form import normal_history

__all__ = ["Attempt", "Course"]


class Attempt(msgspec.Struct, frozen=True):
    """Which attempt of which call, in which generation of which run."""

    run_id: str
    generation: int
    operation: int
    attempt: int

    def __str__(self) -> str:
        """Render as a message does."""
        return f"attempt {self.attempt} of call {self.operation} in run {self.run_id}"


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What the scenario returned or raised, each run's normal history, and how often each attempt was made.

    `at_most_once` are the attempts that are not to be made again; `has_lost_attempt` says that one of them was lost.
    """

    outcome: object
    histories: dict[str, list[str]]
    attempts: dict[tuple[str, Attempt], int]
    at_most_once: frozenset[Attempt]
    has_lost_attempt: bool

    @classmethod
    def of(cls, environment: TestEnvironment, outcome: object) -> "Course":
        """Take down what has become of an environment in memory."""
        events = dict(_histories(environment.database))
        return cls(
            outcome=outcome,
            histories={_name(ref): normal_history(history, in_order=False) for ref, history in events.items()},
            attempts=dict(
                Counter(
                    (made.activity, Attempt(made.run_id, made.generation, made.operation, made.attempt))
                    for made in environment.calls()
                )
            ),
            at_most_once=frozenset(
                Attempt(ref.id, ref.generation, recorded.event.operation, recorded.event.attempt)
                for ref, history in events.items()
                for recorded in history
                if isinstance(recorded.event, ActivityAttemptStarted)
            ),
            has_lost_attempt=any("WorkerLostError" in str(each.event) for one in events.values() for each in one),
        )

    def problems(self, expected: "Course", *, most_often: int | None) -> list[str]:
        """Return what is wrong with it. `most_often`: how often one attempt may have been made; None: any number.

        Where an at-most-once attempt was lost the scenario may have ended otherwise, so only effects are compared.
        """
        found = [*self._effects_too_often(most_often)]
        if self.has_lost_attempt and not expected.has_lost_attempt:
            return found
        if isinstance(self.outcome, BaseException):
            found.append(f"it raises {type(self.outcome).__name__}: {self.outcome}")
        elif self.outcome != expected.outcome:
            found.append(f"it returns {self.outcome!r}; undisturbed it returns {expected.outcome!r}")
        for name in sorted(self.histories.keys() | expected.histories.keys()):
            found.extend(_differences(name, self.histories.get(name, []), expected.histories.get(name, [])))
        return found

    def _effects_too_often(self, most_often: int | None) -> Iterator[str]:
        for (activity, attempt), count in self.attempts.items():
            if count > 1 and attempt in self.at_most_once:
                yield f"the at-most-once activity {activity} was called {count} times for {attempt}"
            elif most_often is not None and count > most_often:
                yield f"activity {activity} was called {count} times for {attempt}: more often than deaths explain"


def _differences(name: str, now: list[str], then: list[str]) -> Iterator[str]:
    if now != then:
        diff = difflib.unified_diff(then, now, "undisturbed", "this time", lineterm="", n=0)
        yield "\n".join([f"run {name} has another history (events in the order of their names):", *diff])


def _histories(database: MemoryDatabase) -> Iterator[tuple[RunRef, list[RecordedEvent]]]:
    for key, run in sorted(database.runs.items()):
        yield run.ref, [decode_event(*row) for row in database.events.get(key, [])]


def _name(ref: RunRef) -> str:
    return f"{ref.namespace}/{ref.id}, generation {ref.generation}"
