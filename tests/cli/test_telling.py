from pathlib import Path

from tests.cli.runs import perdure


def test_a_history_is_a_table_for_people(place: Path) -> None:
    lines = perdure("history", "failed", directory=place).out.splitlines()
    assert lines[0].split() == ["#", "time", "event", "details"]
    assert "run_created" in lines[1]
    assert "run_failed" in lines[-1]
    assert any("activity=explode" in line for line in lines)


def test_a_history_is_one_event_a_line_for_programs(place: Path) -> None:
    events = perdure("history", "done", "--json", directory=place).lines
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["event"] == "run_created"
    assert events[0]["data"]["input"] == ["Ada"]
    assert events[-1] == {**events[-1], "event": "run_completed", "version": 1, "data": {"result": "hello Ada"}}


def test_a_part_of_a_history_can_be_asked_for(place: Path) -> None:
    events = perdure("history", "done", "--json", "--after", "2", "--limit", "3", directory=place).lines
    assert [event["sequence"] for event in events] == [3, 4, 5]
    assert perdure("history", "done", "--json", "--after", "1000", directory=place).lines == []
    assert perdure("history", "done", "--limit", "0", directory=place).code == 2
