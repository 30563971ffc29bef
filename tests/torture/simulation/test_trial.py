"""Trials: the same plan takes the same course, the engine passes, and the oracle sees what it must."""

import gc

import msgspec
import pytest

from perdure.kernel import events as e
from perdure.kernel.history import RecordedEvent, encode_event
from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.time import Timestamp
from perdure.torture.simulation.campaign import examine, run_campaign, undisturbed
from perdure.torture.simulation.laws import broken_laws
from perdure.torture.simulation.plans import Plan, parse_plan
from perdure.torture.simulation.trial import Trial, run_trial
from perdure.torture.simulation.workloads import WORKLOADS


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_an_undisturbed_workload_ends_as_it_must(name: str) -> None:
    assert undisturbed(name).findings == ()


@pytest.mark.parametrize("line", ["crowd/5/2c/crash@20:0.5,pause@60:25", "signals/3/1e/outage@4:3,restart@9:0.01"])
def test_the_same_plan_takes_the_same_course(line: str) -> None:
    first, second = run_trial(parse_plan(line)), run_trial(parse_plan(line))
    assert first == second


def test_two_hundred_plans_break_nothing() -> None:
    done, violations = run_campaign(count=200, seed=20, processes=1)
    assert [str(violation) for violation in violations] == []
    assert done == 200


def test_a_paused_worker_is_fenced_and_the_run_goes_on_elsewhere() -> None:
    assert examine(parse_plan("sequential/1/2c/pause@6:40")) is None


def test_a_worker_that_is_paused_after_the_end_has_time_to_notice_what_it_lost() -> None:
    assert examine(parse_plan("catching/782530832/2e/pause@9:25,pause@33:40,pause@54:40")) is None


def ended(workload: str) -> Trial:
    trial = Trial(Plan(workload=workload, seed=1))
    assert trial.run(None).findings == ()
    return trial


def test_trials_leave_nothing_behind() -> None:
    lines = [f"retries/{seed}/2e/crash@{at}:0.5" for seed in range(2) for at in range(3, 30, 3)]
    for line in lines:
        run_trial(parse_plan(line))
    while gc.collect():  # what coroutines held is found only after they are gone
        pass
    left = [thing for thing in gc.get_objects() if type(thing) is Trial]
    assert left == []


def test_the_oracle_sees_an_event_after_the_end() -> None:
    trial = ended("sequential")
    rows = trial.database.events[RunKey(1)]
    last = trial.tables.history(RunKey(1))[-1]
    rows.append(
        encode_event(RecordedEvent(last.sequence + 1, last.at, e.TraceEventRecorded(operation=Operation(99), name="x")))
    )
    assert any("not legal" in law for law in broken_laws(trial))
    trial.dispose()


def test_the_oracle_sees_a_lost_event() -> None:
    trial = ended("sequential")
    del trial.database.events[RunKey(1)][2]
    trial.tables.forget()
    assert any("gaps" in law for law in broken_laws(trial))
    trial.dispose()


def test_the_oracle_sees_a_row_that_says_something_else() -> None:
    trial = ended("sequential")
    trial.database.runs[RunKey(1)].progress = 0.25
    assert any("progress" in law for law in broken_laws(trial))
    trial.dispose()


def test_the_oracle_sees_a_lost_acknowledgement() -> None:
    trial = ended("signals")
    trial.database.generations.clear()
    assert any("is lost" in law for law in broken_laws(trial))
    trial.dispose()


def test_the_oracle_sees_a_retry_that_is_early_or_late() -> None:
    trial = ended("retries")
    rows = trial.database.events[RunKey(1)]
    place, failed = next(
        (number, recorded)
        for number, recorded in enumerate(trial.tables.history(RunKey(1)))
        if isinstance(recorded.event, e.ActivityAttemptFailed)
    )
    assert isinstance(failed.event, e.ActivityAttemptFailed)
    for seconds, what in ((3, "early"), (-3, "late")):
        moved = Timestamp(failed.event.next_attempt_at + seconds * 1_000_000)
        event = msgspec.structs.replace(failed.event, next_attempt_at=moved)
        rows[place] = encode_event(RecordedEvent(failed.sequence, failed.at, event))
        trial.tables.forget()
        assert any("attempt 2" in law and law.endswith(what) for law in broken_laws(trial)), what
    trial.dispose()


def test_the_oracle_sees_an_attempt_that_its_owner_made_twice() -> None:
    trial = ended("sequential")
    trial.effects.append(trial.effects[0])
    assert any("2 effects under one fencing token" in law for law in broken_laws(trial))
    trial.dispose()


def test_crashes_also_strike_while_a_run_is_recovered() -> None:
    trial = Trial(parse_plan("sequential/7/1e/crash@6:0.5"))
    assert trial.run(None).findings == ()
    assert {"after opening", "after claim", "while loading"} <= set(trial.world.point_names[7:])
    trial.dispose()


DIFFERENCES = {
    "the runs": "UPDATE runs SET stage = 'another'",
    "the histories": "UPDATE history SET at = at + 1 WHERE sequence = 1",
    "the inboxes": "INSERT INTO inbox (run_key, message_id, data, at) VALUES (1, 'm', '{}', 1)",
    "the requests": "UPDATE runs SET request_id = 'r'",
    "the sessions": "INSERT INTO sessions VALUES (99, 'x', 1, 1, 1, 1, 1)",
    "the runs whose owners died": "UPDATE runs SET recovering = 1",
}


@pytest.mark.parametrize(("what", "damage"), DIFFERENCES.items(), ids=DIFFERENCES)
def test_the_oracle_sees_where_the_tables_in_sqlite_differ(what: str, damage: str) -> None:
    trial = ended("sequential")
    trial.shadow.connection.execute(damage)
    trial.shadow.compare_tables()
    [finding] = trial.world.findings
    assert finding.startswith(f"SQLite differs in {what}: ")
    trial.dispose()


@pytest.mark.parametrize(
    ("what", "damage"),
    [
        ("a look-up", "CREATE TRIGGER t AFTER INSERT ON history BEGIN UPDATE runs SET owner = 9; END"),
        ("a commit", "CREATE TRIGGER t AFTER INSERT ON runs BEGIN SELECT RAISE(FAIL, 'no'); END"),
    ],
)
def test_the_oracle_sees_where_sqlite_answers_otherwise(what: str, damage: str) -> None:
    trial = Trial(Plan(workload="signals", seed=1))
    trial.shadow.connection.execute(damage)
    [finding] = trial.run(None).findings
    assert finding.startswith(f"SQLite differs in {what}: ")
    trial.dispose()


def test_the_oracle_sees_what_is_missing_from_the_tables() -> None:
    other = undisturbed("retries").canon
    (finding, *_) = run_trial(Plan(workload="sequential", seed=1), other).findings
    assert "missing" in finding
