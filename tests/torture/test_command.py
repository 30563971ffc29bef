"""The command: it ends with a status, prints one line, and says how to do it again."""

import json
from collections.abc import Callable

import pytest

from perdure.errors import InvalidArgumentError
from perdure.torture import command
from perdure.torture.command import main
from perdure.torture.options import Options
from perdure.torture.report import Report


def test_a_good_campaign_ends_with_zero_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "--count", "5", "--seed", "1", "--processes", "1", "--json"]) == 0
    line, machine = capsys.readouterr().out.splitlines()
    assert line.startswith("sim: ok: 5 plans")
    result = json.loads(machine)
    assert result.keys() == {"name", "runs", "violations", "seconds", "cpu_seconds", "seed", "controls"}
    assert (result["name"], result["runs"], result["violations"], result["seed"]) == ("sim", 5, 0, 1)


def test_the_parts_of_a_campaign_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    def struck(*part: str) -> list[str]:
        command = ["sim", "--count", "7", "--seed", "1", "--processes", "1", "--workload", "signals"]
        assert main([*command, "--coverage", "--json", *part]) == 0
        result = json.loads(capsys.readouterr().out.splitlines()[-1])
        runs.append(result["runs"])
        coverage = result["coverage"].get("signals", {})
        return [f"{strike}: {moment}" for moment, strikes in coverage.items() for strike in strikes]

    runs: list[int] = []
    parts = [struck("--part", f"{number}/3") for number in (1, 2, 3)]
    assert sorted(set().union(*parts)) == sorted(struck())
    assert runs == [3, 2, 2, 7]


@pytest.mark.parametrize("part", ["4/3", "0/3", "3", "a/b"])
def test_a_part_that_is_none_is_refused(part: str) -> None:
    with pytest.raises(InvalidArgumentError, match="the third of ten is 3/10"):
        main(["sim", "--part", part])


@pytest.mark.parametrize(
    ("tool", "workload"),
    [("ioerr", "sync lgo"), ("copies", "point"), ("fsyncgate", "go on"), ("corrupt", "rows"), ("kill", "transfer")],
)
def test_a_workload_that_a_tool_does_not_have_is_refused(tool: str, workload: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"'{workload}' is no workload of this tool; it has "):
        main([tool, "--workload", workload, "--count", "3", "--processes", "1"])


def test_one_plan_can_be_run_again() -> None:
    assert main(["sim", "--plan", "sequential/7/2e/crash@3:0.5"]) == 0


@pytest.mark.parametrize("given", [["--seed", "4"], []])
def test_a_failure_ends_with_one_and_the_line_that_repeats_it(
    given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds: list[int] = []

    def fail(options: Options) -> Report:
        seeds.append(options.seed)
        return Report(name="sim", runs=9, violations=["it broke"], seed=options.seed)

    monkeypatch.setattr(command, "_load", lambda _name: fail)
    assert main(["sim", "--count", "9", *given]) == 1
    violation, line, again = capsys.readouterr().out.splitlines()
    assert violation == "it broke"
    assert line.startswith("sim: FAILED: 9 plans")
    assert again == f"again: python -m perdure.torture sim --count 9 --seed {seeds[0]}"


def test_a_control_that_does_not_fail_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report(name="sim", runs=1, controls=["one"], survivors=["another"])
    monkeypatch.setattr(command, "_load", lambda _name: lambda _options: report)
    assert main(["sim"]) == 1
    failed, survived, line, _ = capsys.readouterr().out.splitlines()
    assert failed == "this control failed as it must: one"
    assert survived == "this control did not fail: another"
    assert "1 of 2 controls failed as they must" in line


def test_all_tools_are_run_and_one_failure_is_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str) -> Callable[[Options], Report]:
        return lambda options: Report(
            name=name, runs=1, seed=options.seed, violations=["torn"] if name == "ioerr" else []
        )

    monkeypatch.setattr(command, "_load", run)
    assert main(["all", "--seed", "3", "--json"]) == 1
    output = capsys.readouterr().out.splitlines()
    named = [json.loads(line)["name"] for line in output if line.startswith("{")]
    assert named == [
        "sim",
        "kill",
        "powerloss",
        "fsyncgate",
        "ioerr",
        "copies",
        "corrupt",
        "stateful",
        "fuzz",
        "load",
        "skew",
        "unknown",
        "replay",
        "check",
    ]
    assert [line for line in output if line.startswith("again")] == [
        "again: python -m perdure.torture ioerr --seed 3 --json"
    ]


def test_nothing_tried_is_not_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["skew", "--count", "0", "--seed", "3"]) == 1
    assert capsys.readouterr().out.startswith("skew: FAILED, since nothing was tried: 0 plans")


def test_all_tools_for_servers_are_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[bool] = []

    def run(name: str) -> Callable[[Options], Report]:
        def tool(options: Options) -> Report:
            asked.append(options.on_postgres)
            return Report(name=name, runs=1, seed=options.seed)

        return tool

    monkeypatch.setattr(command, "_load", run)
    assert main(["all", "--postgres", "--json"]) == 0
    named = [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert named == ["kill", "check", "fence", "partition", "pg"]
    assert all(asked)


def test_a_tool_of_all_that_breaks_is_a_mishap_and_no_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_OF_FILES", ("replay",))
    monkeypatch.setattr("perdure.torture.replay.run", broken)
    assert main(["all", "--seed", "1"]) == 1
    told = capsys.readouterr().out
    assert "it breaks" in told
    assert "replay: FAILED, since nothing was tried" in told


def broken(_options: Options) -> Report:
    raise RuntimeError("it breaks")
