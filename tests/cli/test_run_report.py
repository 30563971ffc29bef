from perdure.cli.run_report import RunReport
from perdure.errors import PerdureError
from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import FencingToken, Operation, RunKey, RunRef
from perdure.kernel.payload import NULL
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunSummary

REF = RunRef(id="order-1")
FAILURE = Failure(type="Boom", message="it broke")


def report_of(*events: e.Event) -> RunReport:
    summary = RunSummary(
        run_key=RunKey(1), ref=REF, workflow="w", definition_version="1", status=RunStatus.RUNNING, stage="",
        progress=0.0, priority=Priority.NORMAL, tenant="", labels={}, parent_key=None, created_at=Timestamp(0),
        started_at=None, updated_at=Timestamp(0), closed_at=None, sequence=len(events), owner=None,
        fencing_token=FencingToken(0), wake_at=None,
    )  # fmt: skip
    report = RunReport(summary=summary)
    begin = (e.RunCreated(workflow="w", ref=REF, input=NULL, seed=1), e.RunStarted(worker="w1"))
    report.add([RecordedEvent(n, Timestamp(n), event) for n, event in enumerate((*begin, *events), start=1)])
    return report


def scheduled(operation: int, activity: str, *, compensates: int = 0) -> e.Event:
    return e.ActivityScheduled(
        operation=Operation(operation), activity=activity, input=NULL, compensates=Operation(compensates)
    )


def test_attempts_and_retries_are_counted_over_all_activities() -> None:
    report = report_of(
        scheduled(1, "pay"),
        e.ActivityAttemptFailed(operation=Operation(1), attempt=1, failure=FAILURE, next_attempt_at=Timestamp(50)),
        e.ActivityCompleted(operation=Operation(1), attempt=2),
        scheduled(2, "ship"),
        e.ActivityFailed(operation=Operation(2), failure=FAILURE),
    )
    assert (report.attempts, report.retries) == (3, 1)
    assert report.last_failure is not None
    assert report.last_failure.subject == "ship, attempt 1"


def test_compensations_that_are_done_are_named() -> None:
    report = report_of(
        scheduled(1, "pay"),
        e.ActivityCompleted(operation=Operation(1)),
        e.CompensationStarted(operation=Operation(2), steps=1),
        scheduled(3, "refund", compensates=1),
        e.ActivityCompleted(operation=Operation(3)),
    )
    assert report.undone == ["refund"]


def test_the_stage_reached_stays_when_the_stage_has_ended() -> None:
    report = report_of(
        e.StageStarted(operation=Operation(1), name="pay"), e.StageFailed(operation=Operation(1), failure=FAILURE)
    )
    assert report.stage_reached == "pay"
    assert report.state.stage == ""


def test_a_child_is_reported_with_its_end() -> None:
    report = report_of(
        e.ChildRequested(operation=Operation(1), workflow="c", child=RunRef(id="child"), input=NULL),
        e.ChildStarted(operation=Operation(1), run_key=7),
        e.ChildFailed(operation=Operation(1), outcome=e.ChildOutcome.TERMINATED, failure=FAILURE),
    )
    assert report.children[1].outcome == "terminated"


def test_an_error_of_the_command_line_belongs_to_the_tree() -> None:
    from perdure.cli.exits import ExitCode, NoDatabaseError, exit_code_of

    assert issubclass(NoDatabaseError, PerdureError)
    assert exit_code_of(NoDatabaseError("none")) is ExitCode.ERROR
