"""The command: it ends with a status, prints one line, and its controls fail as they must."""

import json

import pytest

from perdure.torture.command import main
from perdure.torture.planted import PLANTED


def test_a_good_campaign_ends_with_zero_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "--count", "5", "--seed", "1", "--processes", "1", "--json"]) == 0
    line, machine = capsys.readouterr().out.splitlines()
    assert line.startswith("sim: ok: 5 plans")
    result = json.loads(machine)
    assert {name: result[name] for name in ("name", "runs", "violations", "seed")} == {
        "name": "sim",
        "runs": 5,
        "violations": 0,
        "seed": 1,
    }


def test_one_plan_can_be_run_again() -> None:
    assert main(["sim", "--plan", "sequential/7/2e/crash@3:0.5"]) == 0


def test_planted_bugs_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["an effect happens before its transition is durable", "a timer fires early"]
    arguments = [argument for name in chosen for argument in ("--only", name)]
    assert main(["mutants", "--seed", "1", "--processes", "2", *arguments]) == 0
    assert "2 of 2 controls failed as they must" in capsys.readouterr().out


def test_a_planted_bug_whose_place_has_changed_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = type(PLANTED[0])(name="stale", module="perdure.kernel.time", old="no such text", new="")
    monkeypatch.setattr("perdure.torture.mutants.PLANTED", (stale,))
    assert main(["mutants", "--seed", "1", "--processes", "1"]) == 1
    assert "is stale" in capsys.readouterr().out
