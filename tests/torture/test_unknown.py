"""The tool whose commits raise: it finds nothing on the engine as it is, meets each commit, and finds planted bugs."""

import asyncio
import json
from pathlib import Path

import pytest

from perdure.torture import mutants
from perdure.torture.boundaries.journey import ANSWERS, journey
from perdure.torture.command import main
from perdure.torture.disks.failing import failing_disk
from perdure.torture.planted.boundaries import PLANTED
from perdure.torture.unknown import _OPERATIONS

FOUND = ("a signal that is sent again is another one", "an update that is asked for again is another one")
"""Found at the first commit."""


def test_a_short_run_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["unknown", "--count", "24", "--seed", "60", "--processes", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["name"], result["violations"]) == ("unknown", 0)
    assert result["runs"] >= 16


def test_no_commit_of_the_journey_is_left_out(tmp_path: Path) -> None:
    with failing_disk() as disk:
        seen = asyncio.run(journey(tmp_path / "sound.db", disk))
        met = dict(disk.counts)
    assert seen["answers"] == ANSWERS
    assert {operation: met[operation] <= most for operation, most in _OPERATIONS} == dict.fromkeys(
        ("sync log", "sync database", "sync journal"), True
    )


@pytest.mark.parametrize("name", FOUND)
def test_a_call_that_has_two_effects_is_found(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutants, "PLANTED", [mutant for mutant in PLANTED if mutant.name == name])
    assert main(["mutants", "--seed", "0", "--processes", "1"]) == 0
    assert f"this control failed as it must: {name}" in capsys.readouterr().out
