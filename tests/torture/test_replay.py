"""The tool that changes code: it finds nothing on the engine as it is, and finds planted bugs."""

import json

import pytest

from perdure.torture.command import main


def test_each_change_that_matters_is_detected_and_the_controls_fail(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--ci", "--seed", "1", "--processes", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["name"], result["violations"]) == ("replay", 0)
    assert result["runs"] >= 50
    assert len(result["controls"]["failed_as_they_must"]) == 2
