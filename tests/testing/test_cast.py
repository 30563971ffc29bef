"""Stand-ins for activities: who may play what, what fails, and what is recorded."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from perdure import ActivityFailedError, Context, NonRetryableError, RunFailedError, activity, workflow
from perdure.errors import InvalidArgumentError
from perdure.testing import EPOCH, SyncTestEnvironment, TestEnvironment, UnreplacedActivityError
from tests.testing.subjects import debit, letter, print_letter, subscription, tenacious, try_to_bill


async def test_a_stand_in_is_called_in_place_of_an_activity() -> None:
    async def free(cents: int, *, note: str = "") -> str:
        return f"free {cents}{note}"

    async with TestEnvironment() as env:
        env.replace(debit, free)
        assert await (await env.start(subscription, 2)).result() == ["free 0", "free 1"]
        env.restore(debit)
        assert await (await env.start(subscription, 1)).result() == ["billed 0"]


async def test_a_plain_function_may_stand_in_for_a_coroutine_function_and_the_other_way_round() -> None:
    async def count(text: str) -> int:
        return 2 * len(text)

    async with TestEnvironment() as env:
        env.replace(debit, lambda cents, *, note="": f"plain {cents}{note}")
        env.replace(print_letter, count)
        assert await (await env.start(subscription, 1)).result() == ["plain 0"]
        assert await (await env.start(letter, "abc")).result() == 6


async def few(cents: int) -> str:
    return f"{cents}"


async def many(cents: int, tax: int, *, note: str = "") -> str:
    return f"{cents + tax}{note}"


async def otherwise(cents: str, *, note: str = "") -> str:
    return cents + note


async def gives_a_number(cents: int, *, note: str = "") -> int:
    return cents + len(note)


def upper(text: str) -> str:
    return text.upper()


async def count(text: str) -> int:
    return len(text)


@pytest.mark.parametrize(
    ("stand_in", "problem"),
    [
        (few, "got an unexpected keyword argument 'note'"),
        (many, "missing a required argument: 'tax'"),
        (otherwise, "its parameter 'cents' is str, not int"),
        (gives_a_number, "it returns int, not str"),
        ("free", "it must be a function"),
    ],
)
async def test_a_stand_in_that_cannot_be_called_as_the_activity_is_refused(stand_in: Any, problem: str) -> None:
    async with TestEnvironment() as env:
        with pytest.raises(InvalidArgumentError) as refused:
            env.replace(debit, stand_in)
        assert "the stand-in for activity debit" in str(refused.value)
        assert problem in str(refused.value)


async def test_what_the_types_refuse_is_refused_when_it_is_replaced() -> None:
    async with TestEnvironment() as env:
        with pytest.raises(InvalidArgumentError, match="its parameter 'cents' is str, not int"):
            env.replace(debit, otherwise)  # type: ignore[misc]
        with pytest.raises(InvalidArgumentError, match="it returns int, not str"):
            env.replace(debit, gives_a_number)  # type: ignore[misc]
        with pytest.raises(InvalidArgumentError, match="it returns str, not int"):
            env.replace(print_letter, upper)  # type: ignore[arg-type]


def test_the_synchronous_environment_has_the_same_types() -> None:
    with SyncTestEnvironment() as env:
        with pytest.raises(InvalidArgumentError, match="it returns int, not str"):
            env.replace(debit, gives_a_number)  # type: ignore[misc]
        env.replace(print_letter, count)


async def test_only_an_activity_can_be_replaced() -> None:
    async with TestEnvironment() as env:
        with pytest.raises(InvalidArgumentError, match="is no activity; pass the decorated function itself"):
            env.replace(few, few)  # type: ignore[call-overload]


async def test_what_a_stand_in_returns_is_checked_as_what_the_activity_returns() -> None:
    async with TestEnvironment() as env:
        env.replace(debit, lambda cents, *, note="": cents)  # type: ignore[arg-type,return-value]
        with pytest.raises(RunFailedError, match="debit"):
            await (await env.start(subscription, 1)).result()


async def test_a_strict_environment_lets_no_activity_play_itself() -> None:
    env = TestEnvironment(strict=True)
    with pytest.raises(RunFailedError) as failed:
        await (await env.start(subscription, 1)).result()
    assert failed.value.failure_type == ActivityFailedError.__name__
    assert f"{UnreplacedActivityError.__name__}: activity debit is called" in str(failed.value)
    assert "env.replace(debit, ...)" in str(failed.value)
    env.replace(debit, lambda cents, *, note="": "free")
    assert await (await env.start(subscription, 1)).result() == ["free"]
    env.dispose()


@workflow
async def careless(ctx: Context) -> str:
    with suppress(ActivityFailedError):
        await debit(1)
    return "done"


async def test_a_strict_environment_does_not_let_a_workflow_catch_that_nobody_played() -> None:
    with pytest.raises(AssertionError, match=r"^activity debit was called, and nobody plays it: env.replace\(debit, "):
        async with TestEnvironment(strict=True) as env:
            assert await (await env.start(careless)).result() == "done"


def play(cents: int, *, note: str = "") -> str:
    return f"played {cents}{note}"


def play_print(text: str) -> int:
    return len(text)


async def test_a_strict_environment_fails_when_a_stand_in_or_a_failure_was_never_needed() -> None:
    async def body() -> None:
        async with TestEnvironment(strict=True) as env:
            env.replace(debit, play)
            env.replace(print_letter, play_print)
            env.fail_next(debit, NonRetryableError("no"), times=2)
            env.fail_next(try_to_bill, ConnectionError("no route"), times=None)
            await (await env.start(careless)).result()

    with pytest.raises(AssertionError) as unplayed:
        await body()
    assert str(unplayed.value).splitlines() == [
        "the stand-in for activity debit was never called",
        "the stand-in for activity print_letter was never called",
        "activity debit was to fail 1 more times",
        "activity try_to_bill was to fail, and was never called",
    ]


async def test_a_strict_environment_in_which_everybody_played_is_content() -> None:
    async with TestEnvironment(strict=True) as env:
        env.replace(debit, play)
        env.fail_next(debit, NonRetryableError("no"))
        env.replace(print_letter, play_print)
        env.restore(print_letter)
        await (await env.start(careless)).result()
        await (await env.start(careless)).result()


async def test_the_error_of_a_test_is_not_covered_by_what_was_not_played() -> None:
    async def body() -> None:
        async with TestEnvironment(strict=True) as env:
            env.replace(debit, play)
            raise LookupError

    with pytest.raises(LookupError):
        await body()


async def test_a_lenient_environment_can_be_asked_who_played() -> None:
    async with TestEnvironment() as env:
        env.replace(debit, play)
        with pytest.raises(AssertionError, match="the stand-in for activity debit was never called"):
            env.assert_played()


async def test_so_many_attempts_fail_as_were_asked_to() -> None:
    async with TestEnvironment() as env:
        env.fail_next(try_to_bill, ConnectionError("no route"), times=2)
        assert await (await env.start(tenacious)).result() == "billed 7"
        assert env.now() == EPOCH + timedelta(hours=2)
        env.fail_next(try_to_bill, ConnectionError("cut"), times=None)
        with pytest.raises(RunFailedError, match="cut"):
            await (await env.start(tenacious)).result()
        assert len(env.calls(try_to_bill)) == 3 + 5
        env.restore(try_to_bill)
        assert await (await env.start(tenacious)).result() == "billed 7"


async def test_only_exceptions_and_positive_numbers_can_be_failures() -> None:
    async with TestEnvironment() as env:
        with pytest.raises(InvalidArgumentError, match="is no exception"):
            env.fail_next(debit, "broken")  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="at least 1"):
            env.fail_next(debit, OSError(), times=0)


async def test_each_attempt_is_recorded_with_its_arguments() -> None:
    @activity
    async def sort_mail(grams: int, *, unit: str = "g") -> str:
        return f"{grams} {unit}"

    @workflow
    async def weighs(ctx: Context) -> list[str]:
        return [await sort_mail(1), await sort_mail(2, unit="lot")]

    async with TestEnvironment() as env:
        await (await env.start(weighs, id="scales")).result()
        await (await env.start(letter, "abc")).result()
        assert [(called.activity, called.args, called.kwargs) for called in env.calls()] == [
            ("sort_mail", (1,), {}),
            ("sort_mail", (2,), {"unit": "lot"}),
            ("print_letter", ("abc",), {}),
        ]
        first, _ = env.calls(sort_mail)
        assert (first.run_id, first.attempt, first.at) == ("scales", 1, EPOCH)
