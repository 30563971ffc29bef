"""Trials: the same plan takes the same course, the engine passes, and the oracle sees what it must."""

import gc
from collections.abc import Iterator
from itertools import accumulate, islice

import msgspec
import pytest

from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent, encode_event
from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.time import Timestamp
from perdure.torture.simulation.campaign import course_of, drawn_plans, examine, run_campaign, undisturbed
from perdure.torture.simulation.coverage import AFTER_A_DEATH, Coverage, demanded, struck_in
from perdure.torture.simulation.ending_laws import broken_ending_laws
from perdure.torture.simulation.kinds import VOCABULARY
from perdure.torture.simulation.laws import broken_laws
from perdure.torture.simulation.plans import Plan, Strike, StrikeKind, parse_plan
from perdure.torture.simulation.trial import Trial, run_trial
from perdure.torture.simulation.workloads import WORKLOADS
from perdure.torture.simulation.world import World


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_an_undisturbed_workload_ends_as_it_must(name: str) -> None:
    assert undisturbed(name).findings == ()


@pytest.mark.parametrize(
    "line",
    [
        "crowd/5/2c/crash@20:0.5,pause@60:25",
        "signals/3/1e/outage@4:3,restart@9:0.01",
        "crowd/893569/1e3/outage@32:3,crash@50:0.5",
        "crowd/5/3es/crash@40:0.5,pause@60:25",
    ],
)
def test_the_same_plan_takes_the_same_course(line: str) -> None:
    first, second = run_trial(parse_plan(line)), run_trial(parse_plan(line))
    assert first == second


def test_standbys_go_on_by_their_copies() -> None:
    for line, has_copies in (
        ("crowd/5/3es/crash@40:0.5,pause@60:25", True),
        ("crowd/5/3e/crash@40:0.5,pause@60:25", False),
    ):
        trial = Trial(parse_plan(line))
        assert trial.run(None).findings == ()
        assert any(worker.standby.taken_over for worker in trial._workers) == has_copies
        trial.dispose()


def test_as_many_commits_are_under_way_as_the_plan_says() -> None:
    for commits_at_once in (1, 2):
        course = run_trial(Plan(workload="locks", seed=1, commits_at_once=commits_at_once)).course
        names = [point.name for point in course if point.name.endswith(" commit")]
        under_way = accumulate(1 if name == "before commit" else -1 for name in names)
        assert max(under_way) == commits_at_once


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_a_plan_leaves_the_same_rows_each_time(name: str) -> None:
    plan = parse_plan(f"{name}/11/2c/crash@9:0.5,pause@20:25")
    assert rows_after(plan) == rows_after(plan)


def rows_after(plan: Plan) -> dict[str, list[dict[str, object]]]:
    """Return all rows, the histories among them, with the names that were left to chance."""
    trial = Trial(plan)
    trial.run(None)
    trial.dispose()
    return trial.database.dump()


@pytest.mark.parametrize(
    "line", ["crowd/5/2c/crash@20:0.5,pause@60:25", "turns/3/2e/crash@30:0.5,restart@70:1", "signals/3/1e/outage@4:3"]
)
def test_time_that_is_skipped_changes_nothing(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = parse_plan(line)
    verdict, rows = run_trial(plan), rows_after(plan)
    monkeypatch.setattr(World, "would_go_on", lambda _world, _process: False)
    assert run_trial(plan) == verdict
    assert rows_after(plan) == rows


def test_a_process_that_never_waits_is_noticed() -> None:
    world = World(Plan(workload="sequential", seed=1))
    process = world.add("restless", is_client=False)

    async def call_for_ever() -> None:
        while True:
            await process.lag()

    process.start(call_for_ever())
    assert not world.run(lambda: False)
    assert world.findings == ["the trial did not come to rest within 20000 callbacks"]
    process.dispose()


def test_plans_break_nothing() -> None:
    campaign = run_campaign(count=160, seed=20, processes=1)
    assert [str(violation) for violation in campaign.violations] == []
    assert campaign.done == 160


@pytest.mark.parametrize("seed", [20, 926001])
def test_every_kind_of_moment_is_struck_in_every_way_whatever_the_seed(seed: int) -> None:
    assert set(demanded(VOCABULARY - AFTER_A_DEATH)) - set(planned(seed=seed)) == set()


def test_what_only_a_death_brings_is_struck_by_a_second_crash_whatever_the_seed() -> None:
    coverage = Coverage()
    for plan in first_plans(seed=20):
        match plan.strikes:
            case (Strike(kind=StrikeKind.CRASH) as first, Strike(kind=StrikeKind.CRASH) as second):
                if second.at > first.at + 1:
                    examine(plan, coverage)
    assert [gap for gap in coverage.gaps() if gap.startswith("crash after crash: ")] == []


def planned(*, seed: int) -> Iterator[tuple[str, str]]:
    """Yield what the plans of a usual campaign strike for certain: a plan takes its course until its first strike, and
    where that was not to be the last point, another one comes."""
    for plan in first_plans(seed=seed):
        course = course_of(msgspec.structs.replace(plan, strikes=()))
        yield from struck_in([(strike, course[strike.at]) for strike in plan.strikes if strike.at < len(course)])


def first_plans(*, seed: int) -> Iterator[Plan]:
    return islice(drawn_plans(list(WORKLOADS), 2_000, seed), 1_000)


def test_a_paused_worker_is_fenced_and_the_run_goes_on_elsewhere() -> None:
    assert examine(parse_plan("sequential/1/2c/pause@6:40")) is None


def test_a_worker_that_is_paused_after_the_end_has_time_to_notice_what_it_lost() -> None:
    assert examine(parse_plan("catching/782530832/2e/pause@9:25,pause@33:40,pause@54:40")) is None


def test_what_a_renewal_hastens_after_the_clock_was_set_back_before_the_start_is_claimed() -> None:
    assert examine(parse_plan("heartbeats/90181/1e/jump@8:-3600,crash@6:0.5")) is None


def test_an_attempt_that_was_to_begin_when_its_process_stood_still_may_be_late() -> None:
    """Found by ``sim --ci --seed 270111``."""
    assert examine(parse_plan("codeless/450536/2c/pause@35:25")) is None


def test_a_claim_that_comes_late_since_its_process_stood_still_cuts_nobodys_lease() -> None:
    """Found by ``sim --count 1000000 --seed 20261127``."""
    assert examine(parse_plan("compensation/922737122/3e/pause@12:16")) is None


def test_who_asks_a_run_to_end_may_find_none_where_it_has_ended_and_was_removed_meanwhile() -> None:
    """Found by ``sim --count 1000000 --seed 20261127``."""
    assert examine(parse_plan("pruned/235025668/2e/cancel@58:0,crash@17:0.01")) is None


def test_a_run_whose_creation_waited_while_the_lease_was_lost_is_gone_on_with() -> None:
    """Found by ``sim --count 1000000 --seed 20261127``."""
    assert examine(parse_plan("players/982926978/1e/terminate@3:0,outage@2:0.3,pause@9:25")) is None


def test_a_process_that_has_stood_still_may_act_for_a_run_that_has_ended_elsewhere_and_was_removed() -> None:
    """Found by ``sim --count 1000000 --seed 20261127``."""
    assert examine(parse_plan("pruned/102761369/2e/pause@23:16,pause@68:25")) is None


def test_a_fork_of_a_run_that_was_ended_early_has_tokens_of_its_own() -> None:
    assert examine(parse_plan("told/176782410/3c/terminate@10:0,pause@28:16,crash@50:0.01")) is None


def test_who_waits_for_a_clock_that_was_set_back_twice_is_not_taken_for_restless() -> None:
    assert examine(parse_plan("schedule_buffered/5078/2c/jump@49:-3600,jump@22:-3600")) is None


def test_a_refusal_that_a_store_writes_by_itself_is_the_same_text_in_every_store() -> None:
    assert examine(parse_plan("locks/396500/1e/terminate@11:0")) is None


@pytest.mark.parametrize(
    "line",
    [
        "leaving/7/2c/cancel@30:0,crash@33:0.5",
        "compensation/7/1e/cancel@60:0",
        "schedule_buffered/7/2c/terminate@60:0",
        "told/622314/1e/cancel@9:0,crash@17:0.5",
        "rolling/960778/1e/cancel@42:0,crash@45:0.5",
    ],
)
def test_a_run_may_be_ended_early_whatever_it_is_about(line: str) -> None:
    assert examine(parse_plan(line)) is None


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


def judged(workload: str, run_id: str, *, without: type[e.Event]) -> list[str]:
    """Return what the laws of ends say of a run whose history lacks an event."""
    trial = ended(workload)
    [run] = trial.tables.generations(run_id)
    history = [one for one in trial.tables.history(run.run_key) if type(one.event) is not without]
    found = list(broken_ending_laws(trial, run.run_key, run, history))
    trial.dispose()
    return found


def test_the_oracle_sees_a_booking_that_stands_after_a_failure() -> None:
    (found,) = judged("compensation", "one", without=e.CompensationStepCompleted)
    assert "did not undo the operations" in found


def test_the_oracle_sees_an_update_without_an_answer() -> None:
    (found,) = judged("updated", "one", without=e.UpdateCompleted)
    assert "did not answer the updates" in found


def test_the_oracle_sees_a_parent_that_hears_too_late_of_its_child() -> None:
    found = judged("children", "one", without=e.ChildCompleted)
    assert found[0].startswith("of the end of its child default/child 1 it heard ")


@pytest.mark.parametrize(
    ("child", "what"), [("to cancel", "went on for"), ("to terminate", "went on for"), ("to live", "was told to end")]
)
def test_the_oracle_sees_a_child_that_does_not_follow_its_parent(child: str, what: str) -> None:
    trial = ended("leaving")
    [run] = trial.tables.generations(child)
    rows = trial.database.events[run.run_key]
    last = trial.tables.history(run.run_key)[-1]
    if child == "to live":
        rows[-1] = encode_event(RecordedEvent(last.sequence, last.at, e.RunTerminated(by="parent")))
    else:
        late = Timestamp(last.at + 5_000_000)
        rows[1:] = [encode_event(RecordedEvent(2, late, e.RunTerminated(by="parent")))]
    trial.tables.forget()
    assert any(f"default/{child} " in law and what in law for law in broken_laws(trial))
    trial.dispose()


def test_the_oracle_sees_an_attempt_that_was_given_up_though_it_was_heard_of() -> None:
    trial = ended("watched")
    rows = trial.database.events[RunKey(1)]
    history = trial.tables.history(RunKey(1))
    place = next(n for n, one in enumerate(history) if isinstance(one.event, e.ActivityCompleted))
    failed = e.ActivityAttemptFailed(
        operation=Operation(1), attempt=1, failure=Failure(type="x", message="x"), next_attempt_at=history[place].at
    )
    rows[place] = encode_event(RecordedEvent(history[place].sequence, history[place].at, failed))
    trial.tables.forget()
    assert any("s of silence" in law for law in broken_laws(trial))
    trial.dispose()


def test_the_oracle_sees_an_attempt_that_its_owner_made_twice() -> None:
    trial = ended("sequential")
    trial.effects.append(trial.effects[0])
    assert any("2 effects under one fencing token" in law for law in broken_laws(trial))
    trial.dispose()


def test_crashes_also_strike_while_a_run_is_recovered() -> None:
    trial = Trial(parse_plan("sequential/7/1e/crash@6:0.5"))
    assert trial.run(None).findings == ()
    assert {"after opening", "after claim", "while loading"} <= {point.name for point in trial.world.course[7:]}
    trial.dispose()


DIFFERENCES = {
    "the runs": "UPDATE runs SET stage = 'another'",
    "the histories": "UPDATE history SET at = at + 1 WHERE sequence = 1",
    "the inboxes": "INSERT INTO inbox (run_key, message_id, data, at) VALUES (1, 'm', '{}', 1)",
    "the requests": "UPDATE runs SET request_id = 'r'",
    "the sessions": "INSERT INTO sessions (worker_id, name, pid, started_at, lease_until, last_commit, last_notice)"
    " VALUES (99, 'x', 1, 1, 1, 1, 1)",
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
