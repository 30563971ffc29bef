"""The tool whose commits raise: it finds nothing on the engine as it is, meets each commit, and finds planted bugs."""

import asyncio
import json
from pathlib import Path

import pytest

from perdure.torture import mutants
from perdure.torture.boundaries.journey import SOUND, journey
from perdure.torture.command import main
from perdure.torture.disks.failing import failing_disk
from perdure.torture.planted import Mutant
from perdure.torture.unknown import _OPERATIONS

TWO_EFFECTS = (
    Mutant(
        name="a signal that is sent again is another one",
        breaks="P2",
        module="perdure.client.handle",
        old="body=encoded, message_id=message_id), request_id, message_id)",
        new="body=encoded, message_id=new_name()), None)",
        tool="unknown",
    ),
    Mutant(
        name="an update that is asked for again is another one",
        breaks="P2",
        module="perdure.client.handle",
        old='update_id = require_text(request_id, "request_id") if request_id else new_name()',
        new="update_id = new_name()",
        tool="unknown",
    ),
)
"""Found at the first commit: each call is made twice, whether one raises or not."""


def test_a_short_run_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["unknown", "--count", "24", "--seed", "60", "--processes", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["name"], result["violations"]) == ("unknown", 0)
    assert result["runs"] >= 16


def test_no_commit_of_the_journey_is_left_out(tmp_path: Path) -> None:
    with failing_disk() as disk:
        seen = asyncio.run(journey(tmp_path / "sound.db", disk))
        met = dict(disk.counts)
    assert {name: seen[name] for name in SOUND} == SOUND
    assert {operation: met[operation] <= most for operation, most in _OPERATIONS} == dict.fromkeys(
        ("sync log", "sync database", "sync journal"), True
    )


@pytest.mark.parametrize("mutant", TWO_EFFECTS, ids=lambda mutant: mutant.name)
def test_a_call_that_has_two_effects_is_found(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutants, "PLANTED", [mutant])
    assert main(["mutants", "--seed", "0", "--processes", "1"]) == 0
    assert f"this control failed as it must: {mutant}" in capsys.readouterr().out
