"""The planted bugs: each has its place and its promise, and only a finding of the simulation discovers it."""

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from perdure.torture import mutants
from perdure.torture.command import main
from perdure.torture.planted import PLANTED, Mutant, Patch

FOUND = (
    "SQLite: a run that somebody owns is claimed",
    "an effect happens before its transition is durable",
    "a side effect is computed anew on replay",
    "SQLite: consumed messages are not deleted",
)
"""Found within few plans, the first only if both its changes of one module are made. A test that takes longer than
pytest's `faulthandler_timeout` is ended with its process, and on busy cores a search through a thousand plans does."""
HARMLESS = Mutant(
    name="harmless",
    breaks="nothing",
    module="perdure.kernel.advance",
    old="if due_at <= at]",
    new="if at >= due_at]",
    workloads=("timers",),
)


@pytest.mark.parametrize(
    "patch",
    [pytest.param(patch, id=f"{mutant.name}: {patch.module}") for mutant in PLANTED for patch in mutant.patches],
)
def test_a_planted_bug_has_its_place(patch: Patch) -> None:
    spec = importlib.util.find_spec(patch.module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    assert source.count(patch.old) == 1, "the engine has changed here: change the planted bug with it"
    compile(source.replace(patch.old, patch.new), patch.module, "exec")


def test_planted_bugs_have_names_of_their_own_and_say_which_promise_they_break() -> None:
    assert [name for name, count in Counter(mutant.name for mutant in PLANTED).items() if count > 1] == []
    assert [mutant.name for mutant in PLANTED if not re.match(r"P\d+: \w", mutant.breaks)] == []


def test_every_room_that_keeps_promises_has_planted_bugs() -> None:
    rooms = Counter(mutant.module.split(".")[1] for mutant in PLANTED)
    assert min(rooms[room] for room in ("kernel", "execution", "stores")) >= 10


@pytest.mark.parametrize("tool", [["mutants"], ["sim", "--ci", "--count", "2"]], ids=["mutants", "sim"])
def test_planted_bugs_are_found(
    tool: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutants, "PLANTED", [mutant for mutant in PLANTED if mutant.name in FOUND])
    assert main([*tool, "--seed", "1", "--processes", "2", "--json"]) == 0
    controls = json.loads(capsys.readouterr().out.splitlines()[-1])["controls"]
    assert controls["survived"] == []
    assert sorted(control.partition(" (breaks")[0] for control in controls["failed_as_they_must"]) == sorted(FOUND)


@pytest.mark.parametrize("tool", ["check", "kill", "corrupt", "unknown", "sim", "skew"])
def test_an_engine_that_does_not_start_is_no_discovery(
    tool: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typo = Mutant(
        name="typo",
        breaks="nothing",
        module="perdure.engine",
        old="    async def __aenter__(self) -> Self:\n",
        new="    async def __aenter__(self) -> Self:\n        raise NameError('typo')\n",
        tool=tool,
    )
    monkeypatch.setattr(mutants, "PLANTED", [typo])
    monkeypatch.setitem(mutants._BUDGETS, tool, 5)
    assert main(["mutants", "--seed", "1", "--processes", "1"]) == 1
    assert f"this control did not fail: {typo}: it broke: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mutant", "reason"),
    [
        (HARMLESS, "it survived 20 trials"),
        (Mutant(name="x", breaks="", module="perdure.kernel.time", old="no such text", new=""), "it is stale"),
        (
            Mutant(name="x", breaks="", module="perdure.kernel.advance", old="RUN_TIMEOUT: Final", new="1 / 0"),
            "it broke",
        ),
    ],
    ids=["survives", "is stale", "breaks"],
)
def test_only_a_finding_counts_as_a_discovery(
    mutant: Mutant, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutants, "PLANTED", [mutant])
    monkeypatch.setitem(mutants._BUDGETS, "sim", 20)
    assert main(["mutants", "--seed", "1", "--processes", "1"]) == 1
    assert f"this control did not fail: {mutant}: {reason}" in capsys.readouterr().out
