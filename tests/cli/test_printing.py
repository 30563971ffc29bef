import contextlib
import os
import pty
import sys

import pytest

from perdure.cli.payload_text import event_details, payload_text
from perdure.cli.printing import answer_line, json_text, printable, progress_bar, progress_shown, shortened
from perdure.kernel.events import RunCompleted
from perdure.kernel.history import decode_event
from perdure.kernel.time import Timestamp


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Łódź 東京 👍", "Łódź 東京 👍"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202ecba", "abc\\u202ecba"),
        ("\u200bhidden", "\\u200bhidden"),
        ("\ud800", "\\ud800"),
        ("[bold]not markup[/bold]", "[bold]not markup[/bold]"),
    ],
)
def test_whatever_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_text_is_shortened_to_a_limit() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abcde…"


@pytest.mark.parametrize("progress", [0.0, 0.001, 0.5, 0.999, 1.0])
def test_a_bar_is_full_only_when_all_is_done(progress: float) -> None:
    bar = progress_bar(progress, width=10).split()[0]
    assert len(bar) == 10
    assert (bar in {"█" * 10, "#" * 10}) is (progress == 1.0)


@pytest.mark.parametrize("after_seconds", [0.0, 60.0])
def test_progress_is_shown_on_a_terminal_and_only_if_it_takes_its_time(
    monkeypatch: pytest.MonkeyPatch, after_seconds: float
) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm-256color")
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with progress_shown("cancel", 40, after_seconds=after_seconds) as tell:
            tell(10)
        print("the end", file=terminal)
    written = b""
    with contextlib.suppress(OSError):
        while block := os.read(ours, 65536):
            written += block
    os.close(ours)
    assert ("cancel" in written.decode()) is (after_seconds == 0)
    assert ("10/40" in written.decode()) is (after_seconds == 0)


def test_no_progress_is_shown_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_shown("cancel", 40, after_seconds=0) as tell:
        tell(10)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("value", [b'"\xf4ext"', b"1e400", b'{"password":1e400,"n":[' + b"9" * 5_000 + b"]}"])
def test_a_value_that_nobody_of_ours_has_written_is_shown_all_the_same(value: bytes) -> None:
    event = decode_event(1, "run_completed", 1, 0, b'{"result":' + value + b"}").event
    assert isinstance(event, RunCompleted)
    assert event_details(event, now=Timestamp(0)).startswith("result=")
    assert payload_text(event.result)
    assert '"result": ' in json_text({"result": event.result})


def test_an_answer_is_escaped_and_hides_nothing_that_somebody_asked_for() -> None:
    value = {"password": "hunter2", "url": "postgres://u:p@h", "text": "\x9b2J"}
    assert answer_line(value) == '{"password":"hunter2","url":"postgres://u:p@h","text":"\\x9b2J"}'
    assert "hunter2" in json_text(value, is_answer=True)
    assert "hunter2" not in json_text(value)
    assert printable("password=hunter2 \x9b2J") == "password=*** \\x9b2J"
