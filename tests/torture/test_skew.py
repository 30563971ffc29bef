"""The tool that sets the clock: it finds nothing on the engine as it is, and finds planted bugs."""

import json

import pytest

from perdure.torture import mutants
from perdure.torture.command import main
from perdure.torture.planted.clocks import PLANTED

FOUND = (
    "the time of a run goes back with the clock",
    "a timer is fired by the time of its run's last event and a little more",
    "a next generation is due when the clock has caught up with the run before",
)
"""Found within few plans."""


def test_a_short_run_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["skew", "--count", "25", "--seed", "1", "--processes", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["name"], result["runs"], result["violations"]) == ("skew", 25, 0)


@pytest.mark.parametrize(
    "plan",
    ["deduplicated/750932/2c/jump@26:40,jump@33:-3600,jump@7:-3600", "deduplicated/528174632/3e/pause@24:40"],
)
def test_time_that_passes_between_two_starts_ends_the_window_of_the_first(plan: str) -> None:
    assert main(["sim", "--plan", plan]) == 0


def test_leases_that_a_clock_set_forward_has_ended_are_renewed_before_a_run_is_claimed() -> None:
    assert main(["sim", "--plan", "deadlines/239634/2c/jump@44:3600"]) == 0


@pytest.mark.parametrize("name", FOUND)
def test_what_a_clock_brings_to_light_is_found(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutants, "PLANTED", [mutant for mutant in PLANTED if mutant.name == name])
    assert main(["mutants", "--seed", "3", "--processes", "1"]) == 0
    assert f"this control failed as it must: {name}" in capsys.readouterr().out
