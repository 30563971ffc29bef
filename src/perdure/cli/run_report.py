"""What a run's row and history say together: the folded state, and the facts that the fold lets go of."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from perdure.cli.printing import progress_shown
from perdure.errors import RunNotFoundError
from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunRef
from perdure.kernel.state import RunState, fold
from perdure.kernel.time import Timestamp
from perdure.ports.store import RunStore, RunSummary

__all__ = ["ChildReport", "FailureReport", "RunReport", "find_run", "follow_report", "read_pages", "read_report"]

_PAGE_EVENTS = 1_000


@dataclass(frozen=True, kw_only=True)
class FailureReport:
    """The last failure: what failed (an activity with its attempt, a stage, the run), when, and how."""

    subject: str
    at: Timestamp
    failure: Failure


@dataclass(kw_only=True)
class ChildReport:
    """A child run and what became of it, as far as its parent knows."""

    ref: RunRef
    workflow: str
    outcome: str = "open"


@dataclass(kw_only=True)
class RunReport:
    """A run as of now. `attempts` counts attempts of activities that ended or failed, `retries` those made again.
    `worker`: how the one is called that began it. `heartbeats`: when the last one of each activity was recorded."""

    summary: RunSummary
    state: RunState = field(default_factory=RunState)
    stage_reached: str = ""
    worker: str = ""
    attempts: int = 0
    retries: int = 0
    undone: list[str] = field(default_factory=list)
    children: dict[int, ChildReport] = field(default_factory=dict)
    last_failure: FailureReport | None = None
    heartbeats: dict[int, Timestamp] = field(default_factory=dict)
    _activities: dict[int, e.ActivityScheduled] = field(default_factory=dict)

    def add(self, page: list[RecordedEvent]) -> None:
        """Take in the next events."""
        self.state = fold(self.state, page)
        for recorded in page:
            self._add(recorded.event, recorded.at)

    def _add(self, event: e.Event, at: Timestamp) -> None:
        match event:
            case e.RunStarted(worker=worker):
                self.worker = worker
            case e.StageStarted(name=name):
                self.stage_reached = name
            case e.ActivityScheduled(operation=operation):
                self._activities[operation] = event
            case e.ActivityHeartbeatRecorded(operation=operation):
                self.heartbeats[operation] = at
            case e.ActivityAttemptFailed(operation=operation, attempt=attempt, failure=failure):
                self.attempts += 1
                self.retries += 1
                self._failed(f"{self._activity(operation)}, attempt {attempt}", at, failure)
            case e.ActivityCompleted(operation=operation):
                self.attempts += 1
                if self._activities[operation].compensates:
                    self.undone.append(self._activity(operation))
            case e.ActivityFailed(operation=operation, attempt=attempt, failure=failure):
                self.attempts += 1
                self._failed(f"{self._activity(operation)}, attempt {attempt}", at, failure)
            case e.ActivityTimedOut(operation=operation, attempt=attempt, timeout=timeout):
                self.attempts += 1
                failure = Failure(type="ActivityTimeout", message=f"exceeded {timeout}")
                self._failed(f"{self._activity(operation)}, attempt {attempt}", at, failure)
            case e.ChildRequested(operation=operation, child=ref, workflow=workflow):
                self.children[operation] = ChildReport(ref=ref, workflow=workflow)
            case e.ChildCompleted(operation=operation):
                self.children[operation].outcome = "completed"
            case e.ChildFailed(operation=operation, outcome=outcome, failure=failure):
                self.children[operation].outcome = outcome
                self._failed(f"child run {self.children[operation].ref.id}", at, failure)
            case e.ChildCancelled(operation=operation):
                self.children[operation].outcome = "given up"
            case e.RunFailed(failure=failure) if self.last_failure is None:
                self._failed("the run", at, failure)
            case _:
                pass

    def _activity(self, operation: int) -> str:
        return self._activities[operation].activity

    def _failed(self, subject: str, at: Timestamp, failure: Failure) -> None:
        self.last_failure = FailureReport(subject=subject, at=at, failure=failure)


async def find_run(store: RunStore, ref: RunRef, *, latest: bool = True) -> RunSummary:
    """Return a run's row. Raises RunNotFoundError, which names runs of which it may be a part."""
    summary = await store.find(ref, latest=latest)
    if summary is None:
        message = f"there is no run {ref} in {store.location}"
        raise RunNotFoundError(message)
    return summary


async def read_pages(store: RunStore, summary: RunSummary, *, after: int = 0) -> AsyncIterator[list[RecordedEvent]]:
    """Yield a run's events in pages, up to the sequence that its row had."""
    while after < summary.sequence:
        limit = min(_PAGE_EVENTS, summary.sequence - after)
        page = await store.read_history(summary.run_key, after=after, limit=limit)
        if not page:
            return
        yield page
        after = page[-1].sequence


async def read_report(store: RunStore, summary: RunSummary) -> RunReport:
    """Return the report of a run from its whole history."""
    report = RunReport(summary=summary)
    await follow_report(store, report, summary)
    return report


async def follow_report(store: RunStore, report: RunReport, summary: RunSummary) -> None:
    """Bring a report up to date with a newer row of its run."""
    with progress_shown("reading the history", summary.sequence - report.state.sequence) as tell:
        async for page in read_pages(store, summary, after=report.state.sequence):
            report.add(page)
            tell(report.state.sequence)
    report.summary = summary
