"""Trials: the same plan takes the same course, the engine passes, and the oracle sees what it must."""

import pytest

from perdure.kernel import events as e
from perdure.kernel.history import RecordedEvent, encode_event
from perdure.kernel.identity import Operation, RunKey
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


def ended(workload: str) -> Trial:
    trial = Trial(Plan(workload=workload, seed=1))
    assert trial.run(None).findings == ()
    return trial


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


def test_the_oracle_sees_what_is_missing_from_the_tables() -> None:
    other = undisturbed("retries").canon
    (finding, *_) = run_trial(Plan(workload="sequential", seed=1), other).findings
    assert "missing" in finding
