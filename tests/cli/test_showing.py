import re
from pathlib import Path

from tests.cli.runs import NASTY_ID, perdure


def test_a_completed_run_shows_input_result_and_progress(place: Path) -> None:
    text = perdure("show", "done", directory=place).out
    assert "completed" in text
    assert '"hello Ada"' in text
    assert "100%" in text
    assert "team=red" in text
    shown = perdure("show", "done", "--json", directory=place).json
    assert shown["result"] == "hello Ada"
    assert shown["progress"] == 1.0
    assert shown["stage_reached"] == "greeting"


def test_a_failed_run_shows_where_and_why(place: Path) -> None:
    text = perdure("show", "failed", directory=place).out
    assert "Last failure: explode, attempt 1" in text
    assert "ValueError: the reactor is hot" in text
    assert "runs.py" in text, "the traceback names the file"
    line = next(line for line in text.splitlines() if line.startswith("failed with"))
    place_in_code = r"\(.*runs\.py:\d+ in explode\)"
    assert re.search(
        rf"activity explode failed at attempt 1 \(.+\): ValueError: the reactor is hot {place_in_code}", line
    )
    shown = perdure("show", "failed", "--json", directory=place).json
    assert shown["failure"]["type"] == "ActivityFailedError"
    assert shown["failure"]["sentence"].startswith("activity explode failed at attempt 1")
    assert shown["failure"]["place"].endswith(" in explode")
    assert shown["last_failure"]["type"] == "ValueError"
    assert shown["last_failure"]["subject"] == "explode, attempt 1"


def test_a_waiting_run_shows_stage_timer_and_state(place: Path) -> None:
    text = perdure("show", "waiting", directory=place).out
    assert "review" in text
    assert "Timers" in text
    assert "2 d 23 h" in text
    assert '["alice","bob"]' in text
    assert "no worker" in text


def test_a_retried_activity_shows_its_attempt_and_the_time_of_the_next(place: Path) -> None:
    text = perdure("show", "stuck", directory=place).out
    assert "unreachable" in text
    assert "ConnectionError: no route to host" in text
    assert re.search(r"in [1-5]?[0-9] min", text)
    (pending,) = perdure("show", "stuck", "--json", directory=place).json["activities"]["pending"]
    assert pending["activity"] == "unreachable"
    assert pending["attempt"] == 2
    assert pending["next_attempt_at"].endswith("Z")


def test_children_are_shown_with_their_outcome(place: Path) -> None:
    shown = perdure("show", "family", "--json", directory=place).json
    assert shown["children"] == [
        {"id": "family/first", "workflow": "greet", "outcome": "completed"},
        {"id": "family/second", "workflow": "wait_for_review", "outcome": "open"},
    ]
    assert "Child runs" in perdure("show", "family", directory=place).out


def test_what_waits_in_the_inbox_is_shown(place: Path) -> None:
    perdure("signal", "waiting", "review", '{"approved":true}', directory=place)
    shown = perdure("show", "waiting", "--json", directory=place).json
    assert len(shown["inbox"]) == 1
    assert re.search("review +in the inbox since", perdure("show", "waiting", directory=place).out)


def test_a_name_full_of_control_characters_is_shown_harmless(place: Path) -> None:
    called = perdure("show", NASTY_ID, directory=place)
    assert called.code == 0
    assert "evil\\x1b[2J\\u202eid" in called.out
    assert "\x1b" not in called.out


def test_a_run_that_is_not_there_is_an_error_of_its_own(place: Path) -> None:
    for command in (("show", "nobody"), ("history", "nobody"), ("signal", "nobody", "review"), ("cancel", "nobody")):
        called = perdure(*command, directory=place)
        assert called.code == 3
        assert "nobody" in called.err
    assert perdure("show", "done", "--generation", "7", directory=place).code == 3
