"""The tool `check` on a small scale: processes are killed, nothing is found, and what is found can be judged again."""

import json
import re
import tempfile
from pathlib import Path

import msgspec
import pytest

from perdure.errors import InvalidArgumentError
from perdure.torture import planting
from perdure.torture.checking import tool
from perdure.torture.checking.anomaly import Anomaly
from perdure.torture.checking.campaign import Round
from perdure.torture.checking.judgement import Judgement
from perdure.torture.command import main
from perdure.torture.planted.checking import PLANTED


def test_a_short_run_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--count", "300", "--seed", "1", "--json"]) == 0
    line, machine = capsys.readouterr().out.splitlines()
    result = json.loads(machine)
    assert (result["name"], result["violations"]) == ("check", 0)
    assert result["runs"] >= 300
    seen = re.search(r"(\d+) processes, (\d+) kills, \d+ answers, \d+ unknown outcomes, 0 anomalies", line)
    assert seen is not None
    assert int(seen[1]) > int(seen[2]) >= 3


def test_what_is_found_is_kept_and_judged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, kept = tmp_path / "round", tmp_path / "kept"
    folder.mkdir()
    kept.mkdir()
    (folder / "notes-1").write_text(_call("start", 1, "n", 10) + _call("start", 2, "m", 20))
    (folder / "notes-2").write_text(_call("describe", 3, "", 30) + _missing(3, 40))
    monkeypatch.setattr(tempfile, "tempdir", str(kept))
    anomaly = Anomaly(kind="G0", why="x")
    monkeypatch.setattr(tool, "judge", lambda records, **_: Judgement(len(list(records)), 0, [anomaly]))
    report = tool.CheckReport(name="check", violations=[])
    tool._add_round(report, Round(processes=4, kills=3), folder, 7)
    [history] = kept.iterdir()
    assert report.violations == [f"python -m perdure.torture check --history {history}\n    G0: x"]
    monkeypatch.undo()
    assert main(["check", "--history", str(history)]) == 0
    assert capsys.readouterr().out.startswith("check: ok: 3 operations")
    history.write_text(history.read_text() + _call("signal", 5, "x", 50) + _missing(5, 60).replace("NotFound", "Odd"))
    assert main(["check", "--history", str(history)]) == 1
    assert "had an error that nothing explains: RunOddError" in capsys.readouterr().out


def test_a_history_is_kept_without_the_lines_that_kills_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes-1").write_text(_call("signal", 1, "x", 10) + _missing(1, 20).replace("NotFound", "Odd") + '{"ty')
    (tmp_path / "notes-2").write_text(_call("describe", 2, "", 30))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tool._add_round(tool.CheckReport(name="check", violations=[]), Round(processes=2, kills=1), tmp_path, 7)
    [history] = tmp_path.glob("*.jsonl")
    assert main(["check", "--history", str(history)]) == 1
    assert "check: FAILED: 2 operations" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "why"),
    [(None, "cannot be read: No such file"), ("{}\n", "line 1 of .* is no record: .*type")],
    ids=["a missing file", "a file of something else"],
)
def test_what_is_no_history_is_refused(tmp_path: Path, text: str | None, why: str) -> None:
    history = tmp_path / "history"
    if text is not None:
        history.write_text(text)
    with pytest.raises(InvalidArgumentError, match=why):
        main(["check", "--history", str(history)])


def test_no_operations_are_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "history").touch()
    for nothing in (["--count", "0"], ["--history", str(tmp_path / "history")]):
        assert main(["check", *nothing]) == 1
        assert "check: FAILED, since nothing was tried: 0 operations" in capsys.readouterr().out


def test_calls_that_never_come_to_an_answer_are_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = [_call("update", number, "", number) for number in range(100)]
    refused = [_missing(number, number + 1).replace("RunNotFound", "StoreLocked") for number in range(100)]
    (tmp_path / "history").write_text("".join(notes + refused))
    assert main(["check", "--history", str(tmp_path / "history")]) == 1
    assert "0 of 100 calls of update were answered without an error" in capsys.readouterr().out


def _call(asked: str, number: int, value: str, at: int) -> str:
    call = {"type": "Call", "client": "c", "number": number, "at": at, "asked": asked, "run": "s2n0.", "value": value}
    return json.dumps(call) + "\n"


def _missing(number: int, at: int) -> str:
    answer = {"client": "c", "number": number, "at": at, "happened": "no", "error": "RunNotFoundError"}
    return json.dumps({"type": "Answer", **answer}) + "\n"


def test_a_bug_that_is_planted_in_its_processes_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a client notes a list without the last element but one"
    [bug] = [mutant for mutant in PLANTED if mutant.name == name]
    monkeypatch.setenv(planting.PATCH_VARIABLE, msgspec.json.encode(bug.patches).decode())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["check", "--count", "300", "--seed", "1", "--first"]) == 1
    assert re.search(r"check --history .*\.jsonl\n    incompatible order: ", capsys.readouterr().out)
