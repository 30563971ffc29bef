import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from perdure.cli.demo.location import PROGRAM, examples_root, orders_file
from perdure.cli.demo.observation import Destination
from perdure.cli.demo.services_census import ServicesCensus, count_services
from perdure.cli.demo.verdict import Kill, OrderResult, _findings_on_effects, _findings_on_ends, judge
from perdure.cli.run_report import RunReport
from tests.cli.runs import perdure
from tests.cli.terminal import on_a_terminal
from tests.examples.orders import COMPLETED, REFUNDED, REJECTED

KILL = Kill(process=1, orders_under_way=3, calls_cut_off=1, charges_before=6)


def test_twenty_orders_survive_a_killed_worker(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    called = perdure("demo", "--fast", "--json", "--directory", str(directory), directory=tmp_path)
    assert called.code == 0, called.out + called.err + (directory / "worker.log").read_text()
    told = called.json
    assert told["holds"] is True
    assert {order["id"]: order["result"] for order in told["orders"]} == (
        dict.fromkeys(COMPLETED, "completed")
        | dict.fromkeys(REFUNDED, "refunded")
        | dict.fromkeys(REJECTED, "rejected")
    )
    assert told["kill"]["orders_under_way"] >= 3
    assert any(order["recovered"] for order in told["orders"])
    census = count_services(directory / "services.db")
    assert set(census.charges) == COMPLETED | REFUNDED
    assert set(census.charges.values()) == {1}
    assert census.refunds == dict.fromkeys(REFUNDED, 1)
    assert census.shipments == dict.fromkeys(COMPLETED, 1)
    listed = perdure("list", "--json", "--status", "failed", "--db", told["database"], directory=tmp_path)
    assert {run["id"] for run in listed.json["runs"]} == REFUNDED | REJECTED


def test_the_demonstration_prints_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    called = perdure("demo", "--fast", "--directory", str(tmp_path / "demo"), directory=tmp_path)
    assert called.code == 0, called.out + called.err
    assert "worker killed with SIGKILL" in called.out
    assert "worker started again" in called.out
    assert "20 orders in" in called.out
    assert "11 completed, 3 refunded, 6 rejected" in called.out
    assert "0 customers charged twice" in called.out
    assert f"export PERDURE_URL=sqlite:///{tmp_path}/demo/perdure.db" in called.out
    assert "\x1b" not in called.out


def test_twenty_orders_survive_a_killed_worker_and_a_cut_off_one_on_a_server(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    called = perdure(
        "demo", "--fast", "--workers", "3", "--postgres", "--directory", str(directory), directory=tmp_path
    )
    assert called.code == 0, called.out + called.err + (directory / "worker.log").read_text()
    assert re.search(r"worker \d killed with SIGKILL: [1-9]\d* orders under way", called.out)
    assert re.search(r"worker \d cut off: the server has killed its [1-9]\d* backends", called.out)
    assert "11 completed, 3 refunded, 6 rejected" in called.out
    assert "0 customers charged twice" in called.out
    assert "The PostgreSQL server was the demonstration's own and is gone" in called.out


def test_there_is_a_worker_and_not_a_hundred(tmp_path: Path) -> None:
    for number in ("0", "17"):
        called = perdure("demo", "--workers", number, directory=tmp_path)
        assert (called.code, f"{number} workers; there may be 1 to 16" in called.err) == (2, True)


def test_a_folder_in_use_is_refused(place: Path) -> None:
    called = perdure("demo", "--directory", str(place), directory=place)
    assert called.code == 2
    assert "not empty" in called.err


def test_the_program_and_its_orders_are_found() -> None:
    assert (examples_root() / PROGRAM.replace(".", "/") / "__main__.py").is_file()
    assert len(msgspec.json.decode(orders_file().read_bytes(), type=list[Destination])) == 20


def result(order_id: str, word: str) -> OrderResult:
    return OrderResult(
        id=order_id, destination="", result=word, stage="", attempts=1, retries=0, refunded=word == "refunded",
        recovered=True, seconds=1.0, reason="",
    )  # fmt: skip


def census(**counts: dict[str, int]) -> ServicesCensus:
    none: dict[str, dict[str, int]] = {"charges": {}, "refunds": {}, "shipments": {}, "messages": {}}
    chosen = none | {"charges": {"a": 1, "b": 1}, "refunds": {"b": 1}, "shipments": {"a": 1}} | counts
    return ServicesCensus(calls=9, unanswered_calls=0, repeated_calls=0, **chosen)


RESULTS = (result("a", "completed"), result("b", "refunded"), result("c", "rejected"))


def test_effects_that_agree_with_the_runs_hold() -> None:
    assert all(finding.holds for finding in _findings_on_effects(RESULTS, census()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"charges": {"a": 2, "b": 1}},
        {"charges": {"b": 1}},
        {"charges": {"a": 1, "b": 1, "c": 1}},
        {"refunds": {}},
        {"refunds": {"b": 2}},
        {"refunds": {"a": 1, "b": 1}},
        {"shipments": {"a": 1, "b": 1}},
        {"shipments": {"a": 2}},
        {"shipments": {}},
        {"messages": {"a": 2}},
    ],
    ids=str,
)
def test_an_effect_too_many_or_too_few_is_found(wrong: dict[str, dict[str, int]]) -> None:
    assert not all(finding.holds for finding in _findings_on_effects(RESULTS, census(**wrong)))


def test_a_cut_that_cut_nothing_is_found() -> None:
    for cut, holds in ((2, True), (0, False)):
        kill = msgspec.structs.replace(KILL, connections_cut_off=cut)
        found = _findings_on_ends(RESULTS, kill=kill, exit_codes=[0, 0])
        assert all(finding.holds for finding in found) is holds


def test_a_demonstration_without_a_kill_or_with_an_unfinished_order_fails() -> None:
    assert all(finding.holds for finding in _findings_on_ends(RESULTS, kill=KILL, exit_codes=[0]))
    assert not all(finding.holds for finding in _findings_on_ends(RESULTS, kill=None, exit_codes=[0]))
    assert not all(finding.holds for finding in _findings_on_ends(RESULTS, kill=KILL, exit_codes=[0, 1]))
    unfinished = (*RESULTS, result("d", "unfinished"))
    assert not all(finding.holds for finding in _findings_on_ends(unfinished, kill=KILL, exit_codes=[0]))


def test_an_order_that_was_never_started_is_unfinished() -> None:
    destinations = msgspec.json.decode(orders_file().read_bytes(), type=list[Destination])
    reports: dict[str, RunReport] = {}
    verdict = judge(destinations, reports, census(), kill=None, exit_codes=[None], seconds=1.0)
    assert not verdict.holds
    assert verdict.count("unfinished") == 20


def test_services_that_do_not_exist_yet_have_done_nothing(tmp_path: Path) -> None:
    assert count_services(tmp_path / "none.db").calls == 0


def test_a_terminal_shows_a_live_table_that_fits_it(tmp_path: Path) -> None:
    called = on_a_terminal("demo", "--fast", "--directory", str(tmp_path / "demo"), directory=tmp_path)
    assert called.code == 0
    shown = called.out
    assert "worker killed with SIGKILL" in shown
    assert "verify" in shown
    assert "20 of 20 orders ended" in shown
    assert "11 completed, 3 refunded, 6 rejected" in shown
    frame = shown[shown.rindex("verify") : shown.rindex("20 of 20 orders ended")]
    assert frame.count("order-20") <= 16, "a frame is no taller than the terminal"


def test_an_interrupted_demonstration_leaves_no_worker(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "perdure", "demo", "--directory", "demo"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # Where the tests run in the background of a shell, interrupts are ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads yet
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        worker = int(first.rpartition("process ")[2].rstrip(")\n"))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
