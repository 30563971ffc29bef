"""`perdure retry`, `reset`, `fork`, and `perdure bulk` with the first two."""

from pathlib import Path

import pytest

from tests.cli.runs import perdure

BLUE = ("bulk", "reset", "--label", "team=blue")


def test_a_failed_run_is_retried_and_the_command_says_what_is_done_again(place: Path) -> None:
    called = perdure("retry", "failed", "--reason", "mended", directory=place)
    assert (called.code, called.err) == (0, "")
    assert called.out.splitlines() == [
        "failed (generation 2) goes on after event 4 of default/failed.",
        "  is done again after it failed: explode (operation 2)",
    ]
    shown = perdure("show", "failed", "--json", directory=place).json
    assert (shown["generation"], shown["status"]) == (2, "running")
    assert (shown["forked"]["cause"], shown["forked"]["reason"]) == ("retry", "mended")
    assert perdure("show", "failed", "--generation", "1", "--json", directory=place).json["status"] == "failed"
    assert "retry" in perdure("show", "failed", directory=place).out


def test_an_open_run_is_reset_and_shown(place: Path) -> None:
    reset = perdure("reset", "waiting", "--stage", "review", "--json", directory=place)
    assert reset.code == 0
    assert (reset.json["generation"], reset.json["forked"]["sequence"]) == (2, 2)
    before = perdure("show", "waiting", "--generation", "1", directory=place).out
    assert "it goes on as generation 2" in before
    assert "event 2 of default/waiting (reset" in perdure("show", "waiting", directory=place).out
    kinds = [line["event"] for line in perdure("history", "waiting", "--json", directory=place).lines]
    assert kinds == ["run_created", "run_started", "run_forked"]
    ended = perdure("history", "waiting", "--generation", "1", "--json", directory=place).lines
    assert ended[-1]["event"] == "run_reset"


def test_a_fork_has_the_id_that_is_asked_for(place: Path) -> None:
    forked = perdure("fork", "done", "--new-id", "copy", "--event", "2", "--json", directory=place)
    assert (forked.code, forked.json["id"], forked.json["generation"]) == (0, "copy", 1)
    assert perdure("fork", "done", "--new-id", "copy", directory=place).code == 1
    again = perdure("fork", "done", "--request-id", "r", "--json", directory=place).json
    assert perdure("fork", "done", "--request-id", "r", "--json", directory=place).json["id"] == again["id"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("retry", "done"), 1, "is completed"),
        (("retry", "nobody"), 3, "there is no run"),
        (("reset", "done", "--event", "99"), 1, "events 1 to"),
        (("reset", "done", "--event", "2", "--stage", "review"), 2, "event and stage are given"),
        (("reset", "done", "--before", "soon"), 2, "is no time"),
        (("retry", "failed", "--app", "nowhere"), 2, "importing 'nowhere' failed"),
        (("bulk", "retry", "--event", "2", "--yes"), 2, "belongs to reset"),
        (("bulk", "cancel", "--version", "2", "--yes"), 2, "belong to retry and reset"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    place: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    called = perdure(*arguments, directory=place)
    assert called.code == code
    assert said in called.err


def test_code_that_does_not_fit_the_history_is_refused_and_nothing_written(place: Path) -> None:
    (place / "other.py").write_text(
        "from perdure import Context, workflow\n\n"
        "@workflow\nasync def fail(ctx: Context, message: str) -> None:\n    await ctx.sleep(1)\n"
    )
    called = perdure("retry", "failed", "--app", "other", directory=place)
    assert called.code == 2
    assert "no longer does what its history records" in called.err
    assert perdure("show", "failed", "--json", directory=place).json["generation"] == 1


def test_all_that_match_are_reset_after_a_dry_run(place: Path) -> None:
    dry = perdure(*BLUE, "--stage", "review", "--dry-run", directory=place)
    assert dry.code == 1
    assert dry.out.splitlines()[0] == "2 runs match; 1 of them can be reset. None was."
    assert "failed: run default/failed has not entered a stage 'review'" in dry.out
    done = perdure(*BLUE, "--stage", "review", "--reason", "bad", "--yes", "--json", directory=place)
    assert (done.code, done.json["done"]) == (1, 1)
    assert [failure["id"] for failure in done.json["failures"]] == ["failed"]
    assert perdure("show", "waiting", "--json", directory=place).json["generation"] == 2


def test_all_that_failed_are_retried(place: Path) -> None:
    refused = perdure("bulk", "retry", directory=place)
    assert refused.code == 2
    assert "1 runs match; say --yes to retry them" in refused.err
    called = perdure("bulk", "retry", "--yes", directory=place)
    assert (called.code, called.out) == (0, "1 of 1 runs were retried; 0 had ended before.\n")
    assert perdure("bulk", "retry", directory=place).out == "0 runs match; none was asked to retry.\n"


def test_a_request_made_again_says_what_it_made_also_when_the_run_went_on(place: Path) -> None:
    first = perdure("reset", "waiting", "--stage", "review", "--request-id", "r", directory=place)
    perdure("reset", "waiting", "--event", "2", directory=place)
    again = perdure("reset", "waiting", "--request-id", "r", directory=place)
    assert (again.code, again.out) == (0, first.out)
    assert "(generation 2)" in again.out
    other = perdure("retry", "waiting", "--request-id", "r", directory=place)
    assert other.code == 2
    assert "was used to reset run default/waiting" in other.err
