import pytest

from perdure.cli.printing import printable, progress_bar, shortened


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
