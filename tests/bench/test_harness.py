"""The pure parts of the harness: what is gathered, compared and judged. No test looks at a time."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.conditions import memory_file_system
from bench.findings import Finding
from bench.flows import keep_in_flight
from bench.goals import judge
from bench.metering import Cost, cpu_seconds_of_tree
from bench.recording import Ledger
from bench.records import Figure, Outcome, Reading, Request
from bench.servers import SERVERS
from bench.summary import Summary, busy_workloads, percentile, summarise, uneven_workloads
from bench.workloads import SUBJECTS, WORKLOADS, size_for

ROOT = Path(__file__).resolve().parents[2]


def reading(
    workload: str,
    subject: str,
    metric: str,
    value: float,
    *,
    unit: str = "steps/s",
    cpu: float | None = None,
    repeat: int = 1,
) -> Reading:
    return Reading(
        workload=workload,
        subject=subject,
        figure=Figure(metric=metric, value=value, unit=unit, cpu_microseconds_per_unit=cpu),
        repeat=repeat,
        fsync_per_second=1000.0,
        load=0.5,
        size={"runs": 1},
        loop="asyncio",
    )


def throughput(subject: str, value: float, *, workload: str = "W2", cpu: float | None = None) -> Reading:
    return reading(workload, subject, "throughput", value, cpu=cpu)


def test_a_row_is_the_median_of_the_repeats_and_keeps_their_range() -> None:
    values = [30.0, 10.0, 20.0]
    summary = summarise(
        [
            reading("W2", "raw-sqlite", "rows", value, cpu=value / 10, repeat=repeat)
            for repeat, value in enumerate(values, start=1)
        ]
    )
    (row,) = summary.rows
    assert (row.value, row.lowest, row.highest, row.cpu_microseconds_per_unit) == (20.0, 10.0, 30.0, 2.0)
    assert row.repeats == 3


def test_a_loss_in_one_repeat_is_not_hidden_by_the_others() -> None:
    readings = [reading("W5", "perdure-sqlite", "lost", value, unit="runs") for value in (0.0, 0.0, 1.0)]
    assert summarise(readings).value("W5", "perdure-sqlite", "lost") == 1.0


def test_rows_of_one_workload_stand_together_whatever_the_order_of_measurement() -> None:
    readings = [throughput("a", 1), throughput("b", 1, workload="W1"), throughput("c", 1), throughput("a", 2)]
    assert [(row.workload, row.subject) for row in summarise(readings).rows] == [("W2", "a"), ("W2", "c"), ("W1", "b")]


def test_more_of_a_rate_and_less_of_a_time_are_both_an_advantage() -> None:
    summary = summarise(
        [
            throughput("fast", 200),
            throughput("slow", 50),
            reading("W4", "fast", "p50", 2, unit="ms"),
            reading("W4", "slow", "p50", 10, unit="ms"),
        ]
    )
    advantages = [summary.advantage(row, "slow") for row in summary.rows]
    assert advantages == [4.0, None, 5.0, None]


def test_nothing_is_compared_with_a_baseline_that_was_not_measured_or_is_zero() -> None:
    summary = summarise([throughput("fast", 200), throughput("stopped", 0)])
    row = summary.rows[0]
    assert summary.advantage(row, "absent") is None
    assert summary.advantage(row, "stopped") is None


@pytest.mark.parametrize(("percent", "expected"), [(1, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)])
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_goals_whose_subjects_were_not_measured_have_no_row() -> None:
    assert judge(Summary([])) == []
    goals = [verdict.goal for verdict in judge(summarise([throughput("perdure-sqlite", 9000, cpu=60)]))]
    assert goals == ["CPU per sequential step (W2)"]


def test_a_ratio_to_dbos_is_met_from_the_must_on() -> None:
    def met(ours: float) -> tuple[bool, bool | None]:
        summary = summarise([throughput("perdure-sqlite", ours), throughput("dbos-sqlite", 100)])
        (verdict,) = judge(summary)
        return verdict.met_must, verdict.met_stretch

    assert [met(2999), met(3000), met(6000)] == [(False, False), (True, False), (True, True)]


def test_two_rows_a_step_are_counted_against_raw_rows() -> None:
    summary = summarise(
        [
            throughput("perdure-sqlite", 4000),
            reading("W2", "raw-sqlite", "rows, 100 per transaction", 100_000, unit="rows/s"),
        ]
    )
    (verdict,) = judge(summary)
    assert (verdict.measured, verdict.must, verdict.met_must) == ("8.0 %", "≥ 8.0 %", True)


def test_the_goal_on_latency_compares_medians_taken_in_turns() -> None:
    def judged(milliseconds: float) -> tuple[bool, bool | None]:
        ours = reading("W4", "perdure-sqlite", "p50", milliseconds, unit="ms")
        raw = reading("W4", "perdure-sqlite", "raw commit p50", 1.0, unit="ms")
        (verdict,) = judge(summarise([ours, raw]))
        return verdict.met_must, verdict.met_stretch

    assert [judged(3.1), judged(3.0), judged(2.3)] == [(False, False), (True, False), (True, True)]


def test_a_restart_is_judged_against_dbos_and_stretched_in_seconds() -> None:
    def judged(seconds: float) -> tuple[bool, bool | None]:
        ours = reading("W5", "perdure-sqlite", "restart", seconds, unit="s")
        dbos = reading("W5", "dbos-sqlite", "restart", 20.0, unit="s")
        (verdict,) = judge(summarise([ours, dbos]))
        return verdict.met_must, verdict.met_stretch

    assert [judged(2.5), judged(1.5), judged(0.9)] == [(False, False), (True, False), (True, True)]


def test_postgresql_is_judged_against_dbos_on_postgresql() -> None:
    def met(ours: float) -> tuple[bool, bool | None]:
        readings = [
            throughput("perdure-postgres", ours),
            throughput("dbos-postgres", 100),
            throughput("dbos-sqlite", 1),
        ]
        (verdict,) = judge(summarise(readings))
        return verdict.met_must, verdict.met_stretch

    assert [met(1999), met(2000), met(4000)] == [(False, False), (True, False), (True, True)]


def test_of_restate_the_best_repeat_counts_for_either_database() -> None:
    ours = [throughput(subject, 4000) for subject in ("perdure-sqlite", "perdure-postgres")]
    restate = [throughput("restate", value) for value in (10, 1000, 20)]
    verdicts = judge(summarise([*ours, *restate]))
    assert [(verdict.goal, verdict.measured, verdict.met_must) for verdict in verdicts] == [
        ("W2 against best restate", "4.0x", True),
        ("W2 against best restate, PostgreSQL", "4.0x", True),
    ]


def test_a_restart_may_take_no_longer_than_the_best_of_restate() -> None:
    def met(seconds: float) -> tuple[bool, bool | None]:
        ours = reading("W5", "perdure-postgres", "restart", seconds, unit="s")
        restate = [reading("W5", "restate", "restart", value, unit="s") for value in (3.0, 2.0)]
        (verdict,) = judge(summarise([ours, *restate]))
        return verdict.met_must, verdict.met_stretch

    assert [met(2.1), met(2.0), met(1.0)] == [(False, False), (True, False), (True, True)]


def test_of_cpu_times_on_postgresql_only_the_workers_counts() -> None:
    figure = Figure(
        metric="throughput",
        value=1.0,
        unit="steps/s",
        cpu_microseconds_per_unit=80.0,
        server_cpu_microseconds_per_unit=500.0,
    )
    summary = summarise([replace(throughput("perdure-postgres", 1), figure=figure)])
    (verdict,) = judge(summary)
    assert (verdict.goal, verdict.met_must) == ("CPU per sequential step (W2), PostgreSQL, the worker's", True)
    assert [row.server_cpu_microseconds_per_unit for row in summary.rows] == [500.0]


def test_two_processes_are_judged_by_the_ratio_of_the_same_repeat() -> None:
    ratios = [reading("W2x", "perdure-postgres", "2 to 1", value, unit="x") for value in (1.5, 1.6, 1.9)]
    (verdict,) = judge(summarise(ratios))
    assert (verdict.measured, verdict.met_must, verdict.met_stretch) == ("1.60x", True, False)


def test_one_lost_run_misses_a_must() -> None:
    (verdict,) = judge(summarise([reading("W5", "perdure-sqlite", "lost", 1, unit="runs")]))
    assert (verdict.met_must, verdict.met_stretch) == (False, None)


def test_a_measured_value_is_judged_as_it_is_printed() -> None:
    (verdict,) = judge(summarise([reading("W8", "perdure-sqlite", "end to start", 1.004, unit="x")]))
    assert (verdict.measured, verdict.met_stretch) == ("1.00x", True)


def test_a_verdict_is_a_record_with_the_columns_of_the_goal_table() -> None:
    (verdict,) = judge(summarise([reading("M", "perdure-sqlite", "idle RSS", 36, unit="MB")]))
    assert verdict.as_record() == {
        "goal": "idle RSS",
        "measured": "36.0 MB",
        "must": "≤ 40.0 MB",
        "stretch": "≤ 32.0 MB",
        "met must?": True,
        "met stretch?": False,
    }


def test_the_agreed_keys_stand_in_every_json_line() -> None:
    line = json.loads(throughput("perdure-sqlite", 9000, cpu=61.5).as_json_line())
    assert {name: line[name] for name in ("workload", "subject", "value", "unit", "cpu_us_per_unit")} == {
        "workload": "W2",
        "subject": "perdure-sqlite",
        "value": 9000,
        "unit": "steps/s",
        "cpu_us_per_unit": 61.5,
    }
    assert (line["repeat"], line["fsync_per_s"], line["load"]) == (1, 1000.0, 0.5)


def test_what_crosses_between_processes_arrives_as_it_was_sent(tmp_path: Path) -> None:
    request = Request(
        subject="raw-sqlite",
        workload="W2",
        phase="whole",
        directory=str(tmp_path),
        size={"runs": 3},
        loop="uvloop",
        spawned_at=1.5,
    )
    outcome = Outcome(figures=[Figure(metric="p50", value=1.0, unit="ms")], facts={"SQLite": "3"})
    assert Request.read(request.written_as_json()) == request
    assert Outcome.read(outcome.written_as_json()) == outcome


def test_a_request_without_a_server_has_no_url_to_give() -> None:
    request = Request(
        subject="perdure-postgres", workload="W2", phase="whole", directory="", size={}, loop="uvloop", spawned_at=1.5
    )
    assert replace(request, server_url="postgresql://here").server == "postgresql://here"
    with pytest.raises(RuntimeError, match="no server was started for perdure-postgres"):
        _ = request.server


def test_the_cpu_time_of_a_server_is_that_of_all_that_descend_from_it(tmp_path: Path) -> None:
    def process(number: int, parent: int, name: str, *ticks: int) -> None:
        (tmp_path / str(number)).mkdir()
        before = ["0"] * 9
        fields = ["S", str(parent), *before, *map(str, ticks), "0"]
        (tmp_path / str(number) / "stat").write_text(f"{number} ({name}) {' '.join(fields)}")

    (tmp_path / "self").mkdir()
    process(10, 1, "postgres", 1, 2, 4, 8)
    process(11, 10, "a) name (with", 16, 32, 0, 0)
    process(12, 11, "grandchild", 64, 0, 0, 0)
    process(13, 1, "another", 1000, 1000, 1000, 1000)
    assert cpu_seconds_of_tree(10, tmp_path) == pytest.approx(127 / os.sysconf("SC_CLK_TCK"))
    assert cpu_seconds_of_tree(10, tmp_path / "no proc here") is None


def test_costs_add_up_and_are_shown_per_unit() -> None:
    spent = Cost() + Cost(own=1.0, server=2.0) + Cost(own=1.0, server=4.0)
    figure = spent.figure("throughput", 5.0, "steps/s", units=1_000)
    assert figure.cpu_microseconds_per_unit == pytest.approx(2_000)
    assert figure.server_cpu_microseconds_per_unit == pytest.approx(6_000)
    assert Cost(own=1.0).figure("p50", 1.0, "ms", units=1).server_cpu_microseconds_per_unit is None


def test_a_finding_meets_a_rate_from_its_goal_on_and_anything_else_up_to_it() -> None:
    rates = [Finding(metric="claimed", value=value, unit="runs/s", goal=10.0).is_met for value in (9.0, 10.0)]
    times = [Finding(metric="p99", value=value, unit="ms", goal=10.0).is_met for value in (10.0, 11.0)]
    assert (rates, times) == ([False, True], [True, False])
    assert json.loads(Finding(metric="p50", value=1.0, unit="ms").as_json_line())["met"] is None


def test_only_what_may_be_scaled_is_scaled() -> None:
    assert size_for(WORKLOADS["W3"], 0.25) == {"runs": 5, "steps": 100}
    assert size_for(WORKLOADS["M"], 10)["waiting"] == 300_000
    for name in ("W5", "W6", "W7"):
        assert size_for(WORKLOADS[name], 0.1) == dict(WORKLOADS[name].size)


def test_a_scaled_workload_still_fills_what_it_keeps_in_flight() -> None:
    assert size_for(WORKLOADS["W2"], 0.01)["runs"] == WORKLOADS["W2"].size["in_flight"]
    assert size_for(WORKLOADS["W1"], 0.0001)["runs"] > 0


def test_every_subject_has_its_module_and_every_peer_its_pins() -> None:
    for subject in SUBJECTS.values():
        assert (ROOT / "bench" / "subjects" / f"{subject.module}.py").is_file()
        assert subject.workloads <= WORKLOADS.keys()
        assert subject.server is None or subject.server in SERVERS
        if subject.peer is not None:
            pins = (ROOT / "bench" / "peers" / subject.peer / "requirements.txt").read_text(encoding="utf-8")
            assert all("==" in line for line in pins.splitlines() if line and not line.lstrip().startswith("#"))


async def test_no_more_jobs_are_in_flight_than_allowed_and_all_are_done() -> None:
    done: list[int] = []
    in_flight = 0
    most = 0

    async def job(number: int) -> None:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        for _ in range(3):
            await asyncio.sleep(0)
        in_flight -= 1
        done.append(number)

    await keep_in_flight(4, range(20), job)
    assert (sorted(done), most) == (list(range(20)), 4)


def test_a_ledger_outlives_its_process_which_dies_in_the_step_it_was_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    program = (
        "from pathlib import Path; from bench.recording import Ledger; import sys\n"
        "ledger = Ledger(path=Path(sys.argv[1]), kill_at=3); ledger.open(); ledger.acknowledged(7)\n"
        "for index in range(5): ledger.step(7, index)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    ledger = Ledger(path=path)
    assert ledger.runs() == {7}
    assert ledger.steps() == {(7, 0): 1, (7, 1): 1}


def test_a_file_system_in_memory_is_named_by_the_mount_nearest_to_the_directory(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nnone {tmp_path} tmpfs rw 0 0\ndisk {tmp_path}/disk ext4 rw 0 0\n")
    assert memory_file_system(tmp_path / "work", mounts) == "tmpfs"
    assert memory_file_system(tmp_path / "disk" / "work", mounts) is None
    assert memory_file_system(tmp_path.parent, mounts) is None
    assert memory_file_system(tmp_path, tmp_path / "no mounts here") is None


def test_the_command_names_what_it_does_not_know() -> None:
    command = [sys.executable, "bench/run.py", "--workloads", "W99", "--subjects", "raw-sqlite"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, "there is no workload 'W99'" in ended.stdout) == (2, True)


def test_a_row_keeps_the_conditions_beside_the_figure() -> None:
    moods = [replace(throughput("a", 1), fsync_per_second=rate, load=load) for rate, load in ((100, 1), (300, 3))]
    (row,) = summarise(moods).rows
    assert (row.fsync_per_second, row.load) == (200, 2)


def test_a_disk_that_slowed_down_between_subjects_is_reported() -> None:
    even = [throughput("a", 1, workload="W1"), throughput("b", 1, workload="W1")]
    uneven = [throughput("a", 1), replace(throughput("b", 1), fsync_per_second=200.0)]
    assert uneven_workloads(summarise([*even, *uneven])) == ["W2"]


def test_a_machine_with_more_work_than_cores_is_reported() -> None:
    loads = [replace(throughput("a", 1, workload=name), load=load) for name, load in (("W1", 1.5), ("W2", 2.5))]
    assert busy_workloads(summarise(loads), cores=2) == ["W2"]
