"""Crashing everywhere: what holds passes, and each planted bug is caught and named."""

import asyncio
import random
from datetime import timedelta

import pytest

from perdure import (
    ActivityFailedError,
    Context,
    Debounce,
    Deduplicate,
    Every,
    Retry,
    RunFailedError,
    Singleton,
    activity,
    current_attempt,
    workflow,
)
from perdure.errors import InvalidArgumentError
from perdure.testing import SyncTestEnvironment, TestEnvironment, crash_everywhere, crash_everywhere_sync
from tests.testing.subjects import (
    MONTH,
    debit,
    invoice,
    launch,
    letter,
    pay,
    print_letter,
    raise_price,
    subscription,
    tenacious,
    try_to_bill,
)


async def three_months(env: TestEnvironment) -> list[str]:
    run = await env.start(subscription, 3)
    assert await run.result() == ["billed 0", "billed 1", "billed 2"]
    return [f"{called.at:%m}" for called in env.calls(debit)][:1]


def count_letters(text: str) -> int:
    return len(text)


# --- what holds ------------------------------------------------------------------------------------------------------


async def test_a_workflow_that_keeps_its_state_in_its_history_is_struck_everywhere() -> None:
    report = await crash_everywhere(three_months)
    assert report.points == 2 + 3 * 2 + 3 * 4
    assert report.passes == 3 + report.points
    assert report.deaths == 2 * report.points
    assert report.seed is None
    assert str(report) == "20 points, 40 deaths in 23 passes"


async def test_of_many_points_a_sample_is_struck_alone_and_all_in_the_march() -> None:
    report = await crash_everywhere(three_months, passes=4, seed=7)
    assert (report.passes, report.deaths, report.seed) == (3 + 4, 20 + 4, 7)
    assert str(report).endswith(", a sample with seed 7")
    assert (await crash_everywhere(three_months, passes=4)).seed is not None


async def test_one_point_can_be_struck_alone() -> None:
    report = await crash_everywhere(three_months, only=5)
    assert (report.passes, report.deaths) == (2, 1)


async def test_messages_updates_and_timers_survive_a_crash_everywhere() -> None:
    async def scenario(env: TestEnvironment) -> str:
        run = await env.start(invoice)
        assert await run.update(raise_price, 5) == 105
        await env.advance(timedelta(days=3))
        await run.signal(pay, 70)
        return await run.result()

    report = await crash_everywhere(scenario)
    assert report.deaths > report.points


async def test_retries_children_parallel_calls_threads_and_generations_survive_a_crash_everywhere() -> None:
    @workflow
    async def generations(ctx: Context, left: int) -> str:
        lengths = await asyncio.gather(print_letter("abc"), print_letter("de"), debit(left))
        child = await ctx.run_child(subscription, 1, id=f"child-{left}")
        if left:
            ctx.continue_as_new(left - 1)
        return f"{lengths} {child}"

    async def scenario(env: TestEnvironment) -> object:
        env.fail_next(debit, ConnectionError("no route"), times=2)
        env.replace(print_letter, count_letters)
        return await (await env.start(generations, 2)).result()

    assert (await crash_everywhere(scenario, passes=60)).deaths > 60


async def test_failures_that_were_asked_for_are_the_same_in_each_pass() -> None:
    async def scenario(env: TestEnvironment) -> int:
        env.fail_next(try_to_bill, ConnectionError("no route"), times=2)
        assert await (await env.start(tenacious)).result() == "billed 7"
        return (env.now() - MONTH).day

    await crash_everywhere(scenario)


async def test_a_failing_run_fails_the_same_everywhere() -> None:
    async def scenario(env: TestEnvironment) -> str:
        env.fail_next(try_to_bill, ConnectionError("no route"), times=None)
        with pytest.raises(RunFailedError) as failed:
            await (await env.start(tenacious)).result()
        return failed.value.failure_type

    await crash_everywhere(scenario)


async def test_an_at_most_once_attempt_may_be_lost_and_is_never_made_twice() -> None:
    @workflow
    async def takes_off(ctx: Context) -> str:
        return await launch()

    async def scenario(env: TestEnvironment) -> str:
        return await (await env.start(takes_off)).result()

    await crash_everywhere(scenario)


async def test_schedules_survive_a_crash_everywhere() -> None:
    async def scenario(env: TestEnvironment) -> int:
        await env.schedules.create("weekly", letter, "abc", when=Every(timedelta(days=7)))
        await env.advance(timedelta(days=21))
        return await env.count_runs()

    await crash_everywhere(scenario)


async def test_starts_by_a_key_survive_a_crash_everywhere() -> None:
    async def scenario(env: TestEnvironment) -> list[tuple[str, int]]:
        burst = Debounce("page", wait=timedelta(hours=1))
        window = Deduplicate("hook", window=timedelta(days=1))
        line = Singleton("site", when_open="wait")
        runs = [
            *[await env.start(letter, text, debounce=burst) for text in ("d", "draft")],
            *[await env.start(letter, text, deduplicate=window) for text in ("told", "told again")],
            *[await env.start(letter, text, singleton=line, request_id=text) for text in ("a", "b", "b", "c")],
        ]
        assert len([waiting async for waiting in env.waiting_runs()]) >= 1
        return [(run.id, await run.result()) for run in runs]

    await crash_everywhere(scenario)
    async with TestEnvironment() as env:
        told = await scenario(env)
    assert len(set(told[:2])) == len(set(told[2:4])) == 1
    assert len(set(told[4:])) == 3


async def test_idempotency_keys_are_the_same_in_each_pass() -> None:
    @activity
    async def tell_key() -> str:
        return current_attempt().idempotency_key

    @workflow
    async def tells_keys(ctx: Context) -> list[str]:
        return [await tell_key(), await tell_key(), await tell_key.options(idempotency_key="mine")()]

    async def scenario(env: TestEnvironment) -> list[str]:
        runs = [await env.start(tells_keys, id=name) for name in ("one", "two")]
        return [key for run in runs for key in await run.result()]

    await crash_everywhere(scenario)
    async with TestEnvironment() as env:
        assert await scenario(env) == ["one-1-1", "one-1-2", "mine", "two-1-1", "two-1-2", "mine"]


async def test_each_change_of_the_agenda_is_struck_even_those_of_one_instant() -> None:
    async def scenario(env: TestEnvironment) -> list[str]:
        for name in ("one", "two", "three"):
            await env.schedules.create(name, letter, "abc", when=Every(timedelta(days=7)))
        return [schedule.id async for schedule in env.schedules.all()]

    report = await crash_everywhere(scenario, passes=0)
    assert report.deaths >= report.points == 6


async def test_a_start_that_replaces_another_is_had_once_whoever_has_to_repeat_it() -> None:
    @workflow
    async def takes_minutes(ctx: Context, text: str) -> str:
        await ctx.sleep(timedelta(minutes=5))
        return text

    async def scenario(env: TestEnvironment) -> tuple[str, int]:
        line = Singleton("site", when_open="replace")
        runs = [await env.start(takes_minutes, text, singleton=line) for text in ("a", "b", "c")]
        return await runs[-1].result(), await env.count_runs()

    await crash_everywhere(scenario)


async def test_stand_ins_of_a_described_environment_are_those_of_each_pass() -> None:
    template = TestEnvironment(strict=True)
    template.replace(debit, lambda cents, *, note="": f"free {cents}{note}")

    async def scenario(env: TestEnvironment) -> None:
        assert await (await env.start(subscription, 1)).result() == ["free 0"]

    await crash_everywhere(scenario, environment=template)
    assert template.calls() == []


def test_a_synchronous_scenario_is_struck_everywhere() -> None:
    def scenario(env: SyncTestEnvironment) -> list[str]:
        return env.start(subscription, 2).result()

    report = crash_everywhere_sync(scenario)
    assert (report.points, report.deaths) == (14, 28)


# --- planted bugs ----------------------------------------------------------------------------------------------------


async def failing(scenario: object, **options: int) -> str:
    """Return with what a scenario fails under crashes."""
    with pytest.raises(AssertionError) as failed:
        await crash_everywhere(scenario, **options)  # type: ignore[arg-type]
    return str(failed.value)


async def test_a_workflow_that_counts_in_a_variable_outside_is_caught() -> None:
    counted: list[int] = []

    @workflow
    async def counts_outside(ctx: Context) -> int:
        for month in range(3):
            await debit(month)
            counted.append(month)
        return len(counted)

    async def scenario(env: TestEnvironment) -> None:
        counted.clear()
        assert await (await env.start(counts_outside)).result() == 3

    message = await failing(scenario)
    assert "the scenario breaks when the process dies at each of its" in message
    assert "it raises AssertionError: " in message
    assert "repeat it with only=" in message
    assert "--perdure-crash-point=" in message


async def test_a_workflow_that_remembers_in_a_variable_outside_what_it_has_done_is_caught() -> None:
    done: set[int] = set()

    @workflow
    async def skips_what_it_has_done(ctx: Context) -> int:
        for month in range(2):
            if month not in done:
                await debit(month)
                done.add(month)
        return 2

    async def scenario(env: TestEnvironment) -> int:
        done.clear()
        return await (await env.start(skips_what_it_has_done)).result()

    message = await failing(scenario)
    assert "NonDeterminismError" in message


async def test_a_workflow_that_asks_chance_is_caught() -> None:
    chance = random.Random(0)

    @workflow
    async def tosses_a_coin(ctx: Context) -> str:
        for _ in range(8):
            await (debit(1) if chance.random() < 0.5 else print_letter("head"))
        return "done"

    async def scenario(env: TestEnvironment) -> str:
        chance.seed(0)
        return await (await env.start(tosses_a_coin)).result()

    assert "NonDeterminismError" in await failing(scenario)


async def test_an_activity_that_does_something_else_the_second_time_is_caught() -> None:
    paid: list[int] = []

    @activity(retry=Retry(attempts=1))
    async def pay_once(cents: int) -> str:
        if cents in paid:
            message = "paid already"
            raise ValueError(message)
        paid.append(cents)
        return "paid"

    @workflow
    async def pays_once(ctx: Context) -> str:
        try:
            return await pay_once(5)
        except ActivityFailedError:
            return "failed"

    async def scenario(env: TestEnvironment) -> str:
        paid.clear()
        return await (await env.start(pays_once)).result()

    message = await failing(scenario, passes=50)
    assert "it returns 'failed'; undisturbed it returns 'paid'" in message
    assert "after activity pay_once of run pays_once-1" in message
    assert "+ActivityFailed" in message
    assert "-ActivityCompleted" in message


async def test_a_scenario_that_differs_without_a_death_is_told_from_a_broken_workflow() -> None:
    passed: list[int] = []

    async def scenario(env: TestEnvironment) -> int:
        passed.append(1)
        await (await env.start(subscription, 1)).result()
        return len(passed)

    message = await failing(scenario)
    assert message.startswith("the scenario does not do the same twice, although nothing died")
    assert "it returns 2; undisturbed it returns 1" in message
    assert len(passed) == 2


async def test_what_an_undisturbed_scenario_raises_is_raised() -> None:
    async def scenario(env: TestEnvironment) -> None:
        message = "my own mistake"
        raise LookupError(message)

    with pytest.raises(LookupError, match="my own mistake"):
        await crash_everywhere(scenario)


async def test_the_error_of_the_first_broken_pass_is_the_cause() -> None:
    crashes: list[int] = []

    async def scenario(env: TestEnvironment) -> None:
        await (await env.start(subscription, 1)).result()
        if env.crashes:
            crashes.append(env.crashes)
            message = "only after a crash"
            raise LookupError(message)

    with pytest.raises(AssertionError) as failed:
        await crash_everywhere(scenario)
    assert isinstance(failed.value.__cause__, LookupError)
    assert len(crashes) == 3, "after three broken passes the others are spared"


# --- misuse ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", [None, "mine"])
async def test_runs_started_before_the_scenario_are_refused(id: str | None) -> None:
    async with TestEnvironment() as used:
        await used.start(subscription, 1, id=id)
        with pytest.raises(InvalidArgumentError, match=r"runs were started \(or schedules made\) in the environment"):
            await crash_everywhere(three_months, environment=used)


async def test_schedules_made_before_the_scenario_are_refused() -> None:
    async with TestEnvironment() as used:
        await used.schedules.create("weekly", letter, "abc", when=Every(timedelta(days=7)))
        with pytest.raises(InvalidArgumentError, match="schedules made"):
            await crash_everywhere(three_months, environment=used)


async def test_a_strict_environment_wants_every_stand_in_to_be_called_in_the_scenario() -> None:
    template = TestEnvironment(strict=True)
    template.replace(debit, lambda cents, *, note="": f"free {cents}{note}")
    template.replace(print_letter, count_letters)
    with pytest.raises(AssertionError, match="the stand-in for activity print_letter was never called"):
        await crash_everywhere(lambda env: env.start(subscription, 1), environment=template)


@pytest.mark.parametrize("number", [0, 21])
async def test_a_point_that_there_is_not_is_refused(number: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"there is no crash point {number}: the undisturbed pass has 20"):
        await crash_everywhere(three_months, only=number)


@pytest.mark.parametrize("passes", [-1, True, 1.5])
async def test_a_wrong_number_of_passes_is_refused(passes: object) -> None:
    with pytest.raises(InvalidArgumentError, match="passes is"):
        await crash_everywhere(three_months, passes=passes)  # type: ignore[arg-type]
